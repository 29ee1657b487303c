"""Forward mode: tangents pushed through a recorded program, from its inputs to its outputs.

The tape is walked the other way round, in the order of recording, with what its nodes keep for the way back. How each
kind of node maps tangents is said here for primitives and the nodes of the tape itself, elsewhere by a `jvp` of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of, is_array
from ..backend.placing import MANY, follow, returning
from ..batching import USED, alike
from ..gradmode import enable_grad, set_grad_enabled
from ..nodes import Alias, Leaf, Node, OutputNode, PrimitiveNode
from ..tape import check_usable, leading_to, walk
from ..tensor import apply, new_tensor

Tangents = Sequence[Any]


def push(inputs: Mapping[Node, Any], outputs: Sequence[Node | None], graph: bool) -> list[Any]:
    """The tangents of `outputs` from those of `inputs`.

    Args:
        inputs: nodes and their tangents (arrays; tensors with `graph`), each of the node's shape and dtype.
        outputs: nodes; None for outputs that nothing leads to.
        graph: run the rules on tensors and record them.

    Returns:
        For each output its tangent, None where it does not depend on an input.

    Raises:
        GradientError: something kept was freed or changed since.
    """
    if MANY:
        with returning():
            return _pushed(inputs, outputs, graph)
    return _pushed(inputs, outputs, graph)


def _pushed(inputs: Mapping[Node, Any], outputs: Sequence[Node | None], graph: bool) -> list[Any]:
    active = leading_to([n for n in outputs if n is not None], inputs, beyond=False)
    order = sorted(active, key=lambda n: n.seq)
    uses = dict.fromkeys(active, 0)
    for node in order:
        for p in parents_of(node):
            if p in uses:
                uses[p] += 1
    for n in outputs:
        if n in uses:
            uses[n] += 1
    tangents: dict[Node, Any] = {}
    with set_grad_enabled(graph), np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for node in order:
            if node in inputs:
                tangents[node] = inputs[node]
                continue
            parents = parents_of(node)
            given = [tangents.get(p) if p is not None else None for p in parents]
            if MANY:
                follow(given)
            found = _tangent(node, given, graph)
            if MANY:  # the operation may lead to another GPU
                follow(found)
            found = _fitting(found, node, graph)
            if found is not None:
                tangents[node] = found
            for p in parents:
                if p in uses:
                    uses[p] -= 1
                    if not uses[p]:
                        tangents.pop(p, None)
    return [None if n is None else tangents.get(n) for n in outputs]


def parents_of(node: Node) -> Tangents:
    """A node's parents, as a tuple also where it has a single one."""
    return (node.parents,) if node.single else node.parents or ()


def _tangent(node: Node, given: Tangents, graph: bool) -> Any:
    """The tangent of a node from those of its parents (None: zero)."""
    if all(t is None for t in given):
        return None
    if node.saved is not None:
        check_usable(node)
    if isinstance(node, PrimitiveNode):
        return _primitive(node, given, graph)
    if isinstance(node, Alias):
        return given[0]
    if isinstance(node, OutputNode):
        return given[0][node.saved]
    return node.jvp(given, graph)


def _fitting(t: Any, node: Node, graph: bool) -> Any:
    """A tangent in its node's shape and dtype: a rule may leave out what only broadcasts or promotes."""
    if t is None or type(t) is list:
        return t
    if not hasattr(t, "_node") and not is_array(t):
        t = np.asarray(t)
    if graph and not hasattr(t, "_node"):
        t = new_tensor(t, None)
    return _broadcast(t, node.shape, node.dtype)


def _broadcast(t: Any, shape: Any, dtype: Any) -> Any:
    if t.shape != shape:
        t = t.broadcast_to(shape) if hasattr(t, "_node") else backend_of(t).xp.broadcast_to(t, shape)
    if t.dtype != dtype:
        t = (t.real if t.dtype.kind == "c" and dtype.kind != "c" else t).astype(dtype)
    return t


def _primitive(node: PrimitiveNode, given: Tangents, graph: bool) -> Any:
    prim = node.prim
    values = node.kept_tensors() if graph else node.saved
    if USED and not graph:  # tangents of a map meet what was kept outside
        values = alike(values, [t for t in given if t is not None])
    needs = tuple([t is not None for t in given])
    if prim.jvp is not None:
        return prim.jvp(given, needs, *values, **node.static)
    if prim.linear and all(p is not None for p in node.parents):
        whole = [_zeros(p, given) if t is None else t for t, p in zip(given, node.parents, strict=True)]
        return apply(prim, tuple(whole), node.static)
    if prim.bilinear:
        return _bilinear(node, given, values)
    if prim.reference is not None:
        return _through_reference(node, given, graph)
    return _transposed(node, given, needs, graph)


def _zeros(parent: Node, given: Tangents) -> Any:
    """A tangent of nothing, of the kind of the others."""
    zeros = backend_of(_array_of(given)).xp.zeros(parent.shape, parent.dtype)
    return new_tensor(zeros, None) if any(hasattr(t, "_node") for t in given) else zeros


def _bilinear(node: PrimitiveNode, given: Tangents, values: Sequence[Any]) -> Any:
    """f(ta, b) + f(a, tb)."""
    kept = {k: v for (k, _), v in zip(node.prim.kept(node.needs), values, strict=False)}
    ta, tb = given
    left = None if ta is None else apply(node.prim, (ta, kept[1]), node.static)
    right = None if tb is None else apply(node.prim, (kept[0], tb), node.static)
    return right if left is None else left if right is None else left + right


def _through_reference(node: PrimitiveNode, given: Tangents, graph: bool) -> Any:
    """The tangent of the composition that stands for the operation."""
    with enable_grad():
        inputs, stops = node.reference_inputs(_array_of(given))
        out = node.prim.reference(*inputs, **node.static)  # type: ignore[misc]
    sources: dict[Node, Any] = {stop: given[i] for i, stop in stops if given[i] is not None}
    return push(sources, [out._node], graph)[0]


def _array_of(given: Tangents) -> Any:
    """The array of the first tangent that there is."""
    like = next(t for t in given if t is not None)
    return getattr(like, "data", like) if hasattr(like, "_node") else like


def _transposed(node: PrimitiveNode, given: Tangents, needs: tuple[bool, ...], graph: bool) -> Any:
    """The rule takes cotangents linearly, so what its own reverse mode sends back to them is the tangent."""
    backend, several = backend_of(_array_of(given)), node.prim.outputs > 1
    outputs = zip(node.shape, node.dtype, strict=True) if several else ((node.shape, node.dtype),)
    with enable_grad():
        starts = [_start(backend, shape, dtype) for shape, dtype in outputs]
        g: Any = starts if several else starts[0]
        results = node.rule_on_tensors(g, needs, tied=graph)
    roots = []
    for t, result in zip(given, results, strict=True):
        if t is not None and result is not None and result._node is not None:
            roots.append((result._node, _broadcast(t, result.shape, result.dtype)))
    targets = [s._node for s in starts if s is not None]
    found = walk(roots, targets=set(targets), retain=graph, graph=graph) if roots else {}
    tangents = [None if s is None else found.get(s._node) for s in starts]
    return tangents if several else tangents[0]


def _start(backend: Any, shape: Any, dtype: Any) -> Any:
    """Zeros that the rule is recorded on; None for an output of integers."""
    if np.dtype(dtype).kind not in "fcV":
        return None
    return new_tensor(backend.xp.zeros(shape, dtype), Leaf(shape, np.dtype(dtype)))
