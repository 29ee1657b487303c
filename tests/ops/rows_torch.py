"""Rows of what PyTorch has and NumPy does not; each is compared with PyTorch's function of the name."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpugrad.ops.arguments import module
from tests.ops.table import Row, Sampler, apart, normal, op, uniform

SPREAD = np.array([[0, 2, 0], [1, 0, 2]])
AT = np.array([2, 0])
EDGES = np.array([-1.0, 0.0, 0.5])


def on(x: Any, values: np.ndarray) -> Any:
    """Integers as PyTorch's tensors for its tensors, else on the device of `x`."""
    if type(x).__module__.startswith("torch"):
        import torch

        return torch.tensor(values)
    return module(x).asarray(values)


def both(label: str, call: Callable[..., Any], *inputs: Sampler) -> Row:
    """A function called in the same way here and in PyTorch."""
    name = label.split(" ")[0]
    return Row(
        label, lambda *xs: call(getattr(op, name), *xs), inputs, None, lambda t, *xs: call(getattr(t, name), *xs), (),
        2, (),
    )  # fmt: skip


MATRICES = normal(2, 2, 3), normal(2, 3, 4)
ROWS = [
    both("lerp", lambda f, x, y: f(x, y, 0.3), normal(2, 3), normal(3)),
    both("lerp far", lambda f, x, y: f(x, y, 0.8), normal(2, 3), normal(3)),
    both("lerp by tensors", lambda f, *xs: f(*xs), normal(2, 3), normal(2, 3), uniform(0.1, 0.4, 2, 3)),
    both("addcmul", lambda f, *xs: f(*xs, value=0.5), normal(2, 3), normal(3), normal(2, 1)),
    both("addcdiv", lambda f, *xs: f(*xs, value=-2), normal(2, 3), normal(3), uniform(0.5, 2.0, 2, 1)),
    both("baddbmm", lambda f, *xs: f(*xs, beta=0.5, alpha=2), normal(2, 2, 4), *MATRICES),
    both("addbmm", lambda f, *xs: f(*xs, beta=0.5, alpha=2), normal(2, 4), *MATRICES),
    both("addmv", lambda f, *xs: f(*xs, beta=0.5, alpha=2), normal(2), normal(2, 3), normal(3)),
    both("addr", lambda f, *xs: f(*xs, beta=0.5, alpha=2), normal(2, 3), normal(2), normal(3)),
    both("mv", lambda f, *xs: f(*xs), normal(2, 3), normal(3)),
    both("frac", lambda f, x: f(x), uniform(1.1, 1.9, 2, 3)),
    both("var_mean", lambda f, x: f(x, 1), normal(2, 3)),
    both("std_mean", lambda f, x: f(x, 0, keepdim=True, correction=0), normal(3, 2)),
    Row(
        "view_as_real", lambda x, y: op.view_as_real(op.polar(x, y) * 2), (uniform(0.5, 2.0, 3), normal(3)), None,
        lambda t, x, y: t.view_as_real(t.polar(x, y) * 2), (), 2, (),
    ),
    Row(
        "view_as_complex", lambda x: op.real(op.view_as_complex(x) * (2 - 1j)), (normal(3, 2),), None,
        lambda t, x: t.real(t.view_as_complex(x) * (2 - 1j)), (), 2, (),
    ),
    both("narrow", lambda f, x: f(x, 1, -3, 2), normal(2, 4)),
    both("index_copy", lambda f, x, y: f(x, 1, on(x, AT), y), normal(2, 3), normal(2, 2)),
    both("index_fill", lambda f, x: f(x, 0, on(x, AT), 1.5), normal(3, 2)),
    both("take_along_dim", lambda f, x: f(x, on(x, SPREAD), 1), normal(2, 3)),
    *[
        both(f"scatter_reduce {kind} {own}",
             lambda f, x, y, kind=kind, own=own: f(x, 1, on(x, SPREAD), y, kind, include_self=own),
             apart(2, 4), normal(2, 3))
        for kind in ("sum", "mean", "amax", "amin")
        for own in (True, False)
    ],
    both("cummax", lambda f, x: f(x, 1)[0], apart(2, 5)),
    both("cummin", lambda f, x: f(x, 0)[0], apart(5, 2)),
    both("logcumsumexp", lambda f, x: f(x, 1), normal(2, 5)),
    both("kthvalue", lambda f, x: f(x, 2, 0, True)[0], apart(4, 2)),
    both("mode", lambda f, x: f(x, 1)[0], apart(2, 3)),
    # Without a gradient, which the comparison with PyTorch asks for: tests/ops/test_torch_names.py compares.
    Row("unique_consecutive", lambda x: op.unique_consecutive(x, dim=0), (normal(2, 2),), None, None, (), 0, ()),
    Row("bucketize", lambda x: op.bucketize(x, on(x, EDGES)), (normal(2, 3),), lambda x: np.digitize(x, EDGES, True),
        None, (), 0, ()),
    Row("isin", lambda x: op.isin(x, on(x, EDGES)), (normal(2, 3),), lambda x: np.isin(x, EDGES), None, (), 0, ()),
]  # fmt: skip
