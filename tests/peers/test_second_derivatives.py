"""Gradients and second derivatives of the table's rows against PyTorch's, in double precision on the CPU.

A row that states the same function in PyTorch (`torch=`) is a case. The second derivative is the gradient of the
products of the gradients with fixed directions.
"""

from typing import Any

import numpy as np
import pytest

from gpugrad.tape import walk
from gpugrad.tensor import Tensor
from tests.ops.table import Row, rows

pytestmark = pytest.mark.peers
CASES = [row for row in rows() if row.torch and row.order]
RELATIVE = 1e-8


def several(outputs: Any) -> tuple[Any, ...]:
    return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)


def directions(shapes: list[tuple[int, ...]], complex_: list[bool], seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [
        np.asarray(rng.standard_normal(s) + (1j * rng.standard_normal(s) if c else 0))
        for s, c in zip(shapes, complex_, strict=True)
    ]


def contracted(values: list[Any], along: list[Any], wrap: Any) -> Any:
    total = 0.0
    for value, v in zip(values, along, strict=True):
        product = value * wrap(v)
        total = total + (product.real if "complex" in str(product.dtype) else product).sum()
    return total


def test_there_are_300_cases_and_more() -> None:
    assert len(CASES) >= 300
    assert sum(row.order >= 2 for row in CASES) >= 300


@pytest.mark.parametrize("row", CASES, ids=lambda row: row.name)
def test_first_and_second_derivatives_are_pytorchs(row: Row, torch: Any) -> None:
    inputs = row.sample()
    ours = [Tensor(x.copy(), requires_grad=True) for x in inputs]
    theirs = [torch.from_numpy(x.copy()).requires_grad_() for x in inputs]
    outputs = [o for o in several(row.call(*ours)) if o._node is not None]
    expected = [o for o in several(row.torch(torch, *theirs)) if o.requires_grad]
    along = directions([o.shape for o in outputs], [o.dtype.kind == "c" for o in outputs], 1)
    loss = contracted(outputs, along, Tensor)
    loss_there = contracted(expected, along, torch.from_numpy)
    leaves = [t._node for t in ours]
    found = walk([(loss._node, Tensor(np.ones(())))], targets=leaves, retain=True, graph=True)
    first = [found.get(n) for n in leaves]
    first_there = torch.autograd.grad(loss_there, theirs, create_graph=True, allow_unused=True)
    compare(first, first_there)
    if row.order < 2:
        return
    # Where the gradient is constant both have nothing to differentiate.
    shapes = [x.shape for x in inputs]
    turn = directions(shapes, [False] * len(shapes), 2)
    some = [k for k, g in enumerate(first) if g is not None and g._node is not None]
    some_there = [k for k, g in enumerate(first_there) if g is not None and g.requires_grad]
    second = [None] * len(ours)
    if some:
        again = contracted([first[k] for k in some], [turn[k] for k in some], Tensor)
        found = walk([(again._node, Tensor(np.ones(())))], targets=leaves, retain=True, graph=True)
        second = [found.get(n) for n in leaves]
    second_there: Any = [None] * len(ours)
    if some_there:
        again_there = contracted([first_there[k] for k in some_there], [turn[k] for k in some_there], torch.from_numpy)
        second_there = torch.autograd.grad(again_there, theirs, allow_unused=True)
    compare(second, second_there)


def compare(ours: Any, theirs: Any) -> None:
    """Equal to 1e-8 of the largest element; what is not reached has a gradient of zero."""
    for a, b in zip(ours, theirs, strict=True):
        if a is None and b is None:
            continue
        x = np.zeros(b.shape) if a is None else a.data
        y = np.zeros(a.shape) if b is None else b.detach().resolve_conj().resolve_neg().numpy(force=True)
        scale = max(np.abs(y).max(initial=0.0), 1e-30 if np.abs(x).max(initial=0.0) < 1e-12 else 0.0, 1e-6)
        np.testing.assert_allclose(x, y, rtol=RELATIVE, atol=RELATIVE * scale)
