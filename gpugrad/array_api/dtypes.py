"""Dtypes by the array API's functions: casting, limits, kinds, promotion."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..ops.cast import astype as _astype
from ..tensor import Tensor


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """`x` with another dtype, copied unless `copy` is False and nothing changes, on `device` if one is given."""
    out = _astype(x, dtype, copy)
    return out if device is None else out.to(device)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether a dtype, or that of a tensor, can be cast to another by the promotion rules."""
    return bool(np.can_cast(getattr(from_, "dtype", from_), to))


class FloatInfo(NamedTuple):
    """Limits of a floating point dtype as Python floats: NumPy's are of the dtype itself."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: Any


def finfo(type: Any, /) -> FloatInfo:
    """Limits of a floating point dtype, or of that of a tensor; of a complex one those of its parts."""
    found = np.finfo(_dtype(type))
    return FloatInfo(
        found.bits,
        float(found.eps),
        float(found.max),
        float(found.min),
        float(found.smallest_normal),
        found.dtype,
    )


def iinfo(type: Any, /) -> Any:
    """Limits of an integer dtype, or of that of a tensor."""
    return np.iinfo(_dtype(type))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is another one, or of a kind: "bool", "integral", "real floating", "numeric" and so on."""
    return bool(np.isdtype(dtype, kind))


def result_type(*arrays_and_dtypes: Any) -> Any:
    """The dtype that the operands have after promotion; Python numbers are weak."""
    return np.result_type(*[x.dtype if isinstance(x, Tensor) else x for x in arrays_and_dtypes])


def _dtype(type: Any) -> Any:
    return np.dtype(getattr(type, "dtype", type) if not isinstance(type, np.dtype) else type)
