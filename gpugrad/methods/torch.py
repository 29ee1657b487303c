"""Methods that PyTorch's tensors have and arrays do not: the function of the name; in place, the method of the name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from ..primitive import FUNCTIONS


def _calls(name: str, key: str = "") -> Callable[..., Any]:
    """The method that calls the operation of its name, or that under `key`."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return FUNCTIONS[key or name](self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`gg.{key or name}` of this tensor."
    return method


def _writes(name: str) -> Callable[..., Any]:
    """The method that overwrites a tensor with what its method `name` gives."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.copy_(getattr(self, name)(*args, **kwargs))

    method.__name__ = method.__qualname__ = f"{name}_"
    method.__doc__ = f"`{name}` in place."
    return method


class TorchMethods:
    """One name each; arguments as the function takes them after the tensor."""

    __slots__ = ()

    addbmm, addcdiv, addcmul, addmv, addr = map(_calls, ("addbmm", "addcdiv", "addcmul", "addmv", "addr"))
    baddbmm, cummax, cummin, frac, index_copy = map(_calls, ("baddbmm", "cummax", "cummin", "frac", "index_copy"))
    index_fill, kthvalue, lerp, logcumsumexp = map(_calls, ("index_fill", "kthvalue", "lerp", "logcumsumexp"))
    mode, mv, narrow, scatter_reduce = map(_calls, ("mode", "mv", "narrow", "scatter_reduce"))
    take_along_dim, unique_consecutive = map(_calls, ("take_along_dim", "unique_consecutive"))
    det, inverse = _calls("det", "linalg.det"), _calls("inverse", "linalg.inv")
    matrix_power = _calls("matrix_power", "linalg.matrix_power")

    abs_, acos_, asin_, atan_, ceil_, cos_, cosh_ = map(_writes, ("abs", "acos", "asin", "atan", "ceil", "cos", "cosh"))
    erf_, exp_, exp2_, expm1_, floor_, frac_ = map(_writes, ("erf", "exp", "exp2", "expm1", "floor", "frac"))
    log_, log10_, log1p_, log2_ = map(_writes, ("log", "log10", "log1p", "log2"))
    neg_, reciprocal_ = map(_writes, ("neg", "reciprocal"))
    relu_, round_, rsqrt_, sigmoid_, sign_ = map(_writes, ("relu", "round", "rsqrt", "sigmoid", "sign"))
    sin_, sinh_, sqrt_, square_, tan_, tanh_ = map(_writes, ("sin", "sinh", "sqrt", "square", "tan", "tanh"))
    trunc_, nan_to_num_, remainder_, fmod_ = map(_writes, ("trunc", "nan_to_num", "remainder", "fmod"))
    floor_divide_, clip_, tril_, triu_ = map(_writes, ("floor_divide", "clip", "tril", "triu"))
    cumsum_, cumprod_, addmm_, baddbmm_ = map(_writes, ("cumsum", "cumprod", "addmm", "baddbmm"))
    addmv_, addr_, addbmm_, scatter_ = map(_writes, ("addmv", "addr", "addbmm", "scatter"))
    scatter_add_, scatter_reduce_, index_add_ = map(_writes, ("scatter_add", "scatter_reduce", "index_add"))
    index_copy_, index_fill_, index_put_ = map(_writes, ("index_copy", "index_fill", "index_put"))
    logical_and_, logical_or_, logical_not_ = map(_writes, ("logical_and", "logical_or", "logical_not"))
    clamp_min_, clamp_max_ = map(_writes, ("clamp_min", "clamp_max"))

    def select(self, dim: int, index: int) -> Self:
        """The slice at a position of an axis, without the axis; a view.

        Raises:
            IndexError: there is no such axis, or no such position.
        """
        like: Any = self
        n = like.ndim
        if not -n <= dim < n:
            raise IndexError(
                f"[select] dim = {dim} for a tensor of shape {tuple(like.shape)}; expected {-n} <= dim < {n}"
            )
        axis = dim + n if dim < 0 else dim
        return like[(slice(None),) * axis + (index,)]  # type: ignore[no-any-return]

    def clamp_min(self, min: Any) -> Self:
        """Not below `min`."""
        return FUNCTIONS["clip"](self, min, None)  # type: ignore[no-any-return]

    def clamp_max(self, max: Any) -> Self:
        """Not above `max`."""
        return FUNCTIONS["clip"](self, None, max)  # type: ignore[no-any-return]

    def new_tensor(self, data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Any:
        """A tensor with a copy of `data`, of this dtype and on this device."""
        like: Any = self
        return FUNCTIONS["torch.tensor"](data, like.dtype if dtype is None else dtype, like.device, requires_grad)

    def new_empty(self, *size: Any, dtype: Any = None) -> Any:
        """A tensor of another shape, of this dtype and on this device; what is in it is chance."""
        like: Any = self
        return FUNCTIONS["torch.empty"](*size, dtype=like.dtype if dtype is None else dtype, device=like.device)

    def is_complex(self) -> bool:
        """Whether the dtype is a complex one."""
        like: Any = self
        return bool(like.dtype.kind == "c")

    def short(self) -> Self:
        """With dtype int16, towards 0."""
        return FUNCTIONS["astype"](self, np.int16)  # type: ignore[no-any-return]

    def char(self) -> Self:
        """With dtype int8, towards 0."""
        return FUNCTIONS["astype"](self, np.int8)  # type: ignore[no-any-return]

    def byte(self) -> Self:
        """With dtype uint8, towards 0."""
        return FUNCTIONS["astype"](self, np.uint8)  # type: ignore[no-any-return]
