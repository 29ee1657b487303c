"""The kernels over windows and of batch normalisation, executed on the CPU from their CUDA source, against NumPy.

All four storage types; threads forwards and backwards give the same bits (see `launching.Rows`).
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest

from gpugrad.backend import conv as general
from gpugrad.backend import cpu
from gpugrad.backend.conv import Geometry
from gpugrad.backend.cuda_windows import divisor, windows
from gpugrad.fusion.cuda_sources import SOURCES
from tests.cuda.hostexec import missing_compiler
from tests.cuda.launching import Array, Rows, storage

pytestmark = pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))
I64, U32 = np.int64, np.uint32


@functools.cache
def rows_of(dtype: str) -> Rows:
    return Rows(dtype, ("conv.cu", "pool.cu", "batch_norm.cu", "reduce.cu"))


@pytest.fixture(params=["float32", "float64", "float16", "bfloat16"])
def k(request: pytest.FixtureRequest) -> Rows:
    return rows_of(request.param)


AT = Geometry((2, 1), ((1, 2), (0, 1)), (1, 2), 1)
SIZE, KERNEL = (7, 6), (3, 2)
COUNT = AT.output(SIZE, KERNEL)


def taps_of(x: Array, at: Geometry = AT, kernel: Any = KERNEL) -> Array:
    """Every window of (n, h, w, c), (n, *count, taps, c), zeros outside, by indexing alone."""
    pads = [(0, 0), *at.padding, (0, 0)]
    padded = np.pad(x, pads)
    count = at.output(x.shape[1:3], kernel)
    out = np.zeros((x.shape[0], *count, kernel[0] * kernel[1], x.shape[3]))
    for (i, j), (a, b) in itertools.product(np.ndindex(*count), np.ndindex(*kernel)):
        y, z = i * at.stride[0] + a * at.dilation[0], j * at.stride[1] + b * at.dilation[1]
        out[:, i, j, a * kernel[1] + b] = padded[:, y, z]
    return out


def dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Steps of (n, channels, *axes) whose memory has channels last."""
    _, h, w, c = shape
    return (h * w * c, 1, w * c, c)


@pytest.mark.parametrize("by", [1, 2, 3, 7, 9, 64, 641, 65_535, 65_536, 1_000_003, 2**30 + 1, 2**31 - 1])
def test_a_division_by_a_product_and_a_shift_is_exact(by: int) -> None:
    _, factor, shift = divisor(by)
    multiples = [by * q + r for q in (0, 1, 2, 1000, (2**31 - 1) // by) for r in (-1, 0, 1, by - 1)]
    for n in {m for m in (*multiples, 2**31 - 1, 2**30) if 0 <= m < 2**31}:
        assert (((n * factor) >> 32) + n) >> shift == n // by
        assert ((n * factor) >> 32) + n < 2**32, "the sum fits into 32 bits"


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("wide", [False, True])
def test_patches_begin_anywhere_and_lie_by_groups(k: Rows, groups: int, wide: bool, rng: np.random.Generator) -> None:
    pack = 16 // k.given(np.zeros(1))[0].itemsize if wide else 1
    channels, at = 2 * groups * max(pack, 2), AT._replace(groups=groups)
    stored, x = k.given(rng.uniform(-1, 1, (2, *SIZE, channels)))
    wanted = taps_of(x).reshape(-1, 6, groups, channels // groups).transpose(2, 0, 1, 3)
    w = windows(dense(x.shape), channels, SIZE, COUNT, KERNEL, at, True, pack, patches=True)
    first, rows = 5, wanted.shape[1] - 7
    out = k.empty((groups, rows, 6, channels // groups))
    args = (stored, out, U32(first), U32(out.size // pack), w)
    k.run("im2col_wide" if wide else "im2col", (2,), (64,), args)
    np.testing.assert_array_equal(k.read(out), wanted[:, first : first + rows])


def test_the_way_back_adds_up_every_window_a_pixel_is_in(k: Rows, rng: np.random.Generator) -> None:
    groups, channels = 2, 6
    n, places = 2, COUNT[0] * COUNT[1]
    columns = rng.uniform(-1, 1, (groups, n * places, 6, channels // groups)).astype(k.real)
    w = windows((0,) * 4, channels, SIZE, COUNT, KERNEL, AT._replace(groups=groups), False)
    out = k.empty((n, *SIZE, channels))
    k.run("col2im", (2,), (64,), (columns, out, U32(out.size), U32(n * places), w))
    wanted = np.zeros((n, *SIZE, channels))
    rows = columns.transpose(1, 2, 0, 3).reshape(n, *COUNT, 6, channels).astype(np.float64)
    for place in np.ndindex(n, *SIZE, channels):  # the transpose of taking patches, one unit vector at a time
        unit = np.zeros((n, *SIZE, channels))
        unit[place] = 1
        wanted[place] = (taps_of(unit) * rows).sum()
    k.check(out, wanted, 2)


@pytest.mark.parametrize("channels", [35, 40])  # more than a warp, and no multiple of it; by packs
def test_depthwise_and_its_two_gradients(k: Rows, channels: int, rng: np.random.Generator) -> None:
    at = AT._replace(groups=channels)
    stored, x = k.given(rng.uniform(-1, 1, (2, *SIZE, channels)))
    w_stored, kernels = k.given(rng.uniform(-1, 1, (channels, 6)))
    g_stored, g = k.given(rng.uniform(-1, 1, (2, *COUNT, channels)))
    y = k.empty(g.shape)
    forward = windows(dense(x.shape), channels, SIZE, COUNT, KERNEL, at, True)
    k.run("depthwise", (2,), (64,), (stored, w_stored, y, U32(y.size), forward))
    k.check(y, (taps_of(x) * kernels.T).sum(-2), 2)

    dx = k.empty(x.shape)
    back = windows(dense(g.shape), channels, SIZE, COUNT, KERNEL, at, False)
    k.run("depthwise_input", (2,), (64,), (g_stored, w_stored, dx, U32(dx.size), back))
    images, given = g.transpose(0, 3, 1, 2), kernels.reshape(channels, 1, *KERNEL)
    wanted = general.conv_input(cpu(), images, given, SIZE, at)
    k.check(dx, wanted.transpose(0, 2, 3, 1), 2)

    rows, each = g.size // channels, 8
    chunks = -(-rows // each)
    part = k.empty((chunks, 6, channels), k.real)
    wanted = (taps_of(x) * g[..., None, :]).sum((0, 1, 2))
    for across, wide in STAGES:
        if wide and channels % 8:
            continue
        name, many, block = stage(k, "depthwise_weight", across, wide, channels)
        part[...] = np.nan
        k.run(name, (many, chunks, 6), block, (stored, g_stored, part, I64(rows), I64(each), forward))
        np.testing.assert_allclose(part.astype(float).sum(0), wanted, rtol=2e-5, atol=2e-5)


def test_pooling_and_its_ways_back(k: Rows, rng: np.random.Generator) -> None:
    values = rng.integers(-3, 4, (2, *SIZE, 5)).astype(float)  # few values: many ties
    values[1, 3, 2, 4] = np.nan
    stored, x = k.given(values)
    g_stored, g = k.given(rng.uniform(-1, 1, (2, *COUNT, 5)))
    forward = windows(dense(x.shape), 5, SIZE, COUNT, KERNEL, AT, True)
    back = windows(dense(g.shape), 5, SIZE, COUNT, KERNEL, AT, False)
    inside = taps_of(np.ones_like(x)) > 0
    seen = np.where(inside, taps_of(x), -np.inf)
    y, won = k.empty(g.shape), k.empty(g.shape, np.uint8)
    k.run("max_pool", (2,), (64,), (stored, y, won, U32(y.size), forward))
    np.testing.assert_array_equal(k.read(y), seen.max(-2))
    np.testing.assert_array_equal(won, seen.argmax(-2), "the first of equals; a nan before all")

    def spread(weights: Array) -> Array:
        """What each pixel gets of `weights` (n, *count, taps, c)."""
        out = np.zeros((2, SIZE[0] + 3, SIZE[1] + 1, 5))
        for (i, j), (a, b) in itertools.product(np.ndindex(*COUNT), np.ndindex(*KERNEL)):
            out[:, i * 2 + a, j + b * 2] += weights[:, i, j, a * 2 + b]
        return out[:, 1 : SIZE[0] + 1, : SIZE[1]]

    taken = (np.arange(6)[:, None] == won[..., None, :]) * g[..., None, :]
    for kernel, beside, wanted in (("window_put", (won,), taken), ("window_spread", (), inside * g[..., None, :])):
        dx = k.empty(x.shape)
        k.run(kernel, (2,), (64,), (g_stored, *beside, dx, U32(dx.size), back))
        k.check(dx, spread(wanted), 2)
    sums = k.empty(g.shape)
    k.run("window_sum", (2,), (64,), (stored, sums, U32(sums.size), forward))
    k.check(sums, taps_of(x).sum(-2), 2)


def stage(k: Rows, name: str, across: int, wide: bool, columns: int) -> tuple[str, int, tuple[int, int]]:
    """The kernel of a first stage, its blocks side by side, and a block."""
    pack = 16 // storage(k.dtype).itemsize if wide else 1
    return f"{name}_wide" if wide else name, -(-columns // (across * pack)), (across, 256 // across)


STAGES = [(32, False), (8, False), (1, False), (32, True), (4, True)]


@pytest.mark.parametrize(("across", "wide"), STAGES)
@pytest.mark.parametrize("shape", [(1, 8), (37, 40), (200, 32), (37, 45), (200, 33), (1, 3)])
def test_means_and_variances_far_from_zero(
    k: Rows, shape: tuple[int, int], across: int, wide: bool, rng: np.random.Generator
) -> None:
    rows, columns = shape
    if wide and columns % 8:
        return
    far = 1000.0 if k.dtype in ("float32", "float64") else 4.0
    stored, x = k.given(rng.uniform(-1, 1, shape) + far)
    each = 16
    chunks = -(-rows // each)
    first, many, block = stage(k, "moments_parts", across, wide, columns)
    blocks = -(-columns // across)
    part = k.empty((chunks, columns, 2), k.real)
    mean, variance, rate = (k.empty((columns,), k.real) for _ in range(3))
    sizes, numbers = (I64(rows), I64(columns), I64(each)), (k.scalar(0.01), k.scalar(0.25))
    k.run(first, (many, chunks), block, (stored, part, *sizes))
    before = rng.uniform(1, 2, (2, columns)).astype(k.real)
    running = before.copy()
    k.run("moments", (blocks,), block, (part, mean, variance, rate, None, None, None, I64(chunks), *sizes, *numbers))
    # In place: one launch.
    entry = SOURCES["batch_norm.cu"].entry("moments", k.dtype)
    batches = np.array(6, I64)
    k.kernels[entry]((blocks,), block, (part, mean, variance, rate, *running, batches, I64(chunks), *sizes, *numbers))
    assert batches == 7
    if rows > 1:
        want = 0.75 * before + 0.25 * np.stack([x.mean(0), x.var(0, ddof=1)])
        np.testing.assert_allclose(running, want, rtol=2e-4)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-6)
    # At 1000 a mean in float32 is off by 6e-5; the mean of the squares less the square of the mean, by 6e-2.
    np.testing.assert_allclose(variance, x.var(0), rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(rate, 1 / np.sqrt(x.var(0) + 0.01), rtol=2e-4)


def numbers(k: Rows, rng: np.random.Generator, columns: int, count: int) -> Array:
    """What there is one of for a column, in the type that kernels compute in."""
    return rng.uniform(0.5, 1, (count, columns)).astype(k.real)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("across", "wide"), STAGES)
def test_the_sums_of_the_gradient(k: Rows, across: int, wide: bool, relu: bool, rng: np.random.Generator) -> None:
    rows, columns, each = 50, 40, 8
    (xs, x), (gs, g) = (k.given(rng.uniform(-1, 1, (rows, columns))) for _ in range(2))
    m, s, weight, bias = numbers(k, rng, columns, 4)
    chunks = -(-rows // each)
    part, total, along = k.empty((chunks, columns, 2), k.real), k.empty((columns,), k.real), k.empty((columns,), k.real)
    args = (gs, xs, m, s, *((weight, bias) if relu else (None, None)), part, I64(rows), I64(columns), I64(each))
    first, many, block = stage(k, f"norm_products_{'relu_' if relu else ''}parts", across, wide, columns)
    k.run(first, (many, chunks), block, args)
    if relu:
        g = np.where((x - m) * s * weight + bias > 0, g, 0)
    k.run("norm_products", (-(-columns // across),), block, (part, total, along, I64(chunks), I64(columns)))
    np.testing.assert_allclose(total, g.sum(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(along, (g * (x - m) * s).sum(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(5, 40), (33, 16), (1, 48)])
def test_normalised_rows_and_their_gradient(
    k: Rows, rows: int, columns: int, wide: bool, relu: bool, rng: np.random.Generator
) -> None:
    (xs, x), (gs, g) = (k.given(rng.uniform(-1, 1, (rows, columns))) for _ in range(2))
    mean, rate, weight, bias, total, along = numbers(k, rng, columns, 6)
    y, dx = k.empty(x.shape), k.empty(x.shape)
    end, packs = ("_wide", columns * xs.itemsize // 16) if wide else ("", columns)
    name = "normalise_relu" if relu else "normalise"
    grid, block, sizes = (-(-packs // 4), 2), (4, 8), (I64(rows), I64(columns))
    k.run(f"{name}{end}", grid, block, (xs, mean, rate, weight, bias, y, *sizes))
    want = (x - mean) * rate * weight + bias
    k.check(y, np.maximum(want, 0) if relu else want)
    below = bias if relu else None
    k.run(f"{name}_vjp{end}", grid, block, (gs, xs, mean, rate, weight, below, total, along, dx, *sizes))
    g = np.where(want > 0, g, 0) if relu else g
    k.check(dx, (g - total / rows - (x - mean) * rate * along / rows) * rate * weight, 2)


@pytest.mark.parametrize("wide", [False, True])
def test_the_gradient_passes_where_the_stored_result_is_above_0(k: Rows, wide: bool, rng: np.random.Generator) -> None:
    """Results of 0, of so little that the storage type has 0 for it, and near 0: each kernel finds the same sign."""
    rows, columns = 64, 16
    xs, x = k.given(rng.uniform(-1, 1, (rows, columns)))
    mean, rate, weight = numbers(k, rng, columns, 3)
    bias = np.zeros(columns, k.real)
    mean[:8], mean[8:] = x[0, :8], x[rng.integers(0, rows, 8), range(8, 16)] + 1e-7
    weight[4:8] = 1e-9 if k.dtype == "float16" else 1
    y, dx, part = k.empty(x.shape), k.empty(x.shape), k.empty((1, columns, 2), k.real)
    total, along = np.zeros((2, columns), k.real)
    end, grid = ("_wide", (4, 1)) if wide else ("", (4, 1))
    sizes = I64(rows), I64(columns)
    k.run(f"normalise_relu{end}", grid, (4, 8), (xs, mean, rate, weight, bias, y, *sizes))
    ones, _ = k.given(np.ones(x.shape))
    of_columns = mean, rate, weight, bias
    k.run(f"normalise_relu_vjp{end}", grid, (4, 8), (ones, xs, *of_columns, total, along, dx, *sizes))
    k.run(f"norm_products_relu_parts{end}", grid, (4, 8), (ones, xs, *of_columns, part, *sizes, I64(rows)))
    passed = k.read(y) > 0
    assert passed[:, :4].any()
    assert not passed[0, :8].any()
    assert not passed[:, 4:8].any() or k.dtype != "float16"
    np.testing.assert_array_equal(part[0, :, 0], passed.sum(0))
    if k.dtype != "float16":
        np.testing.assert_array_equal(k.read(dx) != 0, passed)
