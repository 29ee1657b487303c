"""Optimizer updates on the GPU over lists of arrays, in place: sgd, adam and the like, and the norm for clipping.

The same names, arguments and results as `cpu_optim`. All arrays of one type go through the multi-tensor kernels of
`kernels/optim.cu` in one launch; what lies with gaps does so as a copy, which is then copied back. Nothing waits for
the device.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from . import capturing
from .cuda_launch import compute_type, current_stream, function
from .cuda_lines import alike, by_dtype, give_back, lie_alike, line
from .cuda_step_sizes import on_device
from .cuda_sums import lines_added
from .fixed import Fixed
from .handles import of_gpus
from .placing import placed
from .step_sizes import Schedule

Array = Any
Moving = tuple[float, float]  # what schedules change: the learning rate, and the momentum or beta1

CHUNK: Final = 8192  # elements a block of threads: 32 for each of its 256
_BLOCK: Final = 256
_MAX_KNOWN: Final = 64


class _Verdict(NamedTuple):
    """What a loss scale says of the step being taken: skip it where `found`; `skipped` of the `step` so far were."""

    found: Any
    skipped: Any
    step: int


class _State(threading.local):
    verdict: _Verdict | None = None


_state: Final = _State()


@contextlib.contextmanager
def guarded(found: Array, skipped: Array, step: int) -> Iterator[None]:
    """A block whose updates are left out on the device where `found` is not 0.

    Args:
        found: (1,) int32, as `judge` writes it.
        skipped: (1,) int64, how many of the steps were left out; `count_skip` adds to it after the updates.
        step: the number of this step, those left out included, from 1.
    """
    _state.verdict = _Verdict(found, skipped, step)
    try:
        yield
    finally:
        _state.verdict = None


@placed
def count_skip(found: Array, skipped: Array) -> None:
    """Add the verdict on a step to the steps that were left out."""
    capture = capturing.current()
    if capture is None or not capture.refilling:
        function("optim.cu", "count_skip", "float32")((1,), (1,), (found, skipped))


@placed
def judge(total: Array, found: Array, anywhere: Array) -> None:
    """Set `found` and `anywhere`, (1,) int32, to 1 where a sum of squares is no finite number."""
    function("optim.cu", "judge", total.dtype)((1,), (1,), (total, found, anywhere))


# Tables, and arrays as the kernels take them --------------------------------------------------------------------


def _upload(data: bytes, dtype: str, device: int) -> Any:
    """A small table in device memory; the same table is uploaded once. A captured step has tables of its own."""
    capture = capturing.current()
    if capture is not None:
        return capture.constant(np.frombuffer(data, dtype))
    return _uploaded(data, dtype, device, current_stream())  # another stream would not wait for the upload


@of_gpus
@functools.lru_cache(maxsize=256)
def _uploaded(data: bytes, dtype: str, device: int, stream: int) -> Any:
    import cupy

    with cupy.cuda.Device(device):
        return cupy.array(np.frombuffer(data, dtype))


@functools.lru_cache(maxsize=64)
def _chunks(sizes: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """For arrays of these sizes: their sizes, the array and the first element of each chunk."""
    counts = [-(-n // CHUNK) for n in sizes]
    arrays = np.repeat(np.arange(len(sizes), dtype=np.int32), counts)
    starts = np.concatenate([np.arange(c, dtype=np.int64) * CHUNK for c in counts] or [np.empty(0, np.int64)])
    return np.array(sizes, np.int64), arrays, starts


def _tables(lists: Sequence[Sequence[Array] | None]) -> tuple[tuple[Any, ...], int]:
    """What every kernel of optim.cu takes first, and the number of chunks; None in `lists` stands for null pointers."""
    given: Any = lists[0]
    device = given[0].data.device_id
    addresses = [[0 if each is None else each[i].data.ptr for each in lists] for i in range(len(given))]
    table = _upload(np.array(addresses, np.uint64).tobytes(), "uint64", device)
    chunks = _chunks(tuple([a.size for a in given]))
    sizes, arrays, starts = (_upload(t.tobytes(), t.dtype.name, device) for t in chunks)
    return (table, sizes, arrays, starts, np.int32(CHUNK)), len(chunks[1])


def _check(name: str, lists: Sequence[Sequence[Array] | None]) -> None:
    for arrays in zip(*(each for each in lists if each is not None), strict=True):
        if any(a.shape != arrays[0].shape for a in arrays):
            shown = ", ".join(f"{a.shape} {a.dtype}" for a in arrays)
            raise ValueError(f"[{name}] parameter, gradient and states: {shown}; expected one shape")


def _launch(
    name: str, lists: Sequence[Sequence[Array] | None], lr: Moving, step: int, maximize: bool, *rest: Any
) -> None:
    """Launch the kernel `name` of optim.cu for each dtype of the parameters; floats in `rest` go in the compute type.

    Before a replay only the numbers are written that the graph reads.
    """
    step = step if _state.verdict is None else _state.verdict.step
    capture = capturing.current()
    if capture is not None and capture.refilling:
        for stored in dict.fromkeys([p.dtype for p in lists[0] if p.size]):  # type: ignore[union-attr]
            _live(capture, name, stored, lr, step, rest)
        return
    ready = lists[0].known if capture is None and isinstance(lists[0], Fixed) else None
    if ready is not None and ready.fits(name, lists):
        ready.launch(lists, lr, step, maximize, rest)
        return
    _check(name, lists)
    for part in by_dtype(lists):
        _launch_part(name, part, lr, step, maximize, rest)
    if capture is None:
        _note(name, lists)


def _live(capture: Any, name: str, stored: Any, lr: Moving, step: int, rest: Sequence[Any]) -> tuple[Any, Any]:
    """Rate and momentum (for adam also the corrections' logarithms), and step, in memory that replays write anew."""
    numbers = [*lr, *rest[1:3]] if name == "adam" else lr
    rate = capture.number(np.array(numbers, compute_type(_real(stored))))
    return rate, capture.number(np.array([step], np.int64))


def _real(dtype: Any) -> Any:
    return dtype if dtype.kind != "c" else np.empty(0, dtype).real.dtype


def _launch_part(name: str, lists: Any, lr: Moving, step: int, maximize: bool, rest: Sequence[Any]) -> None:
    """Launch for parameters of one dtype."""
    stored = lists[0][0].dtype
    kind, device = _real(stored), lists[0][0].data.device_id
    dense = alike(lists, stored)
    capture, logs = capturing.current(), None
    if capture is None:
        rates = _rates(lr, step, kind, device)
    else:
        rates = _live(capture, name, stored, lr, step, rest)
        logs = rates[0][2:]
    _start(name, kind, _tables(dense), rates, logs, device, maximize, rest)
    for k, each in enumerate(lists):
        if each is not None and k != 1:  # all but the gradients
            give_back(each, dense[k], stored)


def _rates(lr: Moving, step: int, kind: Any, device: int) -> tuple[Any, Any]:
    """Learning rate with momentum, and step, in device memory."""
    rate = np.array(lr, compute_type(kind))
    return _upload(rate.tobytes(), rate.dtype.name, device), _upload(np.int64(step).tobytes(), "int64", device)


def _start(
    name: str, kind: Any, tables: Any, rates: Any, logs: Any, device: int, maximize: bool, rest: Sequence[Any]
) -> None:
    """The launch itself: numbers in `rest` go in the compute type, truth values as integers, arrays as they are."""
    wide = compute_type(kind)
    sign = _upload(np.array([-1], wide).tobytes(), np.dtype(wide).name, device) if maximize else None
    numbers = [np.int32(r) if isinstance(r, bool) else wide(r) if isinstance(r, int | float) else r for r in rest]
    verdict = (None, None) if _state.verdict is None else _state.verdict[:2]
    extra = (*((logs,) if name == "adam" else ()), *verdict)
    given, count = tables
    function("optim.cu", name, kind)((count,), (_BLOCK,), (*given, *rates, sign, *numbers, *extra))


class _Ready:
    """What all updates of some lists of arrays have in common: all but the gradients' addresses and the numbers.

    Kept with a list of parameters that stays as it is (`Fixed`), where each of them has no gaps and its states lie as
    it does.
    """

    def __init__(self, name: str, lists: Sequence[Any]) -> None:
        params = lists[0]
        self.name, self.others = name, lists[2:]
        self.dtype, self.device = params[0].dtype, params[0].data.device_id
        self.orders = [(p.shape, None if p.flags.c_contiguous else p.strides) for p in params]
        self.tables: dict[Any, Any] = {}
        self.rates: dict[Any, Any] = {}

    def fits(self, name: str, lists: Sequence[Any]) -> bool:
        """Whether these are the same lists, and gradients that need no copy."""
        if name != self.name or any(a is not b for a, b in zip(lists[2:], self.others, strict=True)):
            return False
        dtype = self.dtype
        for g, (shape, strides) in zip(lists[1], self.orders, strict=True):
            alike = g.flags.c_contiguous if strides is None else g.strides == strides
            if not alike or g.dtype != dtype or g.shape != shape:
                return False
        return True

    def launch(self, lists: Sequence[Any], lr: Moving, step: int, maximize: bool, rest: Sequence[Any]) -> None:
        """One launch; what was uploaded for gradients at these addresses, or for this rate, is used again."""
        stream = current_stream()  # another one would not wait for the uploads
        places, now = (stream, *[g.data.ptr for g in lists[1]]), (stream, *lr, step)
        for known, key in (self.tables, places), (self.rates, now):
            if key not in known:
                if len(known) >= _MAX_KNOWN:
                    known.clear()
                made = _tables(lists) if known is self.tables else _rates(lr, step, self.dtype, self.device)
                known[key] = made
        _start(self.name, self.dtype, self.tables[places], self.rates[now], None, self.device, maximize, rest)


def _note(name: str, lists: Sequence[Any]) -> None:
    """Keep what is `_Ready` for the next update, where the lists stay as they are."""
    params = lists[0]
    if isinstance(params, Fixed):
        dtype, kept = params[0].dtype, [each for each in (params, *lists[2:]) if each is not None]
        one = dtype.kind != "c" and all(a.size and a.dtype == dtype for each in kept for a in each)
        params.known = _Ready(name, lists) if one and lie_alike(kept) else None


# The updates ----------------------------------------------------------------------------------------------------


@placed
def sgd(
    params: Sequence[Array],
    grads: Sequence[Array],
    buffers: Sequence[Array] | None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    maximize: bool = False,
    first: bool = False,
) -> None:
    """One step of stochastic gradient descent, in place; what it computes and the arguments are `cpu_optim.sgd`'s.

    Raises:
        ValueError: shapes do not match.
    """
    if not params:
        return
    if not momentum:
        buffers = None
    lists = (params, grads, buffers)
    # The kernel's first step sets the buffers, as `first` asks.
    moving = lr, momentum if buffers is not None else 0.0
    _launch("sgd", lists, moving, 1 if first else 2, maximize, dampening, weight_decay, nesterov)


@placed
def adam(
    params: Sequence[Array],
    grads: Sequence[Array],
    means: Sequence[Array],
    squares: Sequence[Array],
    largest: Sequence[Array] | None = None,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    bias1: float = 1.0,
    bias2: float = 1.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    """One step of Adam or, decoupled, AdamW, in place; what it computes and the arguments are `cpu_optim.adam`'s.

    Raises:
        ValueError: shapes do not match.
    """
    if not params:
        return
    lists = (params, grads, means, squares, largest)
    # The kernel takes the logarithms of the betas and a step t, and uses 1 - beta^t: with t = 1 and the logarithms of
    # 1 - bias it gets the corrections themselves.
    logs = [math.log1p(-b) if b < 1 else -math.inf for b in (bias1, bias2)]
    if _state.verdict is not None:  # only the device knows t
        logs = [math.log(b) if b > 0 else -math.inf for b in (beta1, beta2)]
    _launch("adam", lists, (lr, beta1), 1, maximize, beta2, *logs, eps, weight_decay, decoupled)


@placed
def rmsprop(
    params: Sequence[Array],
    grads: Sequence[Array],
    squares: Sequence[Array],
    means: Sequence[Array] | None = None,
    buffers: Sequence[Array] | None = None,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    maximize: bool = False,
) -> None:
    """One step of RMSprop, in place; what it computes and the arguments are `cpu_optim.rmsprop`'s.

    Raises:
        ValueError: shapes do not match.
    """
    if not params:
        return
    lists = (params, grads, squares, buffers, means)
    moving = lr, momentum if buffers is not None else 0.0
    _launch("rmsprop", lists, moving, 1, maximize, alpha, eps, weight_decay)


@placed
def adaptive(
    params: Sequence[Array], grads: Sequence[Array], first: Sequence[Array], second: Sequence[Array] | None = None, *,
    kernel: str, schedule: Schedule | None, step: int, lr: float, beta1: float = 0.0, beta2: float = 0.0,
    eps: float = 0.0, weight_decay: float = 0.0, decoupled: bool = False, maximize: bool = False,
) -> None:  # fmt: skip
    """One step of an adaptive update, in place; what it computes and the arguments are `cpu_optim.adaptive`'s.

    Raises:
        ValueError: shapes do not match.
    """
    if not params:
        return
    sizes, there = (1.0, 0.0, 0.0, 0.0), None
    if schedule is not None:
        sizes, device = schedule.at(step), params[0].data.device_id
        wide = compute_type(_real(params[0].dtype))
        there = on_device(schedule, step, wide, _state.verdict, lambda data, dtype: _upload(data, dtype, device))
    numbers = (beta2, eps, weight_decay, decoupled, *sizes, there)
    _launch(kernel, (params, grads, first, second), (lr, beta1), 1, maximize, *numbers)


@placed
def squared_norm(arrays: Sequence[Array]) -> Any:
    """The sum of the squares of all elements of all arrays, in a fixed order; it stays on the device.

    Returns:
        A 0-d array of the compute type; on the CPU the function of this name gives a float.
    """
    import cupy

    totals = [_squared_norm(part) for (part,) in by_dtype((arrays,))]
    if not totals:
        return cupy.zeros((), np.float32)
    return totals[0] if len(totals) == 1 else cupy.stack(totals).sum()


def _squared_norm(arrays: Any) -> Any:
    """Of arrays of one dtype, none of them empty."""
    import cupy

    arrays = [line(a, a.dtype) for a in arrays]
    tables, count = _tables((arrays,))
    kind = arrays[0].dtype
    wide = compute_type(kind)
    part = cupy.ndarray((count, 1), wide)
    function("optim.cu", "norm_partials", kind)((count,), (_BLOCK,), (*tables, np.int32(1), np.int32(0), part))
    return lines_added(part, np.dtype(wide)).reshape(())


@placed
def scale(arrays: Sequence[Array], factor: Any) -> None:
    """Multiply all arrays by one number (a Python number, or a 0-d array on the device) in place, in one launch."""
    import cupy

    def by(wide: Any, device: int) -> Any:
        if isinstance(factor, cupy.ndarray):
            return factor.astype(wide, copy=False)
        return _upload(np.array([factor], wide).tobytes(), wide.name, device)

    _change("scale", arrays, by)


@placed
def clip(arrays: Sequence[Array], most: float) -> None:
    """Cut all elements to [-most, most] in place, in one launch; a nan stays."""
    _change("clip", arrays, lambda wide, device: wide.type(most))


def _change(kernel: str, arrays: Sequence[Array], number: Any) -> None:
    """Launch a kernel that changes arrays in place by a number, given for their compute type and device."""
    for (given,) in by_dtype((arrays,)):
        stored = given[0].dtype  # type: ignore[index]
        dense = [line(a, stored) for a in given]  # type: ignore[union-attr]
        wide = np.dtype(compute_type(dense[0].dtype))
        tables, count = _tables((dense,))
        by = number(wide, dense[0].data.device_id)
        function("optim.cu", kernel, dense[0].dtype)((count,), (_BLOCK,), (*tables, by))
        give_back(given, dense, stored)
