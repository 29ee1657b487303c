"""A function, run once on tensors that stand for its arguments: what every derivative of it is taken from.

Reverse mode pulls cotangents back through the record, forward mode pushes tangents through it. Inside another
transform, or on tensors that require a gradient, both are recorded in their turn.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of, is_array
from ..batching import USED
from ..gradmode import enable_grad, recording
from ..lifting import here, on_one_level
from ..nodes import Alias, Node
from ..ops.cast import astype
from ..tape import walk
from ..tensor import Tensor, new_leaf, new_tensor
from .push import push
from .tree import flatten, tree_map


class _Depth(threading.local):
    value: int = 0


_depth = _Depth()


def nesting() -> int:
    """How many transforms are running their function in this thread; their inner ones record what they do."""
    return _depth.value


@contextlib.contextmanager
def nested(depth: int) -> Iterator[None]:
    """A block within as many transforms as `depth` says."""
    before, _depth.value = _depth.value, depth
    try:
        yield
    finally:
        _depth.value = before


def require_function(who: str, f: Any) -> None:
    """Refuse what cannot be called.

    Raises:
        TypeError: naming what was given.
    """
    if not callable(f):
        raise TypeError(f"[{who}] got {type(f).__name__} {str(f)[:60]!r}; expected a function")


def positions(who: str, argnums: Any, count: int) -> tuple[int, ...]:
    """The positional arguments to differentiate, of `count`.

    Raises:
        TypeError: `argnums` is neither an integer nor several.
        ValueError: one is not there, or named twice.
    """
    several = isinstance(argnums, Sequence) and not isinstance(argnums, str)
    numbers = tuple(argnums) if several else (argnums,)
    if not all(isinstance(n, int | np.integer) for n in numbers):
        raise TypeError(f"[{who}] argnums = {argnums!r}; expected an integer, or a tuple of integers")
    for n in numbers:
        if not -count <= n < count:
            raise ValueError(f"[{who}] argnums = {argnums}, but {count} positional arguments were given")
    if len({n % count for n in numbers}) < len(numbers):
        raise ValueError(f"[{who}] argnums = {argnums} names an argument twice")
    return numbers


def apart(results: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """Results as arrays and tensors of memory of their own, since who gets them may write to one.

    A rule may hand one array on to several arguments, and so the one that was given to begin with.
    """
    taken = {id(_storage(g)) for g in given}
    out = []
    for result in results:
        if not isinstance(result, Tensor) or result._node is None:
            storage = id(_storage(result))
            if storage in taken:
                array = result.data if isinstance(result, Tensor) else result
                array = backend_of(array).copy(array)
                result = new_tensor(array, None) if isinstance(result, Tensor) else array
            taken.add(storage)
        out.append(result)
    return out


def _storage(x: Any) -> object:
    array = x.data if isinstance(x, Tensor) else x
    return backend_of(array).storage(array) if is_array(array) else x


class Inputs:
    """Arguments replaced by tensors that the tape can be walked back to."""

    def __init__(self, tree: Any, who: str) -> None:
        self.who = who
        leaves, self.build = flatten(tree)
        self.tensors = [_stand_in(leaf, who) for leaf in leaves]
        self.nodes: list[Node] = [t._node for t in self.tensors if t._node is not None]
        # A result is recorded in its turn when somebody further out may differentiate it.
        outer = recording() and any(isinstance(leaf, Tensor) and leaf._node is not None for leaf in leaves)
        self.graph = outer or _depth.value > 0
        self.bare = not any(isinstance(leaf, Tensor) for leaf in leaves)

    def cotangents(self, found: dict[Node, Any], given: Sequence[Any] = ()) -> Any:
        """The walk's findings in the structure of the arguments; zeros where the output does not depend on one.

        Args:
            found: the cotangents of the arguments' nodes.
            given: the cotangents that the walk began with.
        """
        out = []
        for t in self.tensors:
            g = found.get(t._node) if t._node is not None else None
            if g is None:
                g = backend_of(t.data).xp.zeros(t.data.shape, t.data.dtype)
            out.append(self.finish(g))
        return self.build(apart(out, given))

    def outer(self, out: Tensor) -> Tensor:
        """A result as the caller gets it: recorded only where somebody further out may differentiate it."""
        return out if self.graph else out.detach()

    def parted(self, result: Any) -> tuple[Any, Any]:
        """Output and auxiliary of a function that gives both, the latter as the caller gets it.

        Raises:
            TypeError: it gave something else.
        """
        if not isinstance(result, tuple) or len(result) != 2:
            what = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
            raise TypeError(
                f"[{self.who}] with has_aux=True the function returned {what}; expected (output, auxiliary)"
            )
        output, aux = result
        return output, tree_map(lambda t: self.finish(self.outer(t)) if isinstance(t, Tensor) else t, aux)

    def finish(self, g: Any) -> Any:
        """A tensor where the caller gave tensors or may differentiate further; else the bare array."""
        t = g if isinstance(g, Tensor) else new_tensor(g, None)
        return t.data if self.bare and t._node is None else t


def _stand_in(leaf: Any, who: str) -> Tensor:
    given = here(leaf if isinstance(leaf, Tensor) else Tensor(leaf))
    data, node = given.data, given._node
    if data.dtype.kind not in "fcV":
        raise TypeError(
            f"[{who}] an argument to differentiate is {type(leaf).__name__} of dtype {data.dtype}; expected floating "
            "point or complex: write 3.0 for 3, or convert with .astype(float)"
        )
    return new_tensor(data, new_leaf(data) if node is None else Alias.of(node))


def run(inputs: Inputs, call: Callable[[Any], Any]) -> Any:
    """What `call` gives for the arguments' stand-ins, recorded."""
    with enable_grad(), nested(nesting() + 1):
        return call(inputs.build(list(inputs.tensors)))


class Recorded:
    """A function's record at some point: tangents are pushed through it, cotangents pulled back."""

    def __init__(self, f: Callable[..., Any], primals: tuple[Any, ...], who: str, has_aux: bool) -> None:
        self.who = who
        require_function(who, f)
        self.inputs = Inputs(primals, who)
        result = run(self.inputs, lambda args: f(*args))
        self.aux: Any = None
        if has_aux:
            result, self.aux = self.inputs.parted(result)
        self.outputs, self.build = flatten(result)

    def value(self) -> Any:
        """What the function gave."""
        finish = self.inputs.finish
        return self.build([finish(self.inputs.outer(o)) if isinstance(o, Tensor) else o for o in self.outputs])

    def push(self, tangents: tuple[Any, ...]) -> Any:
        """The output's tangent, in its structure; zeros where it does not depend on the arguments."""
        given, _ = flatten(tangents)
        if len(given) != len(self.inputs.tensors):
            raise ValueError(
                f"[{self.who}] {len(given)} tangents for arguments of {len(self.inputs.tensors)} arrays; expected one "
                "for each, in the same structure"
            )
        tensors = [self._tangent(t, x, i) for i, (t, x) in enumerate(zip(given, self.inputs.tensors, strict=True))]
        graph = self.inputs.graph or any(t._node is not None for t in tensors)
        sources: dict[Node, Any] = {
            node: t if graph else t.data for node, t in zip(self.inputs.nodes, tensors, strict=True)
        }
        nodes = [o._node if isinstance(o, Tensor) else None for o in self.outputs]
        found = push(sources, nodes, graph)
        results = [self._result(t, o) for t, o in zip(found, self.outputs, strict=True)]
        return self.build(apart(results, tensors))

    def pull(self, cotangent: Any) -> tuple[Any, ...]:
        """The cotangents of the arguments, one for each, from one of the output's structure."""
        given, _ = flatten(cotangent)
        if len(given) != len(self.outputs):
            raise ValueError(f"[{self.who}] {len(given)} cotangents for an output of {len(self.outputs)} arrays")
        roots = []
        graph = self.inputs.graph or any(isinstance(c, Tensor) and c._node is not None for c in given)
        for out, c in zip(self.outputs, given, strict=True):
            if isinstance(out, Tensor) and out._node is not None:
                g = out._cotangent(c, self.who)
                roots.append((out._node, g if graph else g.data))
        found = walk(roots, targets=set(self.inputs.nodes), retain=True, graph=graph)
        return self.inputs.cotangents(found, given)  # type: ignore[no-any-return]

    def _tangent(self, t: Any, x: Tensor, number: int) -> Tensor:
        """A tangent as a tensor of its argument's shape and dtype."""
        if not isinstance(t, Tensor):
            t = new_tensor(t if is_array(t) else backend_of(x.data).xp.asarray(t), None)
        if t.shape != x.shape:
            raise ValueError(
                f"[{self.who}] tangent {number} has shape {tuple(t.shape)}; expected its argument's, {tuple(x.shape)}"
            )
        if t.dtype.kind == "c" and x.dtype.kind != "c":
            raise TypeError(f"[{self.who}] tangent {number} is {t.dtype}, its argument {x.dtype}; expected a real one")
        t = on_one_level((t,), (x.data,))[0] if USED else t  # of the maps that the argument is of, if not of more
        return t if t.dtype == x.dtype else astype(t, x.dtype)  # type: ignore[no-any-return]

    def _result(self, t: Any, out: Any) -> Any:
        if t is None:
            array = out.data if isinstance(out, Tensor) else out if is_array(out) else np.asarray(out)
            t = backend_of(array).xp.zeros(array.shape, array.dtype)
        return self.inputs.finish(t)
