"""Tensors and functions that cross to PyTorch and back, each library's graph going on where the other's ends.

A tensor that comes from PyTorch is a node whose rule runs PyTorch's backward pass; one that goes there is the result of
a `torch.autograd.Function` whose backward is a walk of our tape. Each knows the borders behind it, so that cotangents
pass through the other library and out again, at every order. PyTorch's complex gradients are the conjugates of ours.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from ..backend import Device, WrappedArray, backend_for, is_array
from ..gradmode import recording
from ..mutation import tick
from ..nodes import GradientError, Leaf, Node, new_tensor
from ..tape import walk
from ..tensor import Tensor
from ..transforms.tree import tree_map


def from_torch(x: Any) -> Any:
    """A tensor on the memory of a PyTorch tensor, or a function of our tensors that computes in PyTorch.

    Args:
        x: a PyTorch tensor; or a function or module of PyTorch tensors.

    Returns:
        For a tensor: ours, on the same memory and device. If it requires a gradient, so does ours: what `backward`
        brings to it goes on through PyTorch's graph, into the `.grad` of PyTorch's leaves and through `to_torch` into
        our own.
        For a function: one of our tensors and arrays; it returns tensors. All may be nested in lists, tuples, dicts.

    Raises:
        ImportError: PyTorch is not installed.
        TypeError: `x` is neither.

    What either library writes in place the other one sees, but its checks do not. There is no forward mode.
    """
    torch = _torch("from_torch")
    if isinstance(x, torch.Tensor):
        return _enter(torch, x)
    if not callable(x):
        raise TypeError(f"[from_torch] {type(x).__name__}; expected a PyTorch tensor, or a function of them")

    def function(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(_for_torch, (args, kwargs))
        with torch.set_grad_enabled(recording()):
            return tree_map(_cross(torch.Tensor, from_torch), x(*args, **kwargs))

    return function


def to_torch(x: Any) -> Any:
    """A PyTorch tensor on the memory of a tensor, or a function of PyTorch tensors that computes here.

    Args:
        x: a tensor or array; or a function of tensors.

    Returns:
        For a tensor: PyTorch's, on the same memory and device (a copy where that is read-only or runs backwards). If it
        requires a gradient, so does PyTorch's: what PyTorch's backward brings to it goes on through our graph, into the
        `.grad` of our leaves and through `from_torch` into PyTorch's own. Our graph is kept for another backward pass
        as long as PyTorch's tensor lives.
        For a function: one of PyTorch's tensors, arguments and results (nested in lists, tuples, dicts) converted.

    Raises:
        ImportError: PyTorch is not installed.
        TypeError: `x` is neither, or a tensor inside a vmap.
    """
    torch = _torch("to_torch")
    if isinstance(x, Tensor):
        node = x._node
        if node is None or not torch.is_grad_enabled():
            return _torch_of(torch, x.data)
        entries = [n for n in _behind(node) if isinstance(n, _Entry)]
        return _exit(torch).apply(torch.empty(0, requires_grad=True), x, entries, *[n.source for n in entries])
    if callable(x):
        return _function_for_torch(torch, x)
    return _torch_of(torch, np.asarray(x) if not hasattr(x, "dtype") else x)


def _function_for_torch(torch: Any, function: Any) -> Any:
    def crossed(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(_cross(torch.Tensor, from_torch), (args, kwargs))
        return tree_map(_cross(Tensor, to_torch), function(*args, **kwargs))

    return crossed


def _torch(who: str) -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise ImportError(f"[{who}] needs PyTorch; pip install torch") from None


def _for_torch(leaf: Any) -> Any:
    return to_torch(leaf) if isinstance(leaf, Tensor) or is_array(leaf) else leaf


def _cross(kind: Any, convert: Any) -> Any:
    return lambda leaf: convert(leaf) if isinstance(leaf, kind) else leaf


# Memory ---------------------------------------------------------------------------------------------------------------


def _array_of(torch: Any, x: Any) -> Any:
    """The array on the memory of a PyTorch tensor."""
    x = x.detach().resolve_conj().resolve_neg()
    if x.device.type == "cuda":
        return backend_for(Device("cuda", x.device.index)).xp.from_dlpack(x)
    if x.device.type != "cpu":
        raise TypeError(f"[from_torch] a tensor on {x.device}; expected the CPU or a CUDA device: x.cpu()")
    if x.dtype == torch.bfloat16:
        return x.view(torch.int16).numpy().view(importlib.import_module("ml_dtypes").bfloat16)
    return x.numpy()


def _torch_of(torch: Any, array: Any) -> Any:
    """A PyTorch tensor on the memory of an array."""
    if isinstance(array, WrappedArray):
        raise TypeError("[to_torch] inside a vmap a tensor stands for all examples; convert outside of it")
    if not isinstance(array, np.ndarray):
        return torch.from_dlpack(array)
    if not array.flags.writeable or any(s < 0 for s in array.strides):
        array = array.copy()
    if array.dtype.kind == "V":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


# Into our graph -------------------------------------------------------------------------------------------------------


def _enter(torch: Any, x: Any) -> Tensor:
    array = _array_of(torch, x)
    if not x.requires_grad or not recording():
        return new_tensor(array, None)  # type: ignore[no-any-return]
    return new_tensor(array, _Entry.of(torch, x, array))  # type: ignore[no-any-return]


class _Entry(Node):
    """The node of a tensor that came from PyTorch: its parents are the nodes whose tensors went there before."""

    __slots__ = ("exits", "leaves", "source")
    name = "from_torch"
    source: Any  # PyTorch's tensor
    exits: list[Any]  # the borders behind it, as nodes of PyTorch's graph
    leaves: list[Any]  # PyTorch's tensors behind it whose `.grad` is meant

    @classmethod
    def of(cls, torch: Any, x: Any, array: Any) -> _Entry:
        node = cls()
        node.source, node.saved, node.scalars = x, None, None
        node.exits, node.leaves = [], []
        if x.grad_fn is None:
            node.leaves.append(x)
        else:
            for fn in _torch_behind(x.grad_fn):
                if hasattr(fn, "gpugrad_node"):
                    node.exits.append(fn)
                elif hasattr(fn, "variable"):
                    node.leaves.append(fn.variable)
        node.parents = tuple([fn.gpugrad_node for fn in node.exits])
        node.seq, node.shape, node.dtype = tick(), array.shape, array.dtype
        return node

    def vjp(self, g: Any) -> Any:
        torch = _torch("from_torch")
        if not self.exits:
            torch.autograd.backward([self.source], [_torch_of(torch, _conjugate(g))], retain_graph=True)
            return ()
        return self._pull(g, self.leaves, False)

    def vjp_graph(self, g: Any) -> Any:
        return self._pull(g, self.leaves, True)

    def vjp_to(self, g: Any, active: Any, graph: bool) -> Any:
        return self._pull(g, [], graph)  # PyTorch's leaves are not asked for

    def jvp(self, given: Any, graph: bool) -> Any:
        raise GradientError("[from_torch] PyTorch's graph goes backward only; use reverse mode (grad, vjp, jacrev)")

    def _pull(self, g: Any, leaves: list[Any], graph: bool) -> Any:
        """PyTorch's backward pass to the borders behind and to `leaves`, which get theirs in `.grad`."""
        torch = _torch("from_torch")
        start = to_torch(_conjugate(g)) if graph else _torch_of(torch, _conjugate(g))
        ends = [torch.autograd.graph.GradientEdge(fn, 0) for fn in self.exits] + leaves
        for fn in self.exits:
            fn.closed = True  # what lies behind a border is ours to walk, other borders included
        try:
            with torch.set_grad_enabled(graph):
                found = torch.autograd.grad(
                    [self.source], ends, [start], retain_graph=True, create_graph=graph, allow_unused=True
                )
        finally:
            for fn in self.exits:
                fn.closed = False
        count = len(self.exits)
        with torch.set_grad_enabled(graph):
            for leaf, value in zip(leaves, found[count:], strict=True):
                if value is not None:
                    leaf.grad = value if leaf.grad is None else leaf.grad + value
        back = from_torch if graph else functools.partial(_array_of, torch)
        return tuple([None if v is None else _conjugate(back(v)) for v in found[:count]])


def _conjugate(g: Any) -> Any:
    return g.conj() if g.dtype.kind == "c" else g


def _torch_behind(start: Any) -> list[Any]:
    """The nodes of PyTorch's graph from which `start` was computed, up to our borders (iterative search)."""
    seen, stack = {start}, [start]
    while stack:
        fn = stack.pop()
        if hasattr(fn, "gpugrad_node"):
            continue
        for other, _ in fn.next_functions:
            if other is not None and other not in seen:
                seen.add(other)
                stack.append(other)
    return list(seen)


# Out of our graph -----------------------------------------------------------------------------------------------------


@functools.cache
def _exit(torch: Any) -> Any:
    """The `torch.autograd.Function` of a tensor that goes to PyTorch."""

    class Gpugrad(torch.autograd.Function):  # type: ignore[misc]
        """A tensor of gpugrad's; its inputs are PyTorch's tensors that it was computed from."""

        @staticmethod
        def forward(ctx: Any, anchor: Any, x: Tensor, entries: list[_Entry], *sources: Any) -> Any:
            ctx.gpugrad_node, ctx.entries, ctx.closed = x._node, entries, False
            return _torch_of(torch, x.data)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            if ctx.closed:
                return (None, None, None, *[None] * len(ctx.entries))
            graph = torch.is_grad_enabled()
            start = _conjugate(from_torch(g)) if graph else _conjugate(_array_of(torch, g))
            found = _walk_back(ctx.gpugrad_node, start, ctx.entries, graph)
            cross = to_torch if graph else functools.partial(_torch_of, torch)
            values = [None if v is None else cross(_conjugate(v)) for v in found]
            return (None, None, None, *values)

    return Gpugrad


def _walk_back(root: Node, g: Any, entries: list[_Entry], graph: bool) -> list[Any]:
    """Walk our graph to the borders and to its leaves, which get theirs in `.grad`; the cotangents at the borders."""
    leaves = [n for n in _behind(root) if isinstance(n, Leaf)]
    found = walk([(root, g)], targets={*leaves, *entries}, retain=True, graph=graph, beyond=False)
    for leaf in leaves:
        if leaf in found:
            leaf.accumulate(found[leaf], False)
    return [found.get(n) for n in entries]


def _behind(start: Node) -> list[Node]:
    """The nodes from which `start` was computed, up to the borders to PyTorch (iterative search)."""
    seen, stack = {start}, [start]
    while stack:
        node = stack.pop()
        if isinstance(node, _Entry):
            continue
        for parent in (node.parents,) if node.single else node.parents or ():
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return list(seen)
