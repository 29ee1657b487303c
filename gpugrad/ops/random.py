"""Random tensors, from one generator for each device, all restarted by `manual_seed`.

Inside `vmap` every example has numbers of its own.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from .. import backend as _backends
from ..backend import backend_for, backend_of, capturing
from ..backend import device as _device
from ..backend.out_of_memory import told
from ..batching import innermost
from ..tensor import Tensor
from .creation import _shape, get_default_dtype

F = TypeVar("F", bound=Callable[..., Any])


def manual_seed(seed: int) -> None:
    """Restart the random generators of all devices; the same seed gives the same numbers on the same device.

    Raises:
        ValueError: the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"[manual_seed] seed = {seed}; expected 0 or more")
    for backend in _backends.existing(seed):
        backend.seed(seed)


def get_rng_state(device: Any = "cpu") -> Tensor:
    """The state of a device's random generators, uint8 in main memory: `set_rng_state` goes on from there."""
    text = json.dumps(backend_for(device)._random_state())
    return Tensor(np.frombuffer(text.encode(), np.uint8).copy())


def set_rng_state(new_state: Any, device: Any = "cpu") -> None:
    """Go on from a state that `get_rng_state` gave for a device of this kind.

    Raises:
        ValueError: it is something else.
    """
    try:
        backend_for(device)._restore_random(json.loads(np.asarray(new_state, np.uint8).tobytes()))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"[set_rng_state] not the state of a generator on {device}; see get_rng_state") from error


class Generator:
    """A stream of random numbers of its own on a device, for the argument `generator` of what draws; PyTorch's names.

    Args:
        device: where it draws. A new one begins with the seed 0.

    Example:
        >>> import gpugrad as gg
        >>> one, two = gg.Generator().manual_seed(3), gg.Generator().manual_seed(3)
        >>> bool((gg.rand(4, generator=one) == gg.rand(4, generator=two)).all())
        True
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = _device(device)
        self.manual_seed(0)

    def manual_seed(self, seed: int) -> Generator:
        """Restart it; returns it.

        Raises:
            ValueError: the seed is negative.
        """
        if seed < 0:
            raise ValueError(f"[Generator.manual_seed] seed = {seed}; expected 0 or more")
        self._seed, backend = seed, backend_for(self.device)
        before = backend._random_state()
        backend.seed(seed)
        self._state = backend._random_state()
        backend._restore_random(before)
        return self

    def initial_seed(self) -> int:
        """The seed that it was last restarted with."""
        return self._seed

    @contextlib.contextmanager
    def drawing(self) -> Iterator[None]:
        """A block whose random numbers on the generator's device are its own.

        Raises:
            CaptureError: a step is being recorded, whose replays would repeat them.
        """
        capturing.refuse("draws from a Generator, whose numbers a replay would repeat")
        backend = backend_for(self.device)
        before = backend._random_state()
        backend._restore_random(self._state)
        try:
            yield
        finally:
            self._state = backend._random_state()
            backend._restore_random(before)


def drawn(function: F) -> F:
    """Let a function that draws take PyTorch's `generator`, a `Generator`."""

    @functools.wraps(function)
    def inner(*args: Any, generator: Generator | None = None, **kwargs: Any) -> Any:
        if generator is None:
            return function(*args, **kwargs)
        with generator.drawing():
            return function(*args, **kwargs)

    return inner  # type: ignore[return-value]


def _draw(
    kind: str,
    shape: tuple[int, ...],
    dtype: Any,
    where: Any,
    requires_grad: bool,
    low: Any = 0,
    high: Any = 1,
) -> Tensor:
    dtype = np.dtype(get_default_dtype() if dtype is None else dtype)
    return Tensor(innermost(backend_for(where)).random(kind, shape, dtype, low, high), requires_grad)


@drawn
@told
def rand(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform numbers in [0, 1); `rand(2, 3)` or `rand((2, 3))`."""
    return _draw("uniform", _shape(size), dtype, device, requires_grad)


@drawn
@told
def randn(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal numbers of mean 0 and variance 1."""
    return _draw("normal", _shape(size), dtype, device, requires_grad)


@drawn
@told
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = (),
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers of the given mean and standard deviation, which may be tensors: one number for each; no gradient.

    Raises:
        ValueError: the number `std` is negative.
    """
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        drawn: Tensor = mean + std * randn_like(mean + std * 0.0)
        return drawn.detach()
    if std < 0:
        raise ValueError(f"[normal] std = {std}; expected 0 or more")
    return _draw("normal", _shape((size,)), dtype, device, requires_grad, mean, std)


@drawn
@told
def uniform(
    low: float = 0.0,
    high: float = 1.0,
    size: Any = (),
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [low, high)."""
    return _draw("uniform", _shape((size,)), dtype, device, requires_grad, low, high)


@drawn
@told
def randint(low: int = 0, high: Any = None, size: Any = (), *, dtype: Any = None, device: Any = None) -> Tensor:
    """Integers in [low, high), or in [0, low) without `high`; int64 unless asked otherwise.

    Raises:
        ValueError: the range is empty.
    """
    if isinstance(high, tuple | list):
        high, size = None, high
    low, high = (0, low) if high is None else (low, high)
    if low >= high:
        raise ValueError(f"[randint] low = {low}, high = {high}: no integer lies in [low, high)")
    return _draw("integers", _shape((size,)), np.int64 if dtype is None else dtype, device, False, low, high)


@drawn
@told
def randperm(n: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A random order of the integers 0 to n - 1, int64 unless asked otherwise."""
    return _draw("permutation", (n,), np.int64 if dtype is None else dtype, device, False)


@told
def rand_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform numbers in [0, 1) with the shape, dtype and device of `x`."""
    return _draw_like("uniform", x, dtype, requires_grad)


@told
def randn_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal numbers with the shape, dtype and device of `x`."""
    return _draw_like("normal", x, dtype, requires_grad)


def _draw_like(kind: str, x: Any, dtype: Any, requires_grad: bool) -> Tensor:
    source = x.data if isinstance(x, Tensor) else x
    dtype = source.dtype if dtype is None else dtype
    return _draw(kind, tuple(source.shape), dtype, backend_of(source).device, requires_grad)
