"""The FLOPs that operations state, against counts from first principles: by hand, by counting what rules compute.

Conventions: an operation, comparison, selection or function of a number is one, a multiply-add two; moving, views and
the arithmetic of indices none (gpugrad/ops/costs.py).
"""

import math
from collections.abc import Callable, Container, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import cpu
from gpugrad.cost.instruments import observed_by
from gpugrad.cost.recorder import Recorder
from gpugrad.nodes import Node, PrimitiveNode
from gpugrad.ops.resample import Band
from gpugrad.primitive import ELEMENTWISE, REGISTRY, Primitive
from tests.cost.by_hand_scipy import BY_HAND_OF_SCIPY
from tests.cost.counting import flops_of_rule
from tests.ops.table import Row, rows

# ---- by hand: each primitive for one set of shapes, (forward, backward for all inputs)

SPECIAL = {"gammaln": 2, "polygamma": 2, "erfinv": 4, "ndtri": 5, "log_ndtr": 6, "i0": 2, "i0e": 5, "i1": 7, "i1e": 10}
PLAIN: dict[str, Any] = {"axis": (1,), "keepdims": False}
SMOOTH = {"reduction": "mean", "ignore_index": -100, "label_smoothing": 0.0}
FFT = {"s": (8,), "axes": (1,), "norm": None}
n, m, k = 6, 9, 2  # square matrices are n x n, tall ones m x n, right-hand sides have k columns

MOVES: dict[str, dict[str, Any]] = {
    "reshape": {"shape": (3, 4)},
    "transpose": {"axes": (0, 1)},
    "astype": {"dtype": np.float64},
    "clone": {},
    "conj": {},
    "real": {},
    "flip": {"axes": (0,)},
    "roll": {"shift": 1, "axis": 0},
    "pad": {"widths": ((0, 0), (0, 0)), "value": 0},
}

Count = tuple[tuple[Any, ...], Any, dict[str, Any], float, float]
BY_HAND: dict[str, Count] = {
    # matrix products: 2 m n k, twice backward; the bias adds one for each output, and as many backward
    "matmul": (((5, 4), (4, 3)), (5, 3), {}, 2 * 5 * 4 * 3, 2 * 2 * 5 * 4 * 3),
    "linear": (((5, 4), (3, 4), (3,)), (5, 3), {}, 2 * 5 * 4 * 3 + 15, 2 * 2 * 5 * 4 * 3 + 15),
    # relu of the input, the product and its bias, gelu of the output (9 operations); backward relu's derivative: a
    # comparison and a choice for each input
    "activated_linear": (
        ((5, 4), (3, 4), (3,)), (5, 3), {"before": "relu", "then": "gelu_tanh"},
        2 * 5 * 4 * 3 + 15 + 9 * 15, 2 * 2 * 5 * 4 * 3 + 15 + 2 * 20,
    ),
    "activated": (((5, 4),), (5, 4), {"activation": "relu", "passing": None}, 0, 2 * 20),
    # 4 images of 6 channels, 8 kernels of 3 x 3 on 5 x 7 places; the bias adds one for each output
    "conv": (
        ((4, 6, 7, 9), (8, 6, 3, 3), (8,)),
        (4, 8, 5, 7),
        {"at": None},
        2 * 4 * 8 * 5 * 7 * 6 * 9 + 4 * 8 * 5 * 7,
        2 * 2 * 4 * 8 * 5 * 7 * 6 * 9 + 4 * 8 * 5 * 7,
    ),
    # the same, and one for each result; backward a comparison and a choice for each
    "conv_relu": (
        ((4, 6, 7, 9), (8, 6, 3, 3), (8,)),
        (4, 8, 5, 7),
        {"at": None},
        2 * 4 * 8 * 5 * 7 * 6 * 9 + 2 * 4 * 8 * 5 * 7,
        2 * 2 * 4 * 8 * 5 * 7 * 6 * 9 + 3 * 4 * 8 * 5 * 7,
    ),
    "conv_input": (
        ((4, 8, 5, 7), (8, 6, 3, 3)),
        (4, 6, 7, 9),
        {"size": (7, 9), "at": None},
        2 * 4 * 8 * 5 * 7 * 6 * 9,
        2 * 2 * 4 * 8 * 5 * 7 * 6 * 9,
    ),
    "conv_weight": (
        ((4, 6, 7, 9), (4, 8, 5, 7)),
        (8, 6, 3, 3),
        {"kernel": (3, 3), "at": None},
        2 * 4 * 8 * 5 * 7 * 6 * 9,
        2 * 2 * 4 * 8 * 5 * 7 * 6 * 9,
    ),
    # 2 images of 3 channels, windows of 2 x 2 at 2 x 3 places: one for each element of each window, each way
    "max_pool": (((2, 3, 4, 6),), (2, 3, 2, 3), {"kernel": (2, 2)}, 36 * 4, 36 * 4),
    "window_pick": (((2, 3, 4, 6),), (2, 3, 2, 3), {"kernel": (2, 2)}, 36 * 4, 36 * 4),
    "window_put": (((2, 3, 2, 3),), (2, 3, 4, 6), {"kernel": (2, 2)}, 36 * 4, 36 * 4),
    "window_sum": (((2, 3, 4, 6),), (2, 3, 2, 3), {"kernel": (2, 2)}, 36 * 4, 36 * 4),
    "window_spread": (((2, 3, 2, 3),), (2, 3, 4, 6), {"kernel": (2, 2)}, 36 * 4, 36 * 4),
    # sums for the mean, 3 for the variance, 4 to apply; backward 1 + 4 for the sums and 7 for the input's gradient
    "batch_norm": (((4, 3, 2, 2), (3,), (3,)), (4, 3, 2, 2), {"relu": False}, 8 * 48, 12 * 48),
    # 2 heads of 3 queries and 4 keys of length 5, values of 6: two products and a softmax; backward the scores again,
    # two products by the values, three by queries and keys in all, the softmax's rule
    "scaled_dot_product_attention": (
        ((2, 3, 5), (2, 4, 5), (2, 4, 6), ()),
        (2, 3, 6),
        {},
        24 * (2 * 5 + 2 * 6 + 5),
        24 * (3 * 2 * 5 + 2 * 2 * 6 + 5 + 4),
    ),
    # 5 steps of 3 examples with 4 units: the product, its sum with the inputs' part, and the formula of each unit;
    # backward the formula, sums with what comes from elsewhere included, two products, and the sums of a bias
    **{
        cell: (
            ((5, 3, gates * 4), (3, 4), states, (gates * 4, 4), bias),
            (5, 3, 4),
            {"cell": cell},
            5 * 3 * gates * 4 * (2 * 4 + 1) + 60 * forward,
            2 * 2 * 5 * 3 * gates * 4 * 4 + 60 * backward + (5 * 3 * gates * 4 if bias else 0),
        )
        for cell, gates, states, bias, forward, backward in (
            ("rnn_tanh", 1, (), (), 1, 3 + 1),
            ("rnn_relu", 1, (), (), 1, 2 + 1),
            ("lstm", 4, (3, 4), (), 9, 23 + 1),
            ("gru", 3, (), (12,), 10, 15 + 2),
        )
    },
    # 4 numbers looked up in 5 rows of 3: backward their rows are added up
    "embedding": (((5, 3),), (4, 3), {"arrays": (0,)}, 0, 12),
    # 4 times of 2 examples with 5 states: the cost of leaving one out, two maxima, a comparison, three choices, three
    # differences and exponentials, two sums, a logarithm, two more sums; backward the same and two sums between times,
    # whether it is the last time, and the share: two sums, a comparison, two choices, exponential, product, sign
    "ctc": (((4, 2, 5), (2, 5), (2, 5), (2, 5)), (2,), {}, 18 * 40, (18 + 2) * 30 + (1 + 8) * 40),
    # 2 images of 3 x 3 elements, patches of 2 x 2 at 4 places: columns of 4
    "unfold": (((2, 1, 3, 3),), (2, 4, 4), {"kernel": (2, 2), "at": None}, 0, 32),
    "fold": (((2, 4, 4),), (2, 1, 3, 3), {"inner": (3, 3), "kernel": (2, 2), "at": None}, 32, 0),
    # 3 lines of 5 elements by a matrix to 4 results that has no rows or columns of zeros at its ends
    "resample": (((3, 5),), (3, 4), {"axis": 1, "band": Band(np.ones((4, 5)))}, 3 * 2 * 20, 3 * 2 * 20),
    "convolve": (((5,), (3,)), (7,), {}, 2 * 5 * 3, 2 * 7 * (3 + 5)),
    # nothing is computed
    **{name: (((3, 4),), (3, 4), static, 0, 0) for name, static in MOVES.items()},
    "concatenate": (((2, 3), (1, 3)), (3, 3), {"axis": 0}, 0, 0),
    "imag": (((3, 4),), (3, 4), {}, 0, 12),
    "getitem": (((5, 4),), (3, 4), {"index": None, "arrays": (0,), "unique": False}, 0, 12),
    "scatter": (((3, 4),), (5, 4), {"index": None, "arrays": (), "unique": False, "shape": (5, 4)}, 12, 0),
    "index_put": (((5, 4), (3, 4)), (5, 4), {"index": None, "arrays": (), "unique": False}, 0, 12),
    # reductions: one for each element that goes in
    "sum": (((3, 4),), (3,), {**PLAIN, "dtype": None}, 12, 0),
    "sum_to": (((3, 4),), (1, 4), {"shape": (1, 4)}, 12, 0),
    "broadcast_to": (((1, 4),), (3, 4), {"shape": (3, 4)}, 0, 12),
    "mean": (((3, 4),), (3,), PLAIN, 12 + 3, 3),
    "prod": (((3, 4),), (3,), PLAIN, 12, 2 * (12 - 3) + 12 + 12),
    "max": (((3, 4),), (3,), PLAIN, 12, 6 * 12),
    "min": (((3, 4),), (3,), PLAIN, 12, 6 * 12),
    "norm": (((3, 4),), (3,), {"p": 2, **PLAIN}, 12 + 12 + 3, 4 * 3 + 12),
    "cumsum": (((3, 4),), (3, 4), {"axis": 1}, 12, 12),
    "cumprod": (((3, 8),), (3, 8), {"axis": 1}, 24, (3 * 2 + 2 + 1) * 24),
    # rows: largest, difference, exp, sum, quotient
    "softmax": (((3, 4),), (3, 4), {}, 5 * 12 + 3, 4 * 12),
    "log_softmax": (((3, 4),), (3, 4), {}, 5 * 12 + 3, 4 * 12),
    "logsumexp": (((3, 4),), (3,), {}, 4 * 12 + 2 * 3, 3 * 12),
    "cross_entropy": (((3, 4), (3,), ()), (), SMOOTH, 4 * 12 + 4 * 3, 3 * 12 + 3),
    "layer_norm": (((3, 4), (4,), (4,)), (3, 4), {"eps": 1e-5}, 7 * 12 + 5 * 3, (10 + 2 + 1) * 12 + 2 * 3),
    "rms_norm": (((3, 4), (4,)), (3, 4), {"eps": 1e-5}, 4 * 12 + 4 * 3, (7 + 2) * 12 + 3),
    "maxout": (((3, 4),), (3, 2), {"pieces": 2}, 3 * 2, 4 * 12 + 6),
    "dropout": (((3, 4),), (3, 4), {"p": 0.5, "seed": 0, "offset": 0}, 12, 12),
    "binary_cross_entropy": (((3, 4), (3, 4)), (3, 4), {}, 16 * 12, (6 + 13) * 12),
    # functions count as one, however long their series
    **{name: (((4,),), (4,), {"n": 0} if name == "polygamma" else {}, 4, 4 * each) for name, each in SPECIAL.items()},
    # 5 n log2 n of complex numbers, half of it for real ones
    "fftn": (((3, 8),), (3, 8), {**FFT, "inverse": False}, 3 * 5 * 8 * 3, 3 * 5 * 8 * 3),
    "rfftn": (((3, 8),), (3, 5), FFT, 3 * 5 * 8 * 3 / 2, 3 * 5 * 8 * 3 / 2),
    "irfftn": (((3, 5),), (3, 8), FFT, 3 * 5 * 8 * 3 / 2, 3 * 5 * 8 * 3 / 2),
    **BY_HAND_OF_SCIPY,
    # dense factorisations, leading terms: Golub and Van Loan; backward: the products and solutions of the rule
    "cholesky": (((n, n),), (n, n), {}, n**3 / 3, 8 * n**3),
    "inv": (((n, n),), (n, n), {}, 2 * n**3, 4 * n**3),
    "det": (((n, n),), (), {}, 2 / 3 * n**3, 2 * n**3),
    "slogdet": (((n, n),), (), {}, 2 / 3 * n**3, 2 * n**3),
    "cofactors": (((n, n),), (n, n), {}, 22 * n**3 + 2 * n**3 + 2 * 2 / 3 * n**3, 8 * n**3),
    "solve": (((n, n), (n, k)), (n, k), {}, 2 / 3 * n**3 + 2 * n * n * k, 2 / 3 * n**3 + 4 * n * n * k),
    "qr": (((m, n),), (m, n), {}, 2 * (2 * m * n * n - 2 / 3 * n**3), 6 * m * n * n + 8 / 3 * n**3),
    "eigh": (((n, n),), (n,), {"uplo": "L", "strict": False}, 9 * n**3, 6 * n**3),
    "eigvalsh": (((n, n),), (n,), {"uplo": "L"}, 4 / 3 * n**3, 9 * n**3 + 2 * n**3),
    "eig": (((n, n),), (n,), {}, 25 * n**3, (6 + 2 / 3 + 2) * n**3),
    "svd": (((m, n),), (m, n), {"strict": False}, 14 * m * n * n + 8 * n**3, 8 * m * n * n + 2 * n**3),
    "svdvals": (((m, n),), (n,), {}, 4 * m * n * n - 4 / 3 * n**3, 14 * m * n * n + 8 * n**3 + 2 * m * n * n),
    "pinv": (((m, n),), (n, m), {"cut": 0.0}, 16 * m * n * n + 8 * n**3, 20 * m * m * n),
    "lstsq": (
        ((m, n), (m, k)),
        (n, k),
        {"rcond": 0.0},
        4 * m * n * n + 8 * n**3,
        16 * m * n * n + 8 * n**3 + 10 * 2 * m * n * k,
    ),
}


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_primitive_states_what_is_counted_by_hand(name: str) -> None:
    shapes, out_shape, static, forward, backward = BY_HAND[name]
    primitive = REGISTRY[name]
    assert primitive.flops(shapes, out_shape, **static) == pytest.approx(forward, abs=1)
    needs = tuple(i == 0 or name in TWO_GRADIENTS or shape != () for i, shape in enumerate(shapes))
    assert primitive.vjp_flops(shapes, out_shape, needs, **static) == pytest.approx(backward, abs=1)


def test_a_normalisation_with_relu_states_what_its_relu_adds() -> None:
    """One for each result; backward the result (2), a comparison and a choice, for the sums and for the gradient."""
    shapes = ((4, 3, 2, 2), (3,), (3,))
    assert REGISTRY["batch_norm"].flops(shapes, shapes[0], relu=True) == 9 * 48
    assert REGISTRY["batch_norm"].vjp_flops(shapes, shapes[0], (True, True, True), relu=True) == 20 * 48
    assert REGISTRY["batch_norm"].vjp_flops(shapes, shapes[0], (False, True, True), relu=True) == 9 * 48


TWO_GRADIENTS = {
    "activated_linear", "betainc", "conv", "conv_input", "conv_relu", "conv_weight", "convolve", "gammainc", "linear",
    "lstsq", "matmul", "solve", "solve_banded", "solve_sylvester",
}  # fmt: skip

# Operations in the definition of each function, by hand.
FORMULAS = {
    0: "identity positive",
    1: "absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt ceil copysign cos cosh deg2rad divide "
    "equal erf erfc exp exp2 expm1 floor floor_divide fmax fmin fmod greater greater_equal heaviside hypot isfinite "
    "isinf isnan less less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or "
    "logical_xor maximum minimum multiply negative not_equal power rad2deg reciprocal relu remainder rint sigmoid sign "
    "signbit sin sinh sqrt square subtract tan tanh trunc where",
    2: "clip_above clip_below rsqrt silu step",  # compare and select; a root and its reciprocal; x sigmoid(x)
    3: "leaky_relu log_sigmoid mish prelu relu6 softsign",  # -softplus(-x); x tanh(softplus(x)); x / (1 + |x|)
    4: "clip_between elu hardtanh logit",  # log(x) - log1p(-x)
    5: "celu gelu_erf selu softplus",  # (x / 2) (1 + erf(x / sqrt 2))
    6: "hardsigmoid",
    7: "hardswish",
    9: "gelu_tanh",  # (x / 2) (1 + tanh(c (x + d x x^2)))
    30: "sinc",  # pi x, sin and quotient; abs, compare, select; a square and eight steps of the series, the first short
}
# And in their derivatives times the cotangent, for all inputs.
DERIVATIVES = {
    0: "add ceil floor floor_divide heaviside identity positive rint sign step trunc",
    1: "deg2rad exp negative rad2deg subtract",
    2: "absolute cosh exp2 expm1 log multiply relu sin sinh sqrt square where",  # relu: y > 0, select
    3: "clip_above clip_below cos log10 log1p log2 log_sigmoid reciprocal sigmoid tan tanh",  # g (y (1 - y))
    4: "arctan arctanh cbrt copysign fmod remainder",  # g / (1 + x^2)
    5: "arccos arcsin arcsinh erf erfc hardsigmoid leaky_relu logit prelu relu6",
    6: "divide selu silu",
    7: "arccosh clip_between hardtanh logaddexp logaddexp2 maximum minimum rsqrt",
    8: "arctan2 elu hardswish hypot",
    9: "fmax fmin mish softsign",
    12: "gelu_erf power",
    15: "celu",
    16: "softplus",
    21: "gelu_tanh",
    65: "sinc",  # both branches, and the series beside its derivative
}


def named(table: dict[int, str]) -> Iterator[tuple[str, int]]:
    for count, names in table.items():
        for name in names.split():
            yield name, count


@pytest.mark.parametrize(("name", "count"), list(named(FORMULAS)))
def test_function_states_the_operations_of_its_definition(name: str, count: int) -> None:
    op = ELEMENTWISE[name]
    shapes = ((3, 4),) * len(op.formula.inputs)
    assert op.flops(shapes, (3, 4)) == 12 * count


@pytest.mark.parametrize(("name", "count"), list(named(DERIVATIVES)))
def test_function_states_the_operations_of_its_derivative(name: str, count: int) -> None:
    op = ELEMENTWISE[name]
    shapes = ((3, 4),) * len(op.formula.inputs)
    assert op.vjp_flops(shapes, (3, 4), (True,) * len(shapes)) == 12 * count


def test_undoing_a_broadcast_counts_as_additions() -> None:
    op = ELEMENTWISE["add"]
    assert op.vjp_flops(((8, 4), (4,)), (8, 4), (True, True)) == 8 * 4 - 4


def test_every_operation_has_its_count_checked() -> None:
    missing = set(REGISTRY) - set(BY_HAND) - {"to_device"}
    assert not missing, f"count the arithmetic of {missing} by hand and add it to BY_HAND"
    assert {name for name, _ in named(FORMULAS)} == set(ELEMENTWISE), "count them by hand and add them to FORMULAS"
    wanted = {name for name, op in ELEMENTWISE.items() if op.differentiable}
    assert {name for name, _ in named(DERIVATIVES)} == wanted


# ---- by counting what the rules compute

# Kernels of the backend, which count nothing while they run: by hand above.
# And of pooling, whose record of who won is part of the operation, so that comparing with it is counted twice.
KERNELS = {
    "max_pool", "window_pick", "window_put", "batch_norm", "softmax", "log_softmax", "layer_norm", "rms_norm",
    "scaled_dot_product_attention", "rnn_tanh", "rnn_relu", "lstm", "gru",
    "cross_entropy", "maxout", "linear", "activated_linear", "activated", "conv_relu", "gammainc", "betainc", "stdtr",
}  # fmt: skip
# Leading terms only.
LEADING = {
    "cholesky", "cofactors", "conv_input", "det", "eig", "eigh", "eigvalsh", "inv", "irfftn", "log_pseudo_det", "lstsq",
    "pinv", "qr", "rfftn", "slogdet", "solve", "solve_banded", "solve_sylvester", "sqrtm", "svd", "svdvals",
}  # fmt: skip


def nodes(out: Any) -> list[Node]:
    outs = out if isinstance(out, (tuple, list)) else (out,)
    stack = [o._node for o in outs if getattr(o, "_node", None) is not None]
    met: dict[Node, None] = {}
    while stack:
        node = stack.pop()
        if node not in met:
            met[node] = None
            stack.extend(p for p in ((node.parents,) if node.single else (node.parents or ())) if p is not None)
    return sorted(met, key=lambda node: node.seq)


def counted_rules(call: Callable[..., Any], *inputs: Any, but: Container[str] = ()) -> Iterator[tuple[str, int, int]]:
    """(primitive, FLOPs stated, FLOPs counted) for each primitive that `call` records, `but` some."""
    recorder = Recorder(cpu())
    with observed_by(recorder):
        out = call(*inputs)
    for node in nodes(out):
        seen = recorder.record_of(node.seq)
        if not isinstance(node, PrimitiveNode) or node.prim.rule is None or seen is None or seen.op is not node.prim:
            continue
        if node.name in but:
            continue
        calls = seen.calls
        stated = node.prim.vjp_flops(calls.shapes, calls.out_shape, node.needs, **calls.static)
        whole: Any = np.ones(node.shape, node.dtype) if node.prim.outputs == 1 else [np.ones(s) for s in node.shape]
        yield node.prim.name, stated, flops_of_rule(node, whole)


@pytest.mark.parametrize("row", [row for row in rows() if row.order], ids=lambda row: row.name)
def test_rules_compute_what_they_state(row: Row) -> None:
    found = counted_rules(row.call, *[gg.tensor(a, requires_grad=True) for a in row.sample()], but=KERNELS | LEADING)
    assert [entry for entry in found if entry[1] != entry[2]] == []


def well_conditioned(*shape: int, symmetric: bool = False) -> Any:
    values = np.random.default_rng(1).standard_normal(shape) + 9 * np.eye(*shape)
    return gg.tensor(values @ values.T if symmetric else values, requires_grad=True)


LARGE: dict[str, Callable[[], Any]] = {
    "cholesky": lambda: gg.linalg.cholesky(well_conditioned(48, 48, symmetric=True)),
    "inv": lambda: gg.linalg.inv(well_conditioned(48, 48)),
    "det": lambda: gg.linalg.slogdet(well_conditioned(48, 48))[1],
    "solve": lambda: gg.linalg.solve(well_conditioned(48, 48), well_conditioned(48, 20)),
    "qr": lambda: gg.linalg.qr(well_conditioned(96, 48)),
    "eigh": lambda: gg.linalg.eigh(well_conditioned(48, 48, symmetric=True)),
    "eigvalsh": lambda: gg.linalg.eigvalsh(well_conditioned(48, 48, symmetric=True)),
    "svd": lambda: gg.linalg.svd(well_conditioned(48, 48), full_matrices=False),
    "svd of tall ones": lambda: gg.linalg.svd(well_conditioned(96, 48), full_matrices=False),
    "svd of wide ones": lambda: gg.linalg.svd(well_conditioned(48, 96), full_matrices=False),
    "svdvals": lambda: gg.linalg.svdvals(well_conditioned(48, 48)),
    "pinv": lambda: gg.linalg.pinv(well_conditioned(96, 48)),
}


@pytest.mark.parametrize("name", LARGE)
def test_rules_of_factorisations_state_the_leading_terms(name: str) -> None:
    ((_, stated, counted),) = [e for e in counted_rules(LARGE[name]) if e[0] in LEADING]
    # What is left out is work on the n^2 elements of matrices: a fraction that falls with n.
    assert 1 <= counted / stated < 1.15, (stated, counted)


def test_the_counting_notices_a_wrong_statement() -> None:
    wrong = Primitive("stated_wrong", lambda needs, x: (x * 2, ()), lambda g, needs: (g * 2 + 1,))
    try:
        from gpugrad.tensor import apply

        x = gg.tensor(np.ones(5), requires_grad=True)
        assert list(counted_rules(lambda t: apply(wrong, (t,), {}), x)) == [("stated_wrong", 5, 10)]
    finally:
        del REGISTRY["stated_wrong"]


# ---- PyTorch's counter, where it has the operation

PRODUCTS: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "matmul": (gg.matmul, lambda t, a, b: t.matmul(a, b), ((6, 5), (5, 4))),
    "matmul of stacks": (gg.matmul, lambda t, a, b: t.matmul(a, b), ((3, 6, 5), (3, 5, 4))),
    "matmul of a stack and a matrix": (gg.matmul, lambda t, a, b: t.matmul(a, b), ((3, 6, 5), (5, 4))),
    "linear": (gg.linear, lambda t, x, w: t.nn.functional.linear(x, w), ((7, 5), (4, 5))),
    "linear of stacks": (gg.linear, lambda t, x, w: t.nn.functional.linear(x, w), ((2, 7, 5), (4, 5))),
    "conv1d": (gg.conv1d, lambda t, x, w: t.nn.functional.conv1d(x, w), ((2, 3, 9), (4, 3, 3))),
    "conv2d": (gg.conv2d, lambda t, x, w: t.nn.functional.conv2d(x, w), ((2, 3, 8, 9), (4, 3, 3, 2))),
    "conv2d strided and padded": (
        lambda x, w: gg.conv2d(x, w, stride=2, padding=1),
        lambda t, x, w: t.nn.functional.conv2d(x, w, stride=2, padding=1),
        ((2, 3, 9, 9), (4, 3, 3, 3)),
    ),
    "conv2d of groups": (
        lambda x, w: gg.conv2d(x, w, groups=2),
        lambda t, x, w: t.nn.functional.conv2d(x, w, groups=2),
        ((2, 4, 7, 7), (6, 2, 3, 3)),
    ),
    "conv_transpose2d": (
        lambda x, w: gg.conv_transpose2d(x, w, stride=2),
        lambda t, x, w: t.nn.functional.conv_transpose2d(x, w, stride=2),
        ((2, 4, 5, 5), (4, 3, 3, 3)),
    ),
    "einsum": (lambda a, b: gg.einsum("bij,bjk->bik", a, b), lambda t, a, b: t.einsum("bij,bjk->bik", a, b),
               ((3, 6, 5), (3, 5, 4))),
}  # fmt: skip


@pytest.mark.peers
@pytest.mark.parametrize("name", PRODUCTS)
def test_flops_agree_with_pytorchs_counter(name: str, torch: ModuleType) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    mine, theirs, shapes = PRODUCTS[name]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    with FlopCounterMode(display=False) as counter:
        out = theirs(torch, *tensors)
        forward = counter.get_total_flops()
        out.sum().backward()
    whole = counter.get_total_flops()
    inputs = [gg.tensor(a, requires_grad=True) for a in arrays]
    report = gg.profile(lambda: mine(*inputs).sum(), repeats=1, warmup=0, ceilings=False)
    products = [row for row in report.layers if row.name in ("matmul", "linear", "conv", "conv_input")]
    assert sum(row.forward.flops for row in products) == pytest.approx(forward, rel=0.01)
    if name != "conv2d of groups":  # PyTorch counts the gradient of grouped kernels as if there were no groups
        assert sum(row.backward.flops for row in products) == pytest.approx(whole - forward, rel=0.01)


# ---- bytes


def test_a_kernel_reads_its_inputs_and_writes_its_output_once() -> None:
    assert REGISTRY["matmul"].bytes((80, 60), 48) == 80 + 60 + 48
    assert ELEMENTWISE["add"].bytes((80, 80), 80) == 240


def test_a_rule_reads_the_cotangent_and_what_was_kept_for_each_result() -> None:
    assert REGISTRY["matmul"].vjp_bytes((80, 60), 48, (True, True)) == (48 + 60 + 80) + (48 + 80 + 60)
    assert REGISTRY["matmul"].vjp_bytes((80, 60), 48, (False, True)) == 48 + 80 + 60
    assert REGISTRY["softmax"].vjp_bytes((80,), 80, (True,)) == 3 * 80, "cotangent, output, result"


def test_a_fused_rule_reads_everything_once() -> None:
    # g and y in, one cotangent out; a cotangent that is handed on costs nothing
    assert ELEMENTWISE["tanh"].vjp_bytes((80,), 80, (True,)) == 240
    assert ELEMENTWISE["multiply"].vjp_bytes((80, 80), 80, (True, True)) == 80 + 160 + 160
    assert ELEMENTWISE["add"].vjp_bytes((80, 80), 80, (True, True)) == 0


@pytest.mark.parametrize("name", ["reshape", "transpose", "broadcast_to"])
def test_a_view_moves_nothing(name: str) -> None:
    assert REGISTRY[name].bytes((80,), 80) == 0


def test_an_index_moves_what_it_takes() -> None:
    get = REGISTRY["getitem"]
    assert get.bytes((800,), 80, index=None, arrays=(), unique=True) == 0, "a slice is a view"
    assert get.bytes((800,), 80, index=None, arrays=(0,), unique=False) == 160
    assert get.vjp_bytes((800,), 80, (True,), index=None, arrays=(), unique=True) == 800 + 160


@pytest.mark.parametrize("row", [row for row in rows() if row.order], ids=lambda row: row.name)
def test_every_operation_states_bytes_that_hold_its_output(row: Row) -> None:
    recorder = Recorder(cpu())
    with observed_by(recorder):
        row.call(*[gg.tensor(a, requires_grad=True) for a in row.sample()])
    for seen in recorder.records:
        nbytes = seen.op.bytes(seen.calls.nbytes, seen.calls.out_bytes, **seen.calls.static)
        assert nbytes == 0 or nbytes >= seen.calls.out_bytes
        assert math.isfinite(nbytes)
