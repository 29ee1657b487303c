"""Computing a part of a model again in the backward pass in place of keeping what it needs.

One node stands for the whole part and keeps its inputs; its rule runs the part once more, recorded, and walks back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import mutation
from ..backend import backend_of
from ..gradmode import enable_grad, no_grad, recording
from ..nodes import Leaf, Node
from ..tape import walk
from ..tensor import Tensor, new_tensor
from .errors import CostError


class RecomputeNode(Node):
    """A part of a model that keeps its inputs only; gradients of its parameters arrive in their `.grad`."""

    __slots__ = ("call", "stream")
    call: Callable[..., Any]
    stream: list[int]
    name = "recompute"

    def vjp(self, g: Any) -> tuple[Any, ...]:
        """Run the part again and walk back through it."""
        inputs, leaves = [], []
        for value, parent in zip(self.saved, self.parents, strict=True):
            leaf = None if parent is None else Leaf(parent.shape, parent.dtype)
            leaves.append(leaf)
            inputs.append(new_tensor(value, leaf))
        backend: Any = backend_of(g)
        present = list(backend._stream)
        backend._stream[:] = self.stream  # the same random numbers as the first time
        try:
            with enable_grad():
                out = self.call(*inputs)
        finally:
            backend._stream[:] = present
        if out._node is not None:
            walk([(out._node, g)])
        return tuple(None if leaf is None or leaf.grad is None else leaf.grad.data for leaf in leaves)

    def vjp_graph(self, g: Any) -> Any:
        """Refused."""
        raise CostError("[recompute] a recomputed part has no second derivative; compute it without the plan")


def recomputed(call: Callable[..., Any], *args: Any) -> Any:
    """`call(*args)`, to be run again when its gradient is taken.

    Args:
        call: a function of tensors that returns one tensor. It must compute the same when it is run again; random
            numbers of `dropout` are the same.
        *args: tensors.

    Raises:
        CostError: it returns something else than one tensor.
    """
    if not recording():
        return call(*args)
    values = [a.data for a in args]
    backend: Any = backend_of(values[0])
    stream = list(backend._stream)
    with no_grad():
        out = call(*[new_tensor(v, None) for v in values])
    if not isinstance(out, Tensor):
        raise CostError(f"[recompute] the part returns {type(out).__name__}; expected one tensor")
    node = RecomputeNode()
    node.parents, node.saved, node.call, node.stream = tuple([a._node for a in args]), tuple(values), call, stream
    node.seq, node.shape, node.dtype, node.scalars = mutation.tick(), out.shape, out.dtype, None
    return new_tensor(out.data, node)


def in_sequence(modules: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """The modules one after the other as one function."""

    def call(x: Any) -> Any:
        for module in modules:
            x = module(x)
        return x

    return call
