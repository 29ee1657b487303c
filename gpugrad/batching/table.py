"""The table of batched functions: which rule runs for a name, and what happens where there is none.

A call goes to the outermost map among its operands. Its rule computes on the arrays of all examples with the functions
of the level below; a function without a rule runs example by example, so that every function has an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import numpy as np

from ..backend import Backend, is_array
from .array import BatchArray, BatchError, _hooks

Rule = Callable[..., Any]

# name -> rule(backend, name, *args, **kwargs); names of submodules and of ufuncs' methods are dotted: "linalg.inv".
RULES: Final[dict[str, Rule]] = {}
METHODS: Final[dict[str, Rule]] = {}  # methods of arrays that are no function of that name: rule(x, *args, **kwargs)


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Decorator: the rule of the functions `names`."""

    def register(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return register


def highest(values: Iterable[Any]) -> Any:
    """The backend of the outermost map among (nested lists of) operands; None where there is no example."""
    top: Any = None
    for v in values:
        if isinstance(v, BatchArray):
            found: Any = v.backend
        elif isinstance(v, (list, tuple)):
            found = highest(v)
        else:
            continue
        if found is not None and (top is None or found.level > top.level):
            top = found
    return top


def under(level: Any, values: Iterable[Any]) -> Backend:
    """The backend that computes on the arrays of all examples of a map."""
    found = highest(values)
    return level.root if found is None else found  # type: ignore[no-any-return]


def function(xp: Any, name: str) -> Any:
    """The function of a dotted name in an array module."""
    for part in name.split("."):
        xp = getattr(xp, part)
    return xp


def tree(change: Callable[[Any], Any], value: Any) -> Any:
    """`change` applied to the leaves of nested tuples, lists and dicts."""
    if isinstance(value, (list, tuple)):
        parts = [tree(change, v) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if type(value) is dict:
        return {k: tree(change, v) for k, v in value.items()}
    return change(value)


def wrap(level: Any, result: Any, batched: bool = True) -> Any:
    """The arrays of a result as examples of a map."""
    if is_array(result):
        return BatchArray(result, level, batched)
    if isinstance(result, np.generic):
        return BatchArray(np.asarray(result), level, batched)
    if isinstance(result, (list, tuple)):
        return tree(lambda v: wrap(level, v, batched), result)
    return result


def holds(level: Any, x: Any) -> bool:
    """Whether `x` differs among the examples of the map."""
    return isinstance(x, BatchArray) and x.batched and x.backend.level == level.level  # type: ignore[attr-defined]


def any_held(level: Any, value: Any) -> bool:
    """The same of nested operands."""
    if isinstance(value, (list, tuple)):
        return any(any_held(level, v) for v in value)
    if type(value) is dict:
        return any(any_held(level, v) for v in value.values())
    return holds(level, value)


def strip(level: Any, x: Any) -> Any:
    """What an operand of this map holds; anything else as it is."""
    if isinstance(x, BatchArray) and x.backend.level == level.level:  # type: ignore[attr-defined]
        return x.value
    return x


def full(level: Any, x: Any) -> Any:
    """An operand as the array of all examples, repeated (as a view) where it is the same for all."""
    if holds(level, x):
        return x.value
    x = strip(level, x)
    backend = under(level, (x,))
    x = x if is_array(x) else backend.xp.asarray(x)
    return backend.xp.broadcast_to(x, (level.size, *x.shape))


def aligned(level: Any, x: Any, rank: int) -> Any:
    """An operand of all examples such that its axes broadcast against examples of `rank` axes."""
    if not isinstance(x, BatchArray) or x.backend.level != level.level:  # type: ignore[attr-defined]
        return x
    missing = rank - len(x.shape)
    if not x.batched or missing <= 0:
        return x.value
    shape = x.value.shape
    return x.value.reshape((shape[0], *(1,) * missing, *shape[1:]))


def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], home: Any) -> Any:
    """Run a function of the array module on operands of which some are examples; `home` is asked where none is."""
    top = highest(args) if not kwargs else highest((*args, *kwargs.values()))
    if top is None:
        return function(home.root.xp, name)(*args, **kwargs)
    if not any_held(top, args) and not any_held(top, kwargs):
        args, kwargs = tree(lambda v: strip(top, v), args), tree(lambda v: strip(top, v), kwargs)
        return wrap(top, call(name, args, kwargs, home), False)
    found = RULES.get(name)
    if found is None:
        return by_example(top, name, *args, **kwargs)
    return found(top, name, *args, **kwargs)


def method(x: BatchArray, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a method of NumPy's arrays."""
    own = METHODS.get(name)
    if own is not None:
        return own(x, *args, **kwargs)
    if name in RULES or hasattr(np, name):
        return call(name, (x, *args), kwargs, x.backend)
    return loop(highest((x, *args)), name, lambda a, *rest, **kw: getattr(a, name)(*rest, **kw), (x, *args), kwargs)


def by_example(level: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """The rule of functions that have none: run it example by example."""

    def run(*given: Any, **named: Any) -> Any:
        return function(under(level, (*given, *named.values())).xp, name)(*given, **named)

    return loop(level, name, run, args, kwargs)


def loop(level: Any, name: str, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`run` for each example, and the results in one array.

    Raises:
        BatchError: results of different shapes.
    """
    if kwargs.get("out") is not None:
        raise BatchError(f"[vmap] {name} with out= of values that differ from example to example; leave out= away")

    results = [run(*example(level, i, args), **example(level, i, kwargs)) for i in range(max(level.size, 1))]
    return together(level, name, results)


def example(level: Any, i: int, operands: Any) -> Any:
    """Nested operands of example `i`; of zeros where there is no example that could be asked for shapes."""

    def pick(v: Any) -> Any:
        if not holds(level, v):
            return strip(level, v)
        return v.value[i, ...] if level.size else under(level, (v.value,)).xp.zeros(v.shape, v.dtype)

    return tree(pick, operands)


def together(level: Any, name: str, results: list[Any]) -> Any:
    """The results of all examples as one, in the structure of the first."""
    first = results[0]
    if isinstance(first, (list, tuple)):
        if any(len(r) != len(first) for r in results):
            raise _differs(name, [len(r) for r in results])
        parts = [together(level, name, [r[i] for r in results]) for i in range(len(first))]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if first is None or isinstance(first, (str, np.dtype, type)):
        return first
    xp = under(level, results).xp
    arrays = [r if is_array(r) else xp.asarray(r) for r in results]
    if any(a.shape != arrays[0].shape for a in arrays):
        raise _differs(name, sorted({a.shape for a in arrays}))
    stacked = xp.stack(arrays)
    return BatchArray(stacked if level.size else stacked[:0], level)


def _differs(name: str, shapes: Any) -> BatchError:
    return BatchError(
        f"[vmap] the shape of the result of {name} depends on the values: {shapes[:4]} among the examples; use a form "
        "of fixed shape (gg.where(mask, x, 0) in place of x[mask]), or loop over the examples"
    )


# Functions that make arrays of nothing: rule(home, *args, **kwargs).
CREATION: Final[dict[str, Rule]] = {}


class Namespace:
    """The array module of a map: every function of NumPy's, for examples as for single arrays.

    Functions that fill new arrays make one for each example, so that any result can be written to them.
    """

    __slots__ = ("_home", "_space")

    def __init__(self, home: Any, space: str = "") -> None:
        self._home, self._space = home, space

    def __getattr__(self, name: str) -> Any:
        full_name = self._space + name
        if full_name in CREATION:
            return partial(CREATION[full_name], self._home)
        if name == "ndarray":  # what isinstance takes: both are arrays of this module
            return (BatchArray, self._home.root.xp.ndarray)
        found = function(self._home.root.xp, full_name)  # an AttributeError where the module has no such function
        if full_name in ("linalg", "fft"):
            return Namespace(self._home, full_name + ".")
        if not callable(found) or isinstance(found, type):
            return found
        return _Function(self._home, full_name)


class _Function:
    """A function of a map's array module, with the methods that ufuncs have; its results belong to the map."""

    __slots__ = ("__name__", "_home")

    def __init__(self, home: Any, name: str) -> None:
        self._home, self.__name__ = home, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = call(self.__name__, args, kwargs, self._home)
        return result if isinstance(result, BatchArray) or highest((result,)) else wrap(self._home, result, False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Function(self._home, f"{self.__name__}.{name}")


def foreign(run: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any], by_element: bool) -> Any:
    """A function that is not of the array module: on all examples if it works by element, else on one at a time."""
    level: Any = highest((*args, *kwargs.values()))
    if not by_element or kwargs or getattr(run, "signature", None):
        return loop(level, name, run, args, kwargs)
    rank = max([len(a.shape) if is_array(a) else np.ndim(a) for a in args])
    return wrap(level, run(*[aligned(level, a, rank) for a in args]), any_held(level, args))


_hooks.update(call=call, method=method, foreign=foreign)
