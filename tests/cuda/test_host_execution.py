"""The arithmetic and indexing of every elementwise kernel, executed on the CPU from its own CUDA source.

Compared with an oracle in float64 that shares no code with the compilers. Row kernels are in test_row_kernels.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gpugrad.fusion import call, trace
from gpugrad.fusion import cuda_compiler as compiler
from gpugrad.fusion.cuda_compiler import SCALAR, cuda_source
from tests.cuda.hostexec import missing_compiler
from tests.cuda.launching import Array, Kernels, aligned, as_float, build, elementwise, stored_as
from tests.cuda.library import Case, cases
from tests.cuda.reference import evaluate

pytestmark = pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))

CASES = {case.name: case for case in cases()}
DOMAIN = {  # where a function is defined or does not overflow; the sampling of everything else is the real line
    "arcsin": (-0.99, 0.99), "arccos": (-0.99, 0.99), "arctanh": (-0.99, 0.99), "arccosh": (1.01, 9.0),
    "log": (0.01, 9.0), "log2": (0.01, 9.0), "log10": (0.01, 9.0), "log1p": (-0.9, 9.0), "logit": (0.01, 0.99),
    "sqrt": (0.01, 9.0), "rsqrt": (0.01, 9.0), "power": (0.1, 3.0), "tan": (-1.4, 1.4),
}  # fmt: skip
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -3.0, 6.0, 20.0, -40.0, 1e-30, 700.0, -800.0, np.inf, -np.inf, np.nan]
SCALARS = {"negative_slope": 0.1, "alpha": 1.3, "beta": 2.0, "threshold": 5.0, "min_val": -1.5, "max_val": 0.75}


@pytest.fixture(scope="module")
def float32() -> Kernels:
    return build([case.source("float32").text for case in CASES.values()])


def operation(name: str) -> str:
    return name.partition("_vjp")[0]


def samples(case: Case, shapes: Sequence[tuple[int, ...]], real: str, seed: str) -> list[Any]:
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    low, high = DOMAIN.get(operation(case.name), (-4.0, 4.0))
    given: list[Any] = []
    for name, passed, shape in zip(case.formula.inputs, case.passed, shapes, strict=True):
        if passed == SCALAR:
            given.append(SCALARS[name])
        elif passed == "bool":
            given.append(aligned(shape, np.bool_, rng.random(shape) < 0.5))
        else:
            from_all = name == "g"
            value = rng.uniform(-2, 2, shape) if from_all else rng.uniform(low, high, shape)
            given.append(aligned(shape, real, value))
    if "y" in case.formula.inputs and "_vjp" in case.name and case.name in SAVES_OUTPUT:
        forward = CASES[operation(case.name)].formula
        at = case.formula.inputs.index("y")
        given[at][...] = evaluate(forward, [rng.uniform(low, high, shapes[at])])[0]
    return given


SAVES_OUTPUT = {n for n, c in CASES.items() if "_vjp" in n and c.formula.inputs == ("g", "y")}


# Cancellation in the formula itself, next to a removable singularity.
LOOSE: dict[str, float] = {}


def check(case: Case, given: list[Any], outs: list[Array], tolerance: float) -> None:
    tolerance = max(tolerance, LOOSE.get(case.name, 0.0))
    for got, wanted in zip(outs, evaluate(case.formula, given), strict=True):
        if got.dtype == np.bool_:
            np.testing.assert_array_equal(got, wanted, err_msg=case.name)
        else:
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance, err_msg=case.name)


def outputs(case: Case, shape: tuple[int, ...], real: str = "float32") -> list[Array]:
    return [aligned(shape, dtype) for dtype in case.out_dtypes(real)]


@pytest.mark.parametrize("name", CASES)
def test_every_kernel_on_contiguous_and_row_broadcast_arrays(name: str, float32: Kernels) -> None:
    case = CASES[name]
    count = len(case.passed)
    for n in (1, 3, 1003):  # below one access; and a tail
        given, outs = samples(case, [(n,)] * count, "float32", f"{name}{n}"), outputs(case, (n,))
        elementwise(float32, case.source("float32"), given, outs, "contiguous")
        check(case, given, outs, 2e-5)
    if sum(passed != SCALAR for passed in case.passed) > 1:
        given = samples(case, [(5, 12), (12,), (5, 1), (5, 12)][:count], "float32", f"{name} rows")
        outs = outputs(case, (5, 12))
        elementwise(float32, case.source("float32"), given, outs, "rows")
        check(case, given, outs, 2e-5)


@pytest.mark.parametrize("name", CASES)
def test_every_kernel_on_strided_arrays(name: str, float32: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transposed, reversed, broadcast and not aligned, into strided outputs; 32- and 64-bit indices."""
    case = CASES[name]
    given = samples(case, [(7, 3, 4), (4, 1, 1), (1, 3, 7), (4, 3, 7)][: len(case.passed)], "float32", name)
    for i, array in enumerate(given):
        if isinstance(array, np.ndarray):
            given[i] = array.T if array.shape == (7, 3, 4) else array[..., ::-1]
    before = outputs(case, (4, 6, 8))
    for whole in before:
        whole[...] = 0
    outs = [whole[:, ::2, 1:] for whole in before]
    elementwise(float32, case.source("float32"), given, outs, "strided")
    check(case, given, outs, 2e-5)
    for whole in before:
        assert not whole[:, 1::2].any(), "wrote between the rows"
        assert not whole[:, :, 0].any(), "wrote before the rows"

    monkeypatch.setattr(compiler, "_INDEX32_LIMIT", 1)
    again = [whole[:, ::2, 1:] for whole in outputs(case, (4, 6, 8))]
    elementwise(float32, case.source("float32"), given, again, "strided64")
    for first, second in zip(outs, again, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.fixture(scope="module")
def float64() -> Kernels:
    return build([case.source("float64").text for case in CASES.values() if case.name in FORWARD])


FORWARD = [name for name in CASES if "_vjp" not in name]


@pytest.mark.parametrize("name", FORWARD)
def test_forward_kernels_agree_with_numpy_at_special_values(name: str, float64: Kernels) -> None:
    case = CASES[name]
    grids = np.meshgrid(*[SPECIAL] * min(2, len(case.formula.inputs)), indexing="ij")
    columns = [g.ravel() for g in grids] + [grids[-1].ravel()[::-1]] * (len(case.formula.inputs) - len(grids))
    given: list[Any] = []
    for column, passed, n in zip(columns, case.passed, case.formula.inputs, strict=True):
        given.append(
            SCALARS[n] if passed == SCALAR else aligned(column.shape, bool if passed == "bool" else float, column)
        )
    outs = outputs(case, columns[0].shape, "float64")
    elementwise(float64, case.source("float64"), given, outs, "contiguous")
    check(case, given, outs, 1e-11)


HALF_CASES = ("silu_vjp", "gelu_erf", "add", "where", "softplus", "less", "mish_vjp", "prelu_vjp")


@pytest.fixture(scope="module")
def halves() -> Kernels:
    return build([CASES[n].source(d).text for n in HALF_CASES for d in ("float16", "bfloat16")])


@pytest.mark.parametrize("name", HALF_CASES)
def test_half_precision_computes_in_float32_and_rounds_once(name: str, halves: Kernels) -> None:
    case = CASES[name]
    for dtype, eps in (("float16", 2.0**-11), ("bfloat16", 2.0**-8)):
        given = samples(case, [(77,)] * len(case.formula.inputs), "float32", name)
        stored = [stored_as(g, dtype) if isinstance(g, np.ndarray) and g.dtype != np.bool_ else g for g in given]
        exact = [as_float(s, dtype) if isinstance(s, np.ndarray) and s.dtype != np.bool_ else s for s in stored]
        outs = [aligned((77,), np.bool_ if d == "bool" else np.uint16) for d in case.out_dtypes(dtype)]
        elementwise(halves, case.source(dtype), stored, outs, "contiguous")
        got = [out if out.dtype == np.bool_ else as_float(out, dtype) for out in outs]
        check(case, exact, got, 1.5 * eps)


OTHERS = {  # functions of the language that no operation of the library uses alone, and several outputs
    "special": (lambda x: (call("erfcx", x), call("lgamma", x), call("digamma", x)), 3),
    "sums": (lambda x, y: (x + y, x - y, call("less", x, y)), 3),
}


def test_several_outputs_and_the_rest_of_the_language(rng: np.random.Generator) -> None:
    formulas = [trace(f, n) for n, (f, _) in OTHERS.items()]
    for dtype, tolerance in (("float32", 3e-5), ("float64", 1e-10)):
        sources = [
            cuda_source(formulas[0], (dtype,), (dtype,) * 3),
            cuda_source(formulas[1], (dtype, dtype), (dtype, dtype, "bool")),
        ]
        kernels = build([s.text for s in sources])
        # Away from the poles and from the zero of digamma, where its relative error is unbounded.
        x = np.concatenate([rng.uniform(0.05, 30, 300), rng.uniform(-3.9, -3.1, 50), [0.5, 1.0, 2.0, 6.0, 10.0]])
        given = [aligned(x.shape, dtype, x), aligned(x.shape, dtype, x[::-1])]
        for source, formula in zip(sources, formulas, strict=True):
            inputs = given[: len(formula.inputs)]
            outs = [aligned(x.shape, d) for d in source.out_dtypes]
            elementwise(kernels, source, inputs, outs)
            for got, wanted in zip(outs, evaluate(formula, inputs), strict=True):
                np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool", "uint8"])
def test_integer_arithmetic_is_exact(dtype: str) -> None:
    formula = trace(lambda x, y: (x // y, x % y, np.maximum(x, y), x * y - 3.0), "integers")
    source = cuda_source(formula, (dtype, dtype), ("int64",) * 4)
    assert source.compute == "int64"
    values = [0, 1, -1, 2, -2, 3, -3, 7, -7, 2**53 + 1] if dtype == "int64" else [0, 1, 2, 3, 7]
    x, y = (aligned((g.size,), dtype, g.ravel()) for g in np.meshgrid(values, values))
    outs = [aligned(x.shape, np.int64) for _ in range(4)]
    elementwise(build([source.text]), source, [x, y], outs, "contiguous")
    a, b = x.astype(np.int64), y.astype(np.int64)
    with np.errstate(divide="ignore"):
        for got, wanted in zip(outs, (a // b, a % b, np.maximum(a, b), a * b - 3), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_an_output_may_be_an_input(float32: Kernels, rng: np.random.Generator) -> None:
    source = CASES["multiply"].source("float32")
    x, y = (
        aligned((1003,), "float32", rng.standard_normal(1003)),
        aligned((1003,), "float32", rng.standard_normal(1003)),
    )
    wanted = x * y
    elementwise(float32, source, [x, y], [x], "contiguous")
    np.testing.assert_array_equal(x, wanted)


def test_a_contiguous_kernel_stays_within_its_array(float32: Kernels) -> None:
    source = CASES["exp"].source("float32")
    for n in (1, 5, 2047, 2049):
        buffer = aligned((n + 64,), "float32", 7)
        elementwise(float32, source, [aligned((n,), "float32", 0)], [buffer[:n]], "contiguous")
        assert (buffer[:n] == 1).all()
        assert (buffer[n:] == 7).all()
