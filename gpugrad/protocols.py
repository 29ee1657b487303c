"""How other libraries see a tensor: NumPy's and CuPy's protocols, DLPack, the array API's namespace.

Two rules hold here. A call that has one of our functions is that function; and a tensor that needs a gradient never
becomes a bare array without being asked by name, because the graph would be cut in silence. What the functions compute
is in `ops`.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from .backend import WrappedArray, backend_of
from .nodes import GradientError, Node
from .primitive import FUNCTIONS
from .signatures import called

# NumPy's modules whose functions find ours, and what the names of ours begin with in `FUNCTIONS`.
_SPACES = {"numpy": "", "numpy.fft": "", "numpy.linalg": "linalg."}
_OF_SHAPES = (np.shape, np.ndim, np.size)  # what they say no derivative depends on
# Ufuncs whose `__name__` is not that of our function.
_UFUNCS = {"conjugate": "conj", "true_divide": "divide", "invert": "bitwise_not"}
# `numpy.add.reduce(t)` and its kin, by ufunc and method.
_REDUCTIONS = {
    ("add", "reduce"): "sum", ("multiply", "reduce"): "prod", ("maximum", "reduce"): "max",
    ("minimum", "reduce"): "min", ("logical_and", "reduce"): "all", ("logical_or", "reduce"): "any",
    ("add", "accumulate"): "cumsum", ("multiply", "accumulate"): "cumprod",
}  # fmt: skip
# How CuPy's kernels name themselves: `cupy_sin`, `cupyx_scipy_special_erf`, `cupyx_scipy_gamma`.
_KERNELS = ("cupyx_scipy_special_", "cupyx_scipy_", "cupy_")
# What is wrong with a tensor where the memory of an array is wanted.
BARE: Final = "takes bare arrays only, which no gradient would find its way out of"


def _shaped(x: Any) -> Any:
    """An array of a tensor's shape, without its values."""
    return np.broadcast_to(np.int8(0), x.shape) if hasattr(x, "_node") else x


class Protocols:
    """The part of `Tensor` that other libraries call."""

    __slots__ = ()

    if TYPE_CHECKING:
        data: Any
        _node: Node | None

    def numpy(self) -> Any:
        """The values as a NumPy array: the same memory on the CPU, a copy from a GPU (waits for the device).

        Raises:
            GradientError: the tensor requires a gradient, which the array would cut; call `.detach()` first.
        """
        if self._node is not None:
            self._refuse_export("numpy()")
        return backend_of(self.data).to_host(self.data)

    def _refuse_export(self, what: str) -> NoReturn:
        raise GradientError(
            f"[{what}] the tensor requires a gradient, and a bare array would cut the graph in silence; "
            "use x.detach() (its array is x.detach().data)"
        )

    # NumPy -------------------------------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        caller = _caller(sys._getframe(1))
        if caller is not None and caller.startswith("cupy"):
            raise TypeError(for_arrays(caller))
        if self._node is not None:
            self._refuse_export("numpy.asarray")
        return np.asarray(self.numpy(), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" and (ufunc.__name__, method) in _REDUCTIONS:
            return _reduced(FUNCTIONS[_REDUCTIONS[ufunc.__name__, method]], method, *inputs, **kwargs)
        function = _named(ufunc.__name__) if method == "__call__" else None
        if any(out is not None for out in kwargs.get("out", ())):
            raise _no_out(f"numpy.{ufunc.__name__}")
        if method == "outer" and not kwargs and (function := _named(ufunc.__name__)) is not None:
            a, b = (x if hasattr(x, "shape") else np.asarray(x) for x in inputs)
            return function(a.reshape(a.shape + (1,) * b.ndim), b)
        if function is None:
            what = f"numpy.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
            raise TypeError(
                f"[{what}] on a tensor{' with ' + ', '.join(kwargs) + '=' if kwargs else ''} has no gradient rule; "
                f"use the function of this name in gpugrad.numpy if there is one, or x.detach().data for the bare array"
            )
        return called(function, ufunc, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in _OF_SHAPES:
            return func(*map(_shaped, args), **{k: _shaped(v) for k, v in kwargs.items()})
        module = func.__module__ or "numpy"
        function = FUNCTIONS.get(_SPACES[module] + func.__name__) if module in _SPACES else None
        if function is None:
            raise TypeError(
                f"[{module}.{func.__name__}] has no gradient rule for tensors; "
                "use x.detach().data for the bare array, or define the rule with gpugrad.primitive.Primitive"
            )
        return called(function, func, args, kwargs)

    # CuPy --------------------------------------------------------------------------------------------------------

    def __cupy_override_elementwise_kernel__(self, kernel: Any, *args: Any, **kwargs: Any) -> Any:
        """What CuPy calls in place of a ufunc or `ElementwiseKernel` that has a tensor among its arguments."""
        name = _kernel_name(kernel)
        if kwargs.get("out") is not None or len(args) > kernel.nin:  # `cupy_array += t` names its output last
            raise _no_out(f"cupy.{name}")
        given = sorted(k for k, v in kwargs.items() if v is not None and k != "out")
        function = _named(name)
        if function is None or given:
            raise TypeError(
                f"[cupy.{name}] on a tensor{' with ' + ', '.join(given) + '=' if given else ''} has no gradient rule; "
                "use a function of gpugrad.numpy or gpugrad.scipy.special, define a kernel with a gradient by "
                "@gpugrad.elementwise, or take the bare array, x.detach().data"
            )
        return function(*args)

    def __cupy_override_reduction_kernel__(
        self, kernel: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        """What CuPy calls in place of a reduction kernel of its own."""
        name = _kernel_name(kernel)
        if out is not None:
            raise _no_out(f"cupy.{name}")
        function = FUNCTIONS.get(name)
        if function is None or dtype is not None:
            raise TypeError(
                f"[cupy.{name}] on a tensor{' with dtype=' if dtype is not None else ''} has no gradient rule; "
                "use a reduction of gpugrad.numpy, or take the bare array, x.detach().data"
            )
        return function(self, axis=axis, keepdims=keepdims)

    @property
    def flags(self) -> NoReturn:
        """The layout of a bare array, which CuPy's functions ask for before they compute on its memory.

        Raises:
            AttributeError: always; names the function that asked, and ours to use instead.
        """
        raise AttributeError(for_arrays(_caller(sys._getframe(1))) + " (the layout itself is that of x.data.flags)")

    # Everybody ---------------------------------------------------------------------------------------------------

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The memory as a DLPack capsule, shared unless `copy` or `dl_device` ask otherwise.

        Args:
            stream: of the consumer, for a tensor on a GPU.
            max_version: the newest version of the protocol that the consumer knows.
            dl_device: where the consumer wants the data; the tensor's own device if not given.
            copy: True: always, False: never, None: only where it must be.

        Raises:
            GradientError: the tensor requires a gradient; call `.detach()` first.
            BufferError: inside vmap, a dtype or memory that DLPack does not know, or no way to that device.
        """
        if self._node is not None:
            self._refuse_export("__dlpack__")
        self._refuse_in_maps()
        given = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        return self.data.__dlpack__(**{name: value for name, value in given.items() if value is not None})

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's type and number of the device: (1, 0) for main memory, (2, i) for GPU i."""
        self._refuse_in_maps()
        return self.data.__dlpack_device__()  # type: ignore[no-any-return]

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """The tensor on another device, as `to`; `stream` is the standard's and has no meaning here."""
        return self.to(device)  # type: ignore[attr-defined]

    def _refuse_in_maps(self) -> None:
        if isinstance(self.data, WrappedArray):
            raise BufferError(
                "[__dlpack__] inside a vmap a tensor stands for all examples, which other libraries do not know of; "
                "convert outside the mapped function"
            )

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The namespace of the array API standard, `gpugrad.array_api`.

        Args:
            api_version: the version of the standard that is asked for, e.g. "2024.12".

        Raises:
            ValueError: another version than those that the namespace has.
        """
        array_api = importlib.import_module("gpugrad.array_api")  # a floor above, and only for those who ask
        if api_version not in (None, *array_api.VERSIONS):
            raise ValueError(
                f"[__array_namespace__] api_version = {api_version!r}; expected one of {', '.join(array_api.VERSIONS)}"
            )
        return array_api


def _named(name: str) -> Any:
    return FUNCTIONS.get(_UFUNCS.get(name, name))


def _reduced(
    function: Any, method: str, x: Any, axis: Any = 0, dtype: Any = None, out: Any = None, **kwargs: Any
) -> Any:
    """A ufunc's `reduce` or `accumulate`: along the first axis, if none is named."""
    if out is not None and out != (None,):
        raise _no_out(f"numpy.ufunc.{method}")
    given = {k: v for k, v in kwargs.items() if not (k == "keepdims" and method == "reduce")}
    if given:
        raise TypeError(
            f"[numpy.ufunc.{method}] on a tensor takes no {', '.join(given)}=; use gpugrad.numpy's functions"
        )
    result = function(x, axis=axis, **kwargs)
    return result if dtype is None else FUNCTIONS["astype"](result, dtype)


def _no_out(what: str) -> TypeError:
    return TypeError(
        f"[{what}] would write into an array that exists already, which the tape cannot follow (out=, or a += t on a "
        "bare array); assign the result instead, e.g. a = a + t"
    )


def _kernel_name(kernel: Any) -> str:
    name: str = kernel.name
    for prefix in _KERNELS:
        if name.startswith(prefix):
            return _UFUNCS.get(name.removeprefix(prefix), name.removeprefix(prefix))
    return name


def _caller(frame: Any) -> str | None:
    """The function of CuPy's that a program called: the outermost of the innermost run of its frames."""
    found = None
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in ("cupy", "cupyx"):
            found = f"cupy.{frame.f_code.co_name}"
        elif module != "gpugrad.bridges.cupy":  # whose thin functions stand between CuPy's
            break
        frame = frame.f_back
    return found


def for_arrays(caller: str | None, instead: str | None = None, what: str = BARE) -> str:
    """What to say of a function that takes no tensors; `instead` is ours, if it is not the one of the same name."""
    ours = "" if caller is None else caller.rpartition(".")[2]
    if instead is None:
        instead = f"gpugrad.numpy.{ours}" if ours in FUNCTIONS else "a function of gpugrad.numpy"
    return f"[{caller or 'flags'}] {what}; use {instead}, or the array, x.detach().data"
