"""Row kernels of the CPU: both bodies against float64 formulas, against each other, and their errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpugrad.backend import cpu_row_blocks, cpu_rows_numpy
from gpugrad.backend import cpu_rows as rows
from gpugrad.fusion import numba_cache
from tests.backend.threads import threads_change_no_bit

SHAPES = [(1, 1), (3, 5), (7, 33), (130, 1024), (2, 3, 70_000)]


@pytest.fixture(params=["numpy", "numba"], autouse=True)
def body(request, monkeypatch):
    """Run each test with NumPy's bodies, and with Numba's for arrays of every size."""
    if request.param == "numba":
        pytest.importorskip("numba", reason='Numba is not installed; pip install "gpugrad[cpu]"')
        monkeypatch.setattr(cpu_row_blocks, "FUSE", 0)
        monkeypatch.setenv("GPUGRAD_NUMBA", "1")
    else:
        monkeypatch.setenv("GPUGRAD_NUMBA", "0")
    return request.param


def _rng():
    return np.random.default_rng(0)


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _lse(x):
    high = x.max(-1, keepdims=True)
    return (high + np.log(np.exp(x - high).sum(-1, keepdims=True)))[..., 0]


def _tolerance(dtype):
    return {"float16": 2e-3, "float32": 4e-6, "float64": 1e-13}[np.dtype(dtype).name]


def _near(got, expected, dtype, scale=1.0):
    assert got.dtype == dtype
    tol = _tolerance(dtype)
    np.testing.assert_allclose(got.astype(np.float64), expected, rtol=tol, atol=tol * scale)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_family_equals_float64(shape, dtype):
    x = (_rng().normal(size=shape) * 4).astype(dtype)
    g = _rng().normal(size=shape).astype(dtype)
    wide, gw = x.astype(np.float64), g.astype(np.float64)
    y = rows.softmax(x)
    _near(y, _softmax(wide), dtype)
    _near(rows.log_softmax(x), wide - _lse(wide)[..., None], dtype, scale=10)
    _near(rows.logsumexp(x), _lse(wide), dtype)
    y64 = y.astype(np.float64)
    _near(rows.softmax_vjp(g, y), y64 * (gw - (gw * y64).sum(-1, keepdims=True)), dtype)
    z = rows.log_softmax(x)
    expected = gw - np.exp(z.astype(np.float64)) * gw.sum(-1, keepdims=True)
    _near(rows.log_softmax_vjp(g, z), expected, dtype, scale=100)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("shape", "first"), [((3, 5, 5), 0), ((2, 4, 9), 5), ((1, 1, 7), 2), ((2, 300, 301), 1)])
def test_softmax_of_what_comes_before(shape, first, dtype):
    x = (_rng().normal(size=shape) * 4).astype(dtype)
    seen = np.arange(shape[-1]) <= first + np.arange(shape[-2])[:, None]
    kept = x.copy()
    y = rows.softmax_causal(x, first)
    _near(y, _softmax(np.where(seen, x.astype(np.float64), -np.inf)), dtype)
    assert (y[:, ~seen] == 0).all()
    np.testing.assert_array_equal(x, kept)
    assert rows.softmax_causal(x, first, x) is x
    np.testing.assert_array_equal(x, y)


def test_softmax_survives_huge_logits_and_keeps_nan_in_its_row():
    x = np.array([[1e30, 0.0, -1e30], [np.nan, 1.0, 2.0], [-np.nan, 1.0, 2.0], [-np.inf, 0.0, 0.0]], np.float32)
    with np.errstate(invalid="ignore"):
        y = rows.softmax(x)
    np.testing.assert_array_equal(y[0], [1, 0, 0])
    assert np.isnan(y[1:3]).all()
    np.testing.assert_array_equal(y[3], [0, 0.5, 0.5])


def test_logsumexp_of_infinite_rows_is_infinite():
    x = np.array([[-np.inf, -np.inf], [np.inf, 0.0], [-np.inf, 3.0]], np.float32)
    np.testing.assert_array_equal(rows.logsumexp(x), np.array([-np.inf, np.inf, 3.0], np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_and_its_vjp_equal_the_formula(weighted, smoothing, dtype):
    rng = _rng()
    for n, c in ((1, 1), (5, 10), (300, 1000)):
        x = (rng.normal(size=(n, c)) * 3).astype(dtype)
        labels = rng.integers(0, c, n)
        labels[n // 2 :: 7] = -100
        weight = rng.uniform(0.5, 2, c).astype(dtype) if weighted else None
        g = rng.normal(size=n).astype(dtype)
        loss, lse = rows.cross_entropy(x, labels, weight, smoothing)
        wide, w = x.astype(np.float64), np.ones(c) if weight is None else weight.astype(np.float64)
        negative = _lse(wide)[:, None] - wide
        used, t = labels != -100, np.where(labels == -100, 0, labels)
        onehot = np.zeros((n, c))
        onehot[np.arange(n), t] = 1
        target = (1 - smoothing) * onehot * w + smoothing / c * w
        _near(loss, used * (target * negative).sum(1), dtype, scale=10)
        _near(lse, _lse(wide), dtype)
        dx = rows.cross_entropy_vjp(g, x, lse, labels, weight, smoothing)
        expected = (g * used)[:, None] * (_softmax(wide) * target.sum(1, keepdims=True) - target)
        _near(dx, expected, dtype, scale=4)


def test_a_label_out_of_range_is_named_with_its_position():
    x = np.zeros((4, 3), np.float32)
    with pytest.raises(
        ValueError, match=r"\[cross_entropy\] labels\[2\] = 7 is not a class: the logits have 3 classes"
    ):
        rows.cross_entropy(x, np.array([0, -100, 7, 1]))
    with pytest.raises(ValueError, match=r"labels: \(4,\) float64 for 4 rows"):
        rows.cross_entropy(x, np.zeros(4))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("shape", [(1, 4), (37, 65), (300, 1024), (2, 3, 70_000)])
def test_layer_norm_and_rms_norm_equal_float64(shape, affine, dtype):
    rng = _rng()
    n = shape[-1]
    x, g = (rng.normal(size=shape) + 3).astype(dtype), rng.normal(size=shape).astype(dtype)
    weight, bias = (rng.uniform(0.5, 2, n).astype(dtype) for _ in range(2)) if affine else (None, None)
    wide, gw = x.astype(np.float64), g.astype(np.float64)
    w, b = (1.0, 0.0) if weight is None else (weight.astype(np.float64), bias.astype(np.float64))
    y, mean, rstd = rows.layer_norm(x, weight, bias, 1e-5)
    inverse = 1 / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    xhat = (wide - wide.mean(-1, keepdims=True)) * inverse
    _near(y, xhat * w + b, dtype, scale=8)
    dx, dw, db = rows.layer_norm_vjp(g, x, mean, rstd, weight)
    gx = gw * w
    expected = inverse * (gx - gx.mean(-1, keepdims=True) - xhat * (gx * xhat).mean(-1, keepdims=True))
    axes = tuple(range(x.ndim - 1))
    _near(dx, expected, dtype, scale=8)
    _near(dw, (gw * xhat).sum(axes), dtype, scale=60)
    _near(db, gw.sum(axes), dtype, scale=60)
    y, rstd = rows.rms_norm(x, weight, 1e-6)
    inverse = 1 / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6)
    _near(y, wide * inverse * w, dtype, scale=8)
    dx, dw = rows.rms_norm_vjp(g, x, rstd, weight)
    xhat = wide * inverse
    _near(dx, inverse * (gx - xhat * (gx * xhat).mean(-1, keepdims=True)), dtype, scale=8)
    _near(dw, (gw * xhat).sum(axes), dtype, scale=100)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_maxout_shares_the_cotangent_among_equals_and_gives_a_nans_to_the_nan(dtype):
    x = np.array([[1, 3, 3, -5, -4, np.nan], [0, 0, 0, np.inf, 2, 1]], dtype)
    y = rows.maxout(x, 3)
    np.testing.assert_array_equal(y, np.array([[3, np.nan], [0, np.inf]], dtype))
    dx = rows.maxout_vjp(np.array([[1, 2], [3, 4]], dtype), x, y, 3)
    assert dx.dtype == dtype
    assert dx.tolist() == [[0, 0.5, 0.5, 0, 0, 2], [1, 1, 1, 4, 0, 0]]
    with pytest.raises(ValueError, match=r"\[maxout\] k = 4 for x: \(2, 6\)"):
        rows.maxout(x, 4)


def test_the_generator_is_splitmix64():
    # The first outputs of the published generator from state 0, and the halves in their order.
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    halves = [h for word in published for h in (word & 0xFFFFFFFF, word >> 32)]
    assert cpu_rows_numpy.random_bits(0, 0, 6).tolist() == halves
    assert cpu_rows_numpy.random_bits(0, 1, 4).tolist() == halves[1:5]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 2, 7, 200_003])
@pytest.mark.parametrize("offset", [0, 1, 12_345])
def test_dropout_is_a_function_of_seed_and_offset_alone(size, offset, dtype):
    x = np.ones(size, dtype)
    seed = 0xFEDCBA9876543210
    bits = cpu_rows_numpy.random_bits(cpu_rows_numpy.stream_key(seed), offset, size)
    expected = np.where(bits >= round(0.3 * 2**32), 1 / 0.7, 0)
    y = rows.dropout(x, 0.3, seed, offset)
    _near(y, expected, dtype)
    tail = rows.dropout(x[size // 3 :], 0.3, seed, offset + size // 3)
    np.testing.assert_array_equal(tail, y[size // 3 :])


def test_dropout_drops_its_share_and_zeroes_even_infinities():
    y = rows.dropout(np.full(1_000_000, np.inf, np.float32), 0.25, 3)
    dropped = (y == 0).mean()
    assert abs(dropped - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 1e6)
    assert np.isinf(y[y != 0]).all()
    pairs = (y == 0).reshape(-1, 2)
    assert abs((pairs[:, 0] & pairs[:, 1]).mean() - 0.0625) < 4 * np.sqrt(0.0625 / 5e5)
    assert not rows.dropout(np.ones(9, np.float32), 1.0, 3).any()
    np.testing.assert_array_equal(rows.dropout(np.ones(9, np.float32), 0.0, 3), 1)
    with pytest.raises(ValueError, match=r"\[dropout\] p = 1.5"):
        rows.dropout(np.ones(9), 1.5, 3)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
def test_scatter_add_rows_adds_repeats_and_takes_negative_indices(dtype):
    target = np.zeros((4, 3, 2), dtype)
    index = np.array([[0, -1], [0, 2]])
    source = np.arange(24).reshape(2, 2, 3, 2).astype(dtype)
    expected = np.zeros((4, 3, 2))
    np.add.at(expected, index, source)
    rows.scatter_add_rows(target, index, source)
    np.testing.assert_array_equal(target, expected)
    with pytest.raises(ValueError, match=r"index\[1\] = 4 is out of range for 4 rows"):
        rows.scatter_add_rows(target, np.array([0, 4]), source[0])


def test_out_and_strided_inputs_are_honoured():
    x = np.asfortranarray(_rng().normal(size=(40, 50)).astype(np.float32))
    out = np.empty((40, 50), np.float32)
    assert rows.softmax(x, out=out) is out
    np.testing.assert_allclose(out, _softmax(x.astype(np.float64)), rtol=1e-5)
    turned = np.empty((50, 40), np.float32).T
    assert rows.softmax(x, out=turned) is turned
    np.testing.assert_array_equal(turned, out)


def test_results_do_not_depend_on_the_number_of_threads():
    x = _rng().normal(size=(700, 1000)).astype(np.float32)
    g = _rng().normal(size=(700, 1000)).astype(np.float32)
    _, mean, rstd = rows.layer_norm(x, None, None)
    threads_change_no_bit(lambda: rows.layer_norm_vjp(g, x, mean, rstd, None))


def test_what_is_not_floating_point_is_refused():
    with pytest.raises(ValueError, match=r"\[softmax\] x: \(3,\) int64"):
        rows.softmax(np.arange(3))


def test_the_environment_switches_numba(monkeypatch, body):
    x = np.zeros((10, 10), np.float32)
    assert (rows.body(x) is cpu_rows_numpy) == (body == "numpy")
    monkeypatch.setenv("GPUGRAD_NUMBA", "perhaps")
    with pytest.raises(ValueError, match="GPUGRAD_NUMBA = 'perhaps'"):
        numba_cache.numba_wanted()


def test_demanding_numba_where_it_is_missing_gives_the_command():
    program = (
        "import sys\n"
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'numba' else real(name, *a)\n"
        "from gpugrad.fusion.numba_cache import numba_wanted\n"
        "numba_wanted()\n"
    )
    root = str(Path(rows.__file__).parents[2])
    env = {**os.environ, "GPUGRAD_NUMBA": "1", "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert 'pip install "gpugrad[cpu]"' in done.stderr
