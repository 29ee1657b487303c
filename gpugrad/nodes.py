"""The nodes of the tape: what a recorded operation remembers to go back.

A node holds its parents, its rule and what the rule needs kept; never its own value. The walk over them is in `tape`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, Final

from . import mutation
from .backend import backend_of, capturing, is_array, is_mapped
from .batching import USED, alike
from .parts import Parts
from .primitive import OUT, Needs, Primitive

FREED: Final = ("freed",)  # takes the place of what a walked node kept


class GradientError(RuntimeError):
    """A backward pass that cannot be done, or whose result would be wrong; the message names the operation."""


# Set by those who stand above: (array, node) -> Tensor by `tensor`, the walk by `tape`.
_make: list[Callable[[Any, Any], Any]] = []
_walk: list[Callable[..., dict[Node, Any]]] = []


def new_tensor(array: Any, node: Node | None) -> Any:
    """A tensor on `array`, as the result of `node`."""
    return _make[0](array, node)


class Node:
    """One recorded operation. `shape` and `dtype` are its output's; `parents` lead to the inputs (None: constant).

    A `single` node has one parent, given bare instead of in a tuple, and its rule takes and gives a bare cotangent.
    `scalars` is the short way's: the numbers it keeps as arrays of this dtype, or None where it is closed or unknown.
    `views` is not set until somebody takes a view of the output, or the output is one (`views`).
    `wide` is a wider dtype than the output's in which a cotangent may come as well; None: there is none.
    """

    __slots__ = ("__weakref__", "dtype", "parents", "saved", "scalars", "seq", "shape", "views")
    name: ClassVar[str] = "node"
    single: ClassVar[bool] = False
    leaf: ClassVar[bool] = False
    fresh: bool = True
    wide: Any = None

    parents: Any
    saved: Any
    seq: int
    shape: Any
    dtype: Any
    scalars: dict[Any, Any] | None
    views: Any

    def vjp(self, g: Any) -> Any:
        """Cotangents of the parents from the output's, on bare arrays."""
        raise NotImplementedError(self.name)

    def vjp_graph(self, g: Any) -> Any:
        """The same on tensors, recorded."""
        raise NotImplementedError(self.name)

    def jvp(self, given: Sequence[Any], graph: bool) -> Any:
        """The output's tangent from those of the parents (None: zero), on arrays, or recorded on tensors."""
        raise NotImplementedError(self.name)

    def vjp_to(self, g: Any, active: Collection[Node], graph: bool) -> Any:
        """`vjp` or `vjp_graph` for the parents in `active` only, where the node can save work by it."""
        return self.vjp_graph(g) if graph else self.vjp(g)


class Leaf(Node):
    """Where a gradient ends: stands for a tensor that was made with `requires_grad` and keeps its `.grad`."""

    __slots__ = ("grad",)
    grad: Any
    name = "leaf"
    leaf = True
    seq = 0

    def __init__(self, shape: Any, dtype: Any) -> None:
        self.shape, self.dtype, self.grad = shape, dtype, None
        self.parents = self.saved = self.scalars = None

    def accumulate(self, g: Any, fresh: bool) -> None:
        """Add the cotangent `g` (array, or tensor under create_graph) to `.grad`; `fresh` arrays may be kept as is."""
        old = self.grad
        if hasattr(g, "_node"):
            self.grad = g if old is None else old + g
        elif old is None:
            self.grad = new_tensor(g if fresh else backend_of(g).copy(g), None)
        elif old._node is None and old.data.dtype == g.dtype:
            old.data = backend_of(g).plus(old.data, g, into=True)
            mutation.changed(old.data, "backward")  # somebody may be computing with this gradient
        else:
            self.grad = new_tensor(old.data + g, None)

    def accumulate_parts(self, parts: Parts) -> None:
        """Add what came as parts to `.grad`: to the array itself, if there is one."""
        old = self.grad
        if old is not None and old._node is None and old.data.dtype == self.dtype and not is_mapped(old.data):
            parts.onto(old.data)
            mutation.changed(old.data, "backward")
        else:
            self.accumulate(*parts.array())

    def clear(self, set_to_none: bool) -> None:
        """Forget `.grad`, or fill it with zeros where it lies; one that was recorded stays to whoever has it."""
        grad = self.grad
        if set_to_none or grad is None:
            self.grad = None
        elif grad._node is None:
            capturing.reads((self,))
            grad.zero_()
        else:
            self.grad = new_tensor(backend_of(grad.data).xp.zeros_like(grad.data), None)


class PrimitiveNode(Node):
    """A recorded `Primitive`: what it keeps is the values named by `keeps`, then the forward's extras."""

    __slots__ = ("needs", "prim", "static")
    prim: Primitive
    needs: Needs
    static: dict[str, Any]

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.prim.name

    @property
    def fresh(self) -> bool:  # type: ignore[override]
        return self.prim.fresh

    def vjp(self, g: Any) -> Any:
        rule = self.prim.rule
        if USED or rule is None:
            return self._rule(g, self.needs, self.saved)
        return rule(g, self.needs, *self.saved, **self.static)

    def vjp_graph(self, g: Any) -> Any:
        """The rule on tensors: what was kept is tied to the graph again, so that the result can be differentiated."""
        return self.rule_on_tensors(g, self.needs)

    def vjp_to(self, g: Any, active: Collection[Node], graph: bool) -> Any:
        needs = tuple([p is not None and p in active for p in self.parents])
        return self.rule_on_tensors(g, needs) if graph else self._rule(g, needs, self.saved)

    def _rule(self, g: Any, needs: Needs, kept: Sequence[Any]) -> Any:
        rule = self.prim.rule
        if rule is None:
            raise GradientError(f"[{self.name}] has no gradient rule; give it one with its Primitive's `rule`")
        if USED and not hasattr(g, "_node"):  # a cotangent of a map meets what was kept outside
            kept = alike(kept, g if type(g) is list else (g,))
        return rule(g, needs, *kept, **self.static)

    def rule_on_tensors(self, g: Any, needs: Needs, tied: bool = True) -> Any:
        """The rule on tensors; those that were kept are constants unless they are `tied` to the graph."""
        if self.prim.reference is not None:
            return self._through_reference(g)
        return self._rule(g, needs, self.kept_tensors(tied))

    def kept_tensors(self, tied: bool = True) -> list[Any]:
        """What was kept, arrays as tensors that lead where they came from (or nowhere)."""
        values = list(self.saved)
        for i, (position, wanted) in enumerate(self.prim.kept(self.needs)):
            if wanted and position == OUT and self.prim.outputs > 1:
                parts = values[i : i + self.prim.outputs]
                values[i : i + self.prim.outputs] = (
                    outputs_of(self, parts) if tied else [new_tensor(v, None) for v in parts]
                )
            elif wanted and is_array(values[i]):
                parent = self if position == OUT else self.parents[position]
                values[i] = new_tensor(values[i], parent if tied else None)
        return values

    def reference_inputs(self, like: Any) -> tuple[list[Any], list[tuple[int, Alias]]]:
        """The operands of the operation's composition, each behind a node of its own, and those nodes by position."""
        values = {k: v for (k, _), v in zip(self.prim.kept(self.needs), self.saved, strict=False)}
        xp = backend_of(like).xp
        inputs, stops = [], []
        for i, parent in enumerate(self.parents):
            value = values.get(i)
            if parent is None:
                inputs.append(value)
                continue
            if value is None:  # by `keeps` no cotangent depends on this value
                value = xp.zeros(parent.shape, parent.dtype)
            stop = Alias.of(parent)
            stops.append((i, stop))
            inputs.append(new_tensor(value, stop))
        return inputs, stops

    def _through_reference(self, g: Any) -> Any:
        """Differentiate the operation's composition instead."""
        inputs, stops = self.reference_inputs(g.data)
        out = self.prim.reference(*inputs, **self.static)  # type: ignore[misc]
        found = _walk[0]([(out._node, g)], targets={s for _, s in stops}, retain=True, graph=True)
        result: list[Any] = [None] * len(self.parents)
        for i, stop in stops:
            result[i] = found.get(stop)
        return tuple(result)


class Alias(Node):
    """The identity: a node of its own in front of another, where a walk can stop or be watched."""

    __slots__ = ("hook",)
    hook: Callable[[Any], Any] | None
    name = "alias"
    single = True
    fresh = False

    @classmethod
    def of(cls, parent: Node, hook: Callable[[Any], Any] | None = None) -> Alias:
        """A node that passes cotangents on to `parent`, through `hook` if there is one."""
        node = cls()
        node.parents, node.saved, node.hook = parent, None, hook
        node.seq, node.shape, node.dtype, node.scalars = mutation.tick(), parent.shape, parent.dtype, None
        return node

    def vjp(self, g: Any) -> Any:
        if self.hook is None:
            return g
        changed = self.hook(new_tensor(g, None))
        return g if changed is None else getattr(changed, "data", changed)

    def vjp_graph(self, g: Any) -> Any:
        changed = None if self.hook is None else self.hook(g)
        return g if changed is None else changed


class Retained:
    """A hook that keeps the gradient that passes."""

    def __init__(self) -> None:
        self.grad: Any = None

    def __call__(self, g: Any) -> None:
        self.grad = g if self.grad is None else self.grad + g


class OutputNode(Node):
    """One output of an operation with several: hands its cotangent to the operation's node, in its place."""

    __slots__ = ("count",)
    count: int
    name = "output"
    fresh = False

    def vjp(self, g: Any) -> Any:
        gs = [None] * self.count
        gs[self.saved] = g
        return (gs,)

    vjp_graph = vjp


def outputs_of(node: Node, values: Sequence[Any]) -> tuple[Any, ...]:
    """The outputs of an operation with several as tensors that lead to its node; integers are constants."""
    results = []
    for i, value in enumerate(values):
        part = OutputNode()
        part.parents, part.saved, part.count = (node,), i, len(values)
        part.seq, part.shape, part.dtype, part.scalars = mutation.tick(), value.shape, value.dtype, None
        results.append(new_tensor(value, part if value.dtype.kind in "fcV" else None))
    return tuple(results)
