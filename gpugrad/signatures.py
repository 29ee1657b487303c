"""NumPy's signatures: what a call means that our function of the name does not take as it is written.

Our functions have NumPy's arguments in NumPy's order, under PyTorch's or our names (`x` for `a`, `arr`, `m`, `ary`),
without those that have no meaning on a tape. A call that they refuse is bound here as NumPy would bind it: names are
translated, arguments that keep NumPy's default are left out, and each of the others is done or refused by name, or,
where no tensor takes part, left to NumPy itself. A call that our function takes costs one Python call more.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, TypeVar

import numpy as np

from .primitive import FUNCTIONS

T = TypeVar("T")

_BY_PLACE: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
# What NumPy's ufuncs take beside their operands, with the values that change nothing.
UFUNC_OPTIONS: Final[dict[str, tuple[Any, ...]]] = {
    "out": (None, (None,)), "where": (True,), "casting": ("same_kind",), "order": ("K",), "dtype": (None,),
    "subok": (True,), "signature": (None,),
}  # fmt: skip


def numpys(function: Callable[..., Any], theirs: Callable[..., Any], holds: Callable[[Any], bool]) -> Any:
    """`function`, also under the signature of NumPy's function `theirs`; `holds` says whether tensors are in a list."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if _meant(function, error, args, kwargs):
                raise
            return as_numpy(function, theirs, args, kwargs, error, holds((*args, *kwargs.values())))

    return call


def adopt(space: dict[str, Any], theirs: Any, holds: Callable[[Any], bool]) -> None:
    """Put a namespace's functions that are ours under the signatures of those of NumPy's module `theirs`."""
    for name in space["__all__"]:
        own, other = space[name], getattr(theirs, name, None)
        if callable(other) and isinstance(own, FunctionType) and own.__module__.startswith("gpugrad."):
            space[name] = numpys(own, other, holds)


def called(function: Callable[..., T], theirs: Callable[..., Any], args: Any, kwargs: Any) -> T:
    """The result of `function` for a call of NumPy's function `theirs` that has tensors among its arguments."""
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        if _meant(function, error, args, kwargs):
            raise
        found: T = as_numpy(function, theirs, args, kwargs, error, True)
        return found


def _meant(function: Callable[..., Any], error: TypeError, args: Any, kwargs: Any) -> bool:
    """Whether an error is about values: in our words, or of a call that fits the function's own signature."""
    if str(error).startswith("["):
        return True
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def as_numpy(
    function: Callable[..., Any],
    theirs: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    error: TypeError,
    tensors: bool,
) -> Any:
    """Call `function` with arguments as NumPy's function `theirs` takes them.

    Raises:
        TypeError: NumPy does not take them either (`error`), or one of them has no meaning for a tensor.
    """
    try:
        bound = inspect.signature(theirs).bind(*args, **kwargs)
    except (TypeError, ValueError):
        raise error from None
    by_place, by_name, rest = _translated(function, bound)
    if rest and not tensors:
        return theirs(*args, **kwargs)
    name = getattr(theirs, "__name__", function.__name__)
    after = []
    for argument, value in rest.items():
        if argument not in _MEANINGS:
            _refuse(name, argument, value)
        after.append(_MEANINGS[argument](name, value, by_place, by_name))
    result = function(*by_place, **by_name)
    for step in after:
        result = result if step is None else step(result)
    return result


def _translated(
    function: Callable[..., Any], bound: inspect.BoundArguments
) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Arguments by place and by name for our function, and those that it does not have and that are not the default."""
    own, theirs = list(inspect.signature(function).parameters.values()), bound.signature.parameters
    names = [p.name for p in own]
    by_place: list[Any] = []
    by_name: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for place, (name, parameter) in enumerate(theirs.items()):
        if name not in bound.arguments:
            continue
        value = bound.arguments[name]
        same = own[place] if place < len(own) else None
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            by_place += value
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            by_name.update(value)
        elif same is not None and same.kind is inspect.Parameter.VAR_POSITIONAL:
            by_place = [*[by_name.pop(p.name) for p in own[:place] if p.name in by_name], value]
        elif name in names:
            by_name[name] = value
        elif same is not None and same.name not in theirs and _required(same) and _required(parameter):
            by_name[same.name] = value
        elif not _is(value, parameter.default):
            rest[name] = value
    only_by_place = [p.name for p in own if p.kind is inspect.Parameter.POSITIONAL_ONLY]
    return [*[by_name.pop(n) for n in only_by_place if n in by_name], *by_place], by_name, rest


def _required(parameter: inspect.Parameter) -> bool:
    """Whether it has no default; only such have the same meaning wherever they have the same place."""
    return parameter.default is parameter.empty and parameter.kind in _BY_PLACE


def _is(value: Any, default: Any) -> bool:
    plain = isinstance(value, (str, int, bool, tuple)) and type(value) is type(default)
    return value is default or (plain and bool(value == default))


def _refuse(name: str, argument: str, value: Any) -> Any:
    shown = repr(value) if isinstance(value, (str, int, float, bool, tuple)) else type(value).__name__
    raise TypeError(
        f"[{name}] {argument}={shown} is not supported for tensors; leave it out, or call numpy.{name} with the bare "
        "array, x.detach().data"
    )


def no_out(name: str) -> TypeError:
    """The error for `out=`: a result written into other memory would be unknown to the tape."""
    return TypeError(f"[{name}] out= is not supported; assign the result, or write it in place with x[...] = result")


def _out(name: str, value: Any, by_place: list[Any], by_name: dict[str, Any]) -> Any:
    raise no_out(name)


def _dtype(name: str, value: Any, by_place: list[Any], by_name: dict[str, Any]) -> Any:
    return lambda result: FUNCTIONS["astype"](result, value)


def _order(name: str, value: Any, by_place: list[Any], by_name: dict[str, Any]) -> Any:
    """The order in which elements are counted; elsewhere the order in memory, which a tensor chooses itself."""
    if "sort" in name or "partition" in name:  # there the field of a record to sort by
        _refuse(name, "order", value)
    if name not in ("reshape", "ravel"):
        return None
    if value != "F":
        flags = getattr(getattr(by_place[0] if by_place else by_name["x"], "data", None), "flags", None)
        if value in ("A", "K") and getattr(flags, "c_contiguous", False):
            return None
        raise TypeError(f"[{name}] order = {value!r}; expected 'C' or 'F': the memory of this tensor is in neither")
    _turn(by_place, by_name)
    if name == "ravel":
        return None
    shape = by_place.pop(1) if len(by_place) > 1 else by_name.pop("shape")
    shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    by_place.insert(1, shape[::-1])
    return lambda result: FUNCTIONS["permute"](result, tuple(range(len(shape)))[::-1])


def _turn(by_place: list[Any], by_name: dict[str, Any]) -> None:
    """Turn the axes of the operand round."""
    x = by_place.pop(0) if by_place else by_name.pop("x")
    by_place.insert(0, FUNCTIONS["permute"](x, tuple(range(x.ndim))[::-1]))


def _mode(name: str, value: Any, by_place: list[Any], by_name: dict[str, Any]) -> Any:
    """`take` out of bounds: at the nearest end ("clip") or counted round ("wrap")."""
    if name != "take" or value not in ("raise", "clip", "wrap"):
        _refuse(name, "mode", value)
    axis, indices = by_name.get("axis"), np.asarray(by_name["indices"])
    x = by_name["x"]
    n = x.size if axis is None else x.shape[axis]
    if value != "raise":
        by_name["indices"] = indices % n if value == "wrap" else indices.clip(0, n - 1)
    return None


def _nothing(name: str, value: Any, by_place: list[Any], by_name: dict[str, Any]) -> Any:
    return None


def _casting(name: str, value: Any, by_place: list[Any], by_name: dict[str, Any]) -> Any:
    return None if value in ("same_kind", "unsafe") else _refuse(name, "casting", value)


# What the arguments mean that NumPy's functions have and ours lack: changes of the call, and what follows it.
_MEANINGS: Final[dict[str, Callable[[str, Any, list[Any], dict[str, Any]], Any]]] = {
    "out": _out, "dtype": _dtype, "order": _order, "mode": _mode, "casting": _casting,
    "kind": _nothing,  # of sorting: all kinds give the same numbers
    "subok": _nothing, "copy": _nothing,  # no subclasses; a tensor's own copy or view
}  # fmt: skip


def as_ufunc(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: bool) -> Any:
    """The elementwise operation `function` for a call with arguments of NumPy's ufuncs (`out`, `where`, `dtype`, ...).

    Args:
        function: an operation with `name`, that of a ufunc of NumPy's, and `formula`.
        args: by position; more than the formula has inputs are arrays to write to.
        kwargs: with options of ufuncs among them.
        tensors: whether there is one among `args`; for bare arrays NumPy's ufunc does it all.

    Raises:
        TypeError: an option that would cut the graph (`out`, `where`), or that has no meaning for a tensor.
    """
    name, inputs = function.name, function.formula.inputs
    if not tensors:
        return getattr(np, name)(*args, **kwargs)
    if any(a is not None for a in args[len(inputs) :]):
        raise no_out(name)
    args = args[: len(inputs)]
    for option in [k for k in UFUNC_OPTIONS if k in kwargs]:
        value = kwargs.pop(option)
        if any(_is(value, harmless) for harmless in UFUNC_OPTIONS[option]):
            continue
        if option == "out":
            raise no_out(name)
        if option == "where":
            raise TypeError(
                f"[{name}] where= would leave elements that nobody has set; choose them with "
                f"where(mask, {name}(x), other)"
            )
        if option != "dtype":
            _refuse(name, option, value)
        args = tuple([FUNCTIONS["astype"](a, value) if hasattr(a, "dtype") else a for a in args])
    return function(*args, **kwargs)
