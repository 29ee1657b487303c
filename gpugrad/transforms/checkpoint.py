"""`checkpoint`: a function that is computed again for its gradient in place of keeping what that needs.

The whole call is one node, which keeps its arguments only. Tensors that the function reads besides (a module's
parameters) are found in the record of its first run, which is then dropped.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import casting, mutation
from ..backend import Backend, backend_for, is_array
from ..batching import device_backend
from ..casting import inside
from ..gradmode import again, enable_grad, recording
from ..nodes import Alias, GradientError, Leaf, Node
from ..tape import walk
from ..tensor import Tensor, new_tensor
from .push import push
from .region import Region, RegionNode, arrays_of, as_node, bound, frontier, recorded_since
from .tree import flatten


def checkpoint(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The same function, computed again in the backward pass instead of keeping what its gradient needs.

    Peak memory falls by what the function's operations would have kept; time rises by one more run of it. Values and
    gradients are the same, bit for bit: random numbers (dropout) are drawn again as they were, running statistics are
    moved once. Derivatives of any order, forward mode and `vmap` go through it. (Chen et al. 2016, "Training Deep
    Nets with Sublinear Memory Cost"; JAX's name and convention, and PyTorch's.)

    Args:
        fun: function of tensors, arrays and anything else, or a module, giving tensors or a structure of them. It
            must compute the same when it is run again.
        args: if there are any, `fun` is called with them at once (PyTorch's form, `checkpoint(fun, x)`).
        kwargs: likewise.

    Returns:
        A function of the same arguments (JAX's form, `checkpoint(fun)(x)`); with arguments its result.

    Raises:
        GradientError: in the backward pass, where a tensor that `fun` read was changed in place since.

    Example:
        >>> import gpugrad as gg
        >>> block = gg.nn.Sequential(gg.nn.Linear(8, 32), gg.nn.Tanh(), gg.nn.Linear(32, 8))
        >>> x = gg.randn(4, 8, requires_grad=True)
        >>> gg.checkpoint(block)(x).sum().backward()
        >>> x.grad.shape
        (4, 8)
    """
    if args or kwargs:
        return checkpoint(fun)(*args, **kwargs)

    def inner(*args: Any, **kwargs: Any) -> Any:
        if not recording():
            return fun(*args, **kwargs)
        leaves, build = flatten((args, kwargs))
        return _Recomputed(fun, build, leaves).first_run(leaves)

    return functools.update_wrapper(inner, fun) if hasattr(fun, "__name__") else inner


class _Recomputed(Region):
    """A call that is run again for its derivatives."""

    def __init__(self, fun: Callable[..., Any], build: Callable[[list[Any]], Any], leaves: list[Any]) -> None:
        self.fun, self.build, self.policy = bound(fun), build, casting.current()
        self.name = f"checkpoint({getattr(fun, '__name__', type(fun).__name__)})"
        arrays = [t.data if isinstance(t, Tensor) else t for t in leaves if isinstance(t, Tensor) or is_array(t)]
        self.backends: list[Backend] = [backend_for()]
        for backend in map(device_backend, arrays):
            if backend not in self.backends:
                self.backends.append(backend)
        self.tensors = [isinstance(t, Tensor) for t in leaves]

    def first_run(self, leaves: list[Any]) -> Any:
        """The call's result, recorded as one node."""
        before = mutation.tick()
        stand_ins = [_in_front(t) for t in leaves]
        own = {t._node for t in stand_ins if isinstance(t, Tensor) and t._node is not None}
        with contextlib.ExitStack() as stack:
            self.states = [stack.enter_context(b.replaying()) for b in self.backends]
            result = self.call(stand_ins)
        arrays, build = arrays_of(result, self.name)
        outputs, _ = flatten(result)
        roots = [o._node for o in outputs if isinstance(o, Tensor) and o._node is not None]
        if not roots:
            return result
        return build(list(as_node(self, leaves, (), frontier(roots, own, before), arrays)))

    def call(self, inputs: list[Any]) -> Any:
        """The function's result for some leaves."""
        args, kwargs = self.build(inputs)
        with inside(self.policy):  # its casts are its own: one shared with the rest would not be found the second time
            return self.fun(*args, **kwargs)

    def run_again(self, node: RegionNode, stand_ins: list[Any]) -> list[Any]:
        """The outputs, recorded, with the random numbers of the first time."""
        now = mutation.tick()
        with enable_grad(), again(), self._replayed():
            outputs, _ = flatten(self.call(stand_ins))
        if mutation.changes:
            self._require_unchanged(node, outputs, now)
        return outputs

    @contextlib.contextmanager
    def _replayed(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for backend, state in zip(self.backends, self.states, strict=True):
                stack.enter_context(backend.replaying(state))
            yield

    def _require_unchanged(self, node: RegionNode, outputs: list[Any], now: int) -> None:
        """What was read now must be what was read the first time: nothing kept changed in between."""
        roots = [o._node for o in outputs if isinstance(o, Tensor) and o._node is not None]
        for inner in recorded_since(roots, now):
            what = mutation.stale(inner.saved, node.seq, now)
            if what is not None:
                raise GradientError(
                    f"[{self.name}] a tensor that {inner.name} reads was changed in place by {what} after the "
                    "function ran, and it is now to be computed again; change it after backward"
                )

    def stand_ins(self, inputs: list[Any], node: RegionNode, graph: bool) -> list[Any]:
        """The arguments with nodes of their own, which a walk can end at."""
        found = []
        for value, parent, tensor in zip(inputs, node.parents, self.tensors, strict=False):
            if not tensor:
                found.append(value.data if isinstance(value, Tensor) else value)
            elif parent is None:
                found.append(value)
            else:
                start = Alias.of(parent) if graph else Leaf(parent.shape, parent.dtype)
                found.append(new_tensor(value.data, start))
        return found

    def back(self, node: RegionNode, inputs: list[Any], cotangents: list[Tensor], graph: bool) -> Sequence[Any]:
        """Run again, and walk back to the arguments and to what else was read."""
        stand_ins = self.stand_ins(inputs, node, graph)
        outputs = self.run_again(node, stand_ins)
        ends = self._ends(stand_ins, node)
        roots = [
            (o._node, g if graph else g.data)
            for o, g in zip(outputs, cotangents, strict=True)
            if isinstance(o, Tensor) and o._node is not None
        ]
        targets = {end for end in ends if end is not None}
        found = walk(roots, targets=targets, retain=graph, graph=graph, beyond=False)
        return [None if end is None else found.get(end) for end in ends]

    def forth(self, node: RegionNode, inputs: list[Any], tangents: Sequence[Any], graph: bool) -> list[Any]:
        """Run again, and push tangents through it."""
        stand_ins = self.stand_ins(inputs, node, graph)
        outputs = self.run_again(node, stand_ins)
        sources: dict[Node, Any] = {
            end: t if graph else t.data
            for end, t in zip(self._ends(stand_ins, node), tangents, strict=True)
            if end is not None and t is not None
        }
        found = push(sources, [o._node if isinstance(o, Tensor) else None for o in outputs], graph)
        return [t if t is None or isinstance(t, Tensor) else new_tensor(t, None) for t in found]

    def _ends(self, stand_ins: list[Any], node: RegionNode) -> list[Node | None]:
        """Where a walk ends, one for each of the node's parents."""
        own = [t._node if isinstance(t, Tensor) else None for t in stand_ins]
        return [*own, *node.parents[node.count :]]


def _in_front(leaf: Any) -> Any:
    """A tensor behind a node of its own; anything else as it is."""
    if not isinstance(leaf, Tensor) or leaf._node is None:
        return leaf
    return new_tensor(leaf.data, Alias.of(leaf._node))
