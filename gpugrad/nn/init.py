"""Initialisers under PyTorch's names: they overwrite a tensor (or its bare array) in place, from gpugrad's generator.

He's and Glorot's rules keep the variance of activations and gradients from layer to layer; `calculate_gain` is the
factor for what an activation takes away. Fans are counted for weights of shape (out, in, *kernel).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .. import mutation
from ..backend import backend_of, is_array
from ..backend.placing import placed
from ..ops.special import erfinv
from ..tensor import Tensor, new_tensor

T = TypeVar("T", bound=Tensor)
F = TypeVar("F", bound=Callable[..., Any])


def _initialiser(function: F) -> F:
    """Decorator: an initialiser takes a bare array too, `weight.data`, and fills it in place."""

    @functools.wraps(function)
    def inner(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_array(tensor):
            return function(tensor, *args, **kwargs)
        function(new_tensor(tensor, None), *args, **kwargs)
        return tensor

    return inner  # type: ignore[return-value]


@placed
def _write(tensor: T, values: Any, what: str) -> T:
    backend_of(tensor.data).put(tensor.data, ..., values)
    mutation.changed(tensor.data, what)
    return tensor


def _require(tensor: Any, what: str, least: int = 0, exactly: int | None = None) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"[{what}] got a {type(tensor).__name__}; expected a tensor or a module's parameter")
    if tensor.dtype.kind not in "fcV":
        raise TypeError(f"[{what}] tensor {tensor.shape} is {tensor.dtype}; expected a floating point dtype")
    if tensor.ndim < least or exactly not in (None, tensor.ndim):
        wanted = f"{least} axes or more" if exactly is None else f"exactly {exactly} axes"
        raise ValueError(f"[{what}] tensor has shape {tensor.shape}; expected {wanted}, (out, in, ...)")


def fans(tensor: Tensor, what: str = "fans") -> tuple[int, int]:
    """How many inputs an output sees, and how many outputs an input reaches, of a weight (out, in, *kernel).

    Raises:
        ValueError: fewer than two axes.
    """
    _require(tensor, what, least=2)
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the standard deviation that makes up for what an activation does to the variance.

    Args:
        nonlinearity: "linear", "sigmoid", "tanh", "relu", "leaky_relu" or "selu", or the name of a convolution.
        param: the negative slope of "leaky_relu", 0.01 if not given.

    Raises:
        ValueError: another name.
    """
    if nonlinearity in ("linear", "sigmoid") or nonlinearity.startswith("conv"):
        return 1.0
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + (0.01 if param is None else param) ** 2))
    known = {"tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
    if nonlinearity not in known:
        names = ", ".join(["linear", "sigmoid", *known, "leaky_relu"])
        raise ValueError(f"[calculate_gain] nonlinearity = {nonlinearity!r}; expected one of {names}")
    return known[nonlinearity]


@_initialiser
def uniform_(tensor: T, a: float = 0.0, b: float = 1.0) -> T:
    """Uniform numbers in [a, b).

    Raises:
        ValueError: `b` is below `a`.
        TypeError: not a floating point tensor (of all initialisers).
    """
    _require(tensor, "uniform_")
    if b < a:
        raise ValueError(f"[uniform_] a = {a}, b = {b}; expected a <= b")
    x = tensor.data
    return _write(tensor, backend_of(x).random("uniform", x.shape, x.dtype, a, b), "uniform_")


@_initialiser
def normal_(tensor: T, mean: float = 0.0, std: float = 1.0) -> T:
    """Normal numbers of the given mean and standard deviation.

    Raises:
        ValueError: `std` is negative.
    """
    _require(tensor, "normal_")
    if std < 0:
        raise ValueError(f"[normal_] std = {std}; expected 0 or more")
    x = tensor.data
    return _write(tensor, backend_of(x).random("normal", x.shape, x.dtype, mean, std), "normal_")


@_initialiser
@placed
def trunc_normal_(tensor: T, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> T:
    """Normal numbers of the given mean and standard deviation, cut off outside [a, b].

    Raises:
        ValueError: `b` is below `a`.
    """
    low, high = (math.erf((edge - mean) / (std * math.sqrt(2.0))) for edge in (a, b))
    values = erfinv(uniform_(tensor, low, high).data) * (std * math.sqrt(2.0)) + mean
    return _write(tensor, backend_of(tensor.data).xp.clip(values, a, b), "trunc_normal_")


@_initialiser
def constant_(tensor: T, val: float) -> T:
    """One number everywhere."""
    _require(tensor, "constant_")
    return _write(tensor, val, "constant_")


@_initialiser
def zeros_(tensor: T) -> T:
    """Zeros."""
    return constant_(tensor, 0.0)


@_initialiser
def ones_(tensor: T) -> T:
    """Ones."""
    return constant_(tensor, 1.0)


@_initialiser
def eye_(tensor: T) -> T:
    """Ones on the diagonal of a matrix, zeros beside it: a linear layer that keeps its input.

    Raises:
        ValueError: not a matrix.
    """
    _require(tensor, "eye_", exactly=2)
    x = tensor.data
    return _write(tensor, backend_of(x).xp.eye(*x.shape, dtype=x.dtype), "eye_")


@_initialiser
def dirac_(tensor: T, groups: int = 1) -> T:
    """A convolution of (out, in, *kernel) that keeps its input, as far as there are channels, in each group.

    Raises:
        ValueError: not three to five axes, or `out` is no multiple of `groups`.
    """
    _require(tensor, "dirac_", least=3)
    out, channels, *kernel = tensor.shape
    if len(kernel) > 3 or groups < 1 or out % groups:
        raise ValueError(
            f"[dirac_] tensor has shape {tensor.shape}, groups = {groups}; expected three to five axes, the first a "
            "multiple of groups"
        )
    values, each = np.zeros(tensor.shape), out // groups
    for row in range(out):
        if row % each < channels:
            values[(row, row % each, *(n // 2 for n in kernel))] = 1
    return _write(tensor, backend_of(tensor.data).from_host(values), "dirac_")


@_initialiser
@placed
def sparse_(tensor: T, sparsity: float, std: float = 0.01) -> T:
    """Normal numbers in a matrix, the share `sparsity` of each column 0 (Martens 2010).

    Raises:
        ValueError: not a matrix.
    """
    _require(tensor, "sparse_", exactly=2)
    backend, rows = backend_of(tensor.data), tensor.shape[0]
    place = backend.xp.argsort(backend.random("uniform", tensor.shape, np.dtype(np.float32)), axis=0)
    kept = backend.xp.argsort(place, axis=0) >= math.ceil(sparsity * rows)
    return _write(tensor, normal_(tensor, 0, std).data * kept, "sparse_")


@_initialiser
def xavier_uniform_(tensor: T, gain: float = 1.0) -> T:
    """Uniform with variance `gain^2 * 2 / (fan_in + fan_out)` (Glorot and Bengio 2010).

    Raises:
        ValueError: fewer than two axes.
    """
    bound = gain * math.sqrt(6.0 / sum(fans(tensor, "xavier_uniform_")))
    return uniform_(tensor, -bound, bound)


@_initialiser
def xavier_normal_(tensor: T, gain: float = 1.0) -> T:
    """Normal with variance `gain^2 * 2 / (fan_in + fan_out)` (Glorot and Bengio 2010).

    Raises:
        ValueError: fewer than two axes.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor, "xavier_normal_"))))


def _he_std(tensor: Tensor, a: float, mode: str, nonlinearity: str, what: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'[{what}] mode = {mode!r}; expected "fan_in" or "fan_out"')
    fan = fans(tensor, what)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


@_initialiser
def kaiming_uniform_(tensor: T, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> T:
    """Uniform with variance `gain^2 / fan` (He et al. 2015).

    Args:
        tensor: (out, in, *kernel).
        a: negative slope of the leaky ReLU that follows.
        mode: "fan_in" keeps the variance forward, "fan_out" backward.
        nonlinearity: as `calculate_gain`.

    Raises:
        ValueError: fewer than two axes, or another mode or nonlinearity.
    """
    bound = math.sqrt(3.0) * _he_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound)


@_initialiser
def kaiming_normal_(tensor: T, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> T:
    """Normal with variance `gain^2 / fan` (He et al. 2015); arguments as `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _he_std(tensor, a, mode, nonlinearity, "kaiming_normal_"))


@_initialiser
def orthogonal_(tensor: T, gain: float = 1.0) -> T:
    """`gain` times a random orthogonal matrix (Saxe et al. 2014); later axes count as columns.

    Rows are orthonormal, or columns where there are fewer of them. Drawn evenly over all such matrices: the factor
    Q of a normal matrix, with the signs of R's diagonal (Mezzadri 2007).

    Raises:
        ValueError: fewer than two axes.
    """
    _require(tensor, "orthogonal_", least=2)
    backend, rows = backend_of(tensor.data), tensor.shape[0]
    columns = tensor.data.size // rows if rows else 0
    shape = (max(rows, columns), min(rows, columns))
    q, r = backend.xp.linalg.qr(backend.random("normal", shape, "float64"))
    q *= backend.xp.where(backend.xp.diagonal(r) < 0, -gain, gain)
    return _write(tensor, (q.T if rows < columns else q).reshape(tensor.shape), "orthogonal_")


he_normal_, he_uniform_ = kaiming_normal_, kaiming_uniform_
glorot_normal_, glorot_uniform_ = xavier_normal_, xavier_uniform_
