"""CuPy's functions and ufuncs, as far as gpugrad uses them, on the stand-in's arrays.

`NAMES` is the complete list; the arithmetic is NumPy's. Where the real CuPy is installed, its signatures are the
law: an argument that it does not know is refused here too.
"""

import functools
import inspect
import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from .ndarray import SCALARS, allocate, check_device, computed, ndarray, own, result
from .state import STATE

NAMES: dict[str, Callable[..., Any]] = {}

UFUNCS = (
    "add subtract multiply divide true_divide floor_divide remainder mod fmod power negative positive "
    "absolute abs sign square sqrt cbrt reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin "
    "arccos arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh floor ceil trunc rint maximum minimum fmax "
    "fmin hypot copysign heaviside logaddexp logaddexp2 greater greater_equal less less_equal equal not_equal "
    "logical_and logical_or logical_xor logical_not isnan isinf isfinite signbit bitwise_and bitwise_or "
    "bitwise_xor invert conj conjugate deg2rad rad2deg nextafter"
).split()

# name -> what makes the host wait in it, if anything does
FUNCTIONS: dict[str, str | None] = dict.fromkeys(
    "sum prod mean var std max min amax amin argmax argmin any all cumsum cumprod count_nonzero reshape ravel "
    "transpose swapaxes moveaxis squeeze expand_dims broadcast_to broadcast_arrays concatenate stack split "
    "array_split pad flip roll repeat tile take take_along_axis where sort argsort searchsorted tril triu "
    "diag diagonal trace clip diff zeros_like ones_like empty_like full_like ascontiguousarray "
    "may_share_memory shares_memory atleast_1d matmul dot tensordot einsum outer inner".split()
)
FUNCTIONS |= dict.fromkeys("tri isclose partition argpartition ndim shape size".split())
FUNCTIONS |= dict.fromkeys("isin convolve unwrap isreal iscomplex digitize frexp".split())
FUNCTIONS |= {"histogram": "histogram", "bincount": "bincount"}
FUNCTIONS |= {"nonzero": "nonzero", "unique": "unique", "array_equal": None, "allclose": None}
CUBLAS = frozenset("matmul dot tensordot einsum inner".split())

ATOMIC = ("int32", "uint32", "uint64", "float16", "float32", "float64", "complex64", "complex128")

# What calls the method of its argument, whoever that is; everything else takes cupy.ndarrays only.
BY_METHOD = frozenset("sum mean max min prod var std argmax argmin transpose squeeze swapaxes".split())

METHODS = (
    "sum prod mean var std max min argmax argmin any all cumsum cumprod take repeat argsort dot clip trace round conj"
).split()


def bare(value: Any) -> Any:
    """The NumPy value behind an argument; refuses what CuPy refuses."""
    if isinstance(value, ndarray):
        check_device(value)
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, list | tuple):
        return type(value)(bare(v) for v in value)
    return value


@functools.cache
def _signature(name: str) -> inspect.Signature | None:
    from . import real_cupy

    try:
        return inspect.signature(getattr(real_cupy(), name))
    except (AttributeError, TypeError, ValueError):
        return None


def _check_arguments(name: str, args: Any, kwargs: Any) -> None:
    law = _signature(name)
    if law is not None:
        law.bind(*args, **kwargs)


def _ufunc(name: str) -> Callable[..., Any]:
    numpys = getattr(np, name)

    def call(*args: Any, out: Any = None, dtype: Any = None) -> Any:
        STATE.calls[name] += 1
        for a in args:
            hook = getattr(a, "__cupy_override_elementwise_kernel__", None)
            if hook is not None:
                kwargs = {k: v for k, v in (("out", out), ("dtype", dtype)) if v is not None}
                return hook(call, *args, **kwargs)
        if len(args) == numpys.nin + 1 and out is None:
            *args, out = args  # type: ignore[assignment]
        for a in args:
            if not isinstance(a, (ndarray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(a)}")
        if out is not None and not isinstance(out, ndarray):
            raise TypeError(f"Unsupported type {type(out)}: out= must be a cupy.ndarray")
        check_device(*args, out)
        kwargs = {} if dtype is None else {"dtype": dtype}
        with np.errstate(all="ignore"):
            given = [bare(a) for a in args]
            if out is not None:
                into = out._a
                STATE.work(lambda: numpys(*given, out=into, **kwargs))
                return out
            return computed(lambda: numpys(*given, **kwargs))

    def at(a: Any, indices: Any, b: Any = None) -> None:
        if name != "add" or a.dtype.name not in ATOMIC:
            raise NotImplementedError(f"cupy.{name}.at for {a.dtype}: CuPy has atomics for add on {', '.join(ATOMIC)}")
        given = bare(a), bare(indices), bare(b)
        STATE.work(lambda: np.add.at(*given))

    def reduce(a: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        if name not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{name}.reduce` is not supported yet")
        return (a.sum if name == "add" else a.prod)(axis, dtype, out, keepdims)

    call.at, call.reduce = at, reduce  # type: ignore[attr-defined]
    call.__name__ = name
    call.name = f"cupy_{name}"  # type: ignore[attr-defined]
    call.nin = numpys.nin  # type: ignore[attr-defined]
    return call


def _function(name: str, waits: str | None) -> Callable[..., Any]:
    numpys = getattr(np, name)

    @functools.wraps(numpys)
    def call(*args: Any, **kwargs: Any) -> Any:
        STATE.calls[name] += 1
        _check_arguments(name, args, kwargs)
        foreign = [a for a in args if hasattr(a, "__cupy_override_elementwise_kernel__")]
        if foreign and name in BY_METHOD:
            return getattr(args[0], name)(*args[1:], **kwargs)
        if foreign:
            kind = type(foreign[0]).__name__
            raise TypeError(f"Argument 'a' has incorrect type (expected cupy._core.core._ndarray_base, got {kind})")
        if waits is not None or (name == "where" and len(args) == 1):
            STATE.sync(waits or "where")
        if name in CUBLAS:
            STATE.library(name)
        out = kwargs.get("out")
        if out is not None and not isinstance(out, ndarray):
            raise TypeError(f"out= must be a cupy.ndarray, got {type(out)}")
        if name in ("matmul", "dot") and not all(isinstance(a, ndarray) for a in args):
            raise TypeError(f"{name} takes cupy.ndarray operands only, got {[type(a).__name__ for a in args]}")
        if name in ("sort", "argsort"):
            kwargs["kind"] = "stable"
        given, named = [bare(a) for a in args], {k: bare(v) for k, v in kwargs.items()}

        def compute() -> Any:
            return numpys(*given, **named)

        with np.errstate(all="ignore"):
            found = compute()
        if out is not None:
            STATE.again(out._a, compute)
            return out
        operands = [a for x in args for a in (x if isinstance(x, list | tuple) else (x,))]
        if type(found) in (bool, int) or name == "shape":
            return found
        if isinstance(found, list | tuple):
            plain = type(found) in (list, tuple)
            parts = [lambda i=i: compute()[i] for i in range(len(found))]
            if not plain:
                return tuple(map(computed, parts))
            return type(found)(result(f, *operands, compute=p) for f, p in zip(found, parts, strict=True))
        return result(found, *operands, compute=compute)

    return call


def _method(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        if name == "dot":
            return NAMES["dot"](self, *args, **kwargs)
        STATE.calls[f"ndarray.{name}"] += 1
        check_device(self)
        out = kwargs.get("out")
        if name == "argsort":
            kwargs["kind"] = "stable"
        given, named, mine = [bare(a) for a in args], {k: bare(v) for k, v in kwargs.items()}, self._a

        def compute() -> Any:
            return getattr(mine, name)(*given, **named)

        with np.errstate(all="ignore"):
            found = compute()
        if out is not None:
            STATE.again(out._a, compute)
            return out
        return result(found, self, compute=compute)

    method.__name__ = name
    return method


def _operator(name: str, reflected: bool = False) -> Callable[..., Any]:
    def operate(self: ndarray, other: Any) -> Any:
        if not isinstance(other, (ndarray, *SCALARS)):
            if hasattr(other, "__array_ufunc__") and not isinstance(other, np.ndarray):
                if other.__array_ufunc__ is None:
                    return NotImplemented
                pair = (other, self) if reflected else (self, other)
                return getattr(np, name)(*pair)
            if getattr(other, "__array_priority__", 0) > self.__array_priority__:
                return NotImplemented
        return NAMES[name](other, self) if reflected else NAMES[name](self, other)

    return operate


def _inplace(name: str) -> Callable[..., Any]:
    def operate(self: ndarray, other: Any) -> Any:
        return NAMES[name](self, other, self)

    return operate


_OPERATORS = dict(
    pair.split(":")
    for pair in (
        "add:add sub:subtract mul:multiply truediv:divide floordiv:floor_divide mod:remainder pow:power "
        "and:bitwise_and or:bitwise_or xor:bitwise_xor matmul:matmul"
    ).split()
)
_COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip


def _copied(a: np.ndarray, order: str = "C") -> ndarray:
    fresh = allocate(a.shape, a.dtype, order)
    fresh[...] = a
    return own(fresh)


def array(
    obj: Any, dtype: Any = None, copy: Any = True, order: str = "K", ndmin: int = 0, *, blocking: bool = False
) -> Any:
    """A device array from host or device data."""
    STATE.calls["array"] += 1
    if isinstance(obj, ndarray):
        same = dtype is None or obj.dtype == np.dtype(dtype)
        return obj if same and not copy else obj.astype(dtype or obj.dtype)
    made = np.array(obj, dtype=dtype, ndmin=ndmin)
    if STATE.capturing:
        STATE.sync("copy from the host")
    return _copied(made)


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> Any:
    """The same, sharing where it is a device array already."""
    return array(a, dtype, copy=bool(copy))


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    """A NumPy array with the values of `a`; waits."""
    return a.get(order=order, out=out) if isinstance(a, ndarray) else np.asarray(a)


def as_strided(x: Any, shape: Any = None, strides: Any = None) -> Any:
    """`cupy.lib.stride_tricks.as_strided`: a view."""
    STATE.calls["as_strided"] += 1
    check_device(x)
    return result(np.lib.stride_tricks.as_strided(x._a, shape, strides), x)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    """Write `src` into `dst`."""
    check_device(dst, src)
    given, mask = (bare(dst), bare(src)), True if where is None else bare(where)
    STATE.work(lambda: np.copyto(*given, casting=casting, where=mask))


def _filled(name: str) -> Callable[..., Any]:
    value = {"zeros": 0, "ones": 1}.get(name)

    def call(shape: Any, dtype: Any = float, order: str = "C") -> Any:
        made = allocate(shape, dtype, order)
        out = own(made)
        if value is not None:
            STATE.work(lambda: made.__setitem__(..., value))
        return out

    return call


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> Any:
    """A device array of one value."""
    made = allocate(shape, np.asarray(bare(fill_value)).dtype if dtype is None else dtype, order)
    out, value = own(made), bare(fill_value)
    STATE.work(lambda: made.__setitem__(..., value))
    return out


def broadcast(*arrays: Any) -> Any:
    """An object with the common shape and the arrays brought to it."""
    shape = np.broadcast_shapes(*(a.shape for a in arrays if isinstance(a, ndarray)))
    return types.SimpleNamespace(
        shape=shape, size=math.prod(shape), values=[NAMES["broadcast_to"](a, shape) for a in arrays]
    )


def result_type(*args: Any) -> Any:
    """NumPy's promotion; arrays count by their dtype."""
    return np.result_type(*(a.dtype if isinstance(a, ndarray) else a for a in args))


def fourier(name: str) -> Callable[..., Any]:
    """A function of `cupy.fft`, which takes no `out`."""

    def call(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
        STATE.calls[name] += 1
        STATE.library("cufft")
        return result(getattr(np.fft, name)(bare(a), s, axes, norm), a)

    return call


def install() -> None:
    """Fill `NAMES` and give the array class its methods and operators."""
    NAMES.update({name: _ufunc(name) for name in UFUNCS})
    NAMES.update({name: _function(name, waits) for name, waits in FUNCTIONS.items()})
    NAMES.update({name: _filled(name) for name in ("empty", "zeros", "ones")})
    NAMES.update(
        broadcast=broadcast, array=array, asarray=asarray, asnumpy=asnumpy, copyto=copyto, full=full,
        result_type=result_type,
        arange=lambda *a, dtype=None: computed(lambda: np.arange(*a, dtype=dtype)),
        linspace=lambda *a, dtype=None: computed(lambda: np.linspace(*a, dtype=dtype)),
        eye=lambda *a, dtype=float: computed(lambda: np.eye(*a, dtype=dtype)),
    )  # fmt: skip
    for name in METHODS:
        setattr(ndarray, name, _method(name))
    for short, name in _OPERATORS.items():
        setattr(ndarray, f"__{short}__", _operator(name))
        setattr(ndarray, f"__r{short}__", _operator(name, reflected=True))
        setattr(ndarray, f"__i{short}__", _inplace(name))
    for short, name in _COMPARISONS.items():
        setattr(ndarray, f"__{short}__", _operator(name))
    for short, name in (("neg", "negative"), ("pos", "positive"), ("abs", "absolute"), ("invert", "invert")):
        setattr(ndarray, f"__{short}__", lambda self, name=name: NAMES[name](self))


install()
