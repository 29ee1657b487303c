"""Convolutions, pooling and batch statistics that are computed on a GPU and, by the general way, in float64.

Here on the stand-in, in tests/gpu on a real device.
"""

from typing import Any

import ml_dtypes
import numpy as np

from gpugrad.backend import conv as general
from gpugrad.backend import cpu
from gpugrad.backend.conv import Geometry
from gpugrad.ops.windows import MAX_POOL, WINDOW_PUT, WINDOW_SPREAD, WINDOW_SUM

KINDS = {
    "float32": (np.dtype(np.float32), 2e-5),
    "float64": (np.dtype(np.float64), 1e-11),
    "float16": (np.dtype(np.float16), 1e-2),
    "bfloat16": (np.dtype(ml_dtypes.bfloat16), 6e-2),
}
# name: channels in and out, groups, kernel, stride, padding, dilation, images
CONVOLUTIONS: dict[str, Any] = {
    "3x3": (3, 4, 1, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (9, 8)),
    "stride, uneven padding, dilation": (8, 6, 1, (3, 2), (2, 3), ((1, 2), (0, 1)), (2, 1), (9, 8)),
    "groups": (16, 32, 2, (3, 3), (2, 1), ((1, 1), (0, 0)), (1, 1), (9, 8)),
    "depthwise": (6, 6, 6, (3, 3), (2, 1), ((1, 1), (0, 1)), (1, 2), (9, 8)),
    "two kernels a channel": (4, 8, 4, (3, 3), (1, 2), ((1, 1), (1, 1)), (1, 1), (9, 8)),
    "1x1": (8, 16, 1, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), (9, 8)),
    "1x1 in groups": (8, 16, 2, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), (9, 8)),
    "1x1 with stride": (8, 16, 1, (1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1), (9, 8)),
    "sequence": (8, 4, 1, (3,), (2,), ((2, 1),), (2,), (17,)),
    "volume": (3, 5, 1, (2, 1, 3), (1, 2, 1), ((0, 1), (1, 1), (1, 0)), (1, 1, 2), (5, 4, 7)),
}


POOLS = [
    ((3, 2), (2, 1), ((1, 1), (1, 0)), (1, 2), (9, 8)),
    ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), (8, 8)),
    ((3,), (1,), ((1, 1),), (1,), (12,)),
    ((2, 3, 2), (1, 2, 2), ((0, 1), (1, 1), (0, 0)), (1, 1, 1), (4, 7, 4)),
]


def placed(cuda: Any, host: np.ndarray, last: bool) -> Any:
    """A copy on the device, with channels last in memory or in C order."""
    if not last:
        return cuda.from_host(host)
    return cuda.xp.moveaxis(cuda.from_host(np.ascontiguousarray(np.moveaxis(host, 1, -1))), -1, 1)


def compare(cuda: Any, rng: np.random.Generator, name: str, dtype: str, last: bool) -> None:
    """All three convolutions of one of the table against the general way in float64."""
    channels, out, groups, kernel, stride, padding, dilation, size = CONVOLUTIONS[name]
    at, (kind, near) = Geometry(stride, padding, dilation, groups), KINDS[dtype]
    places = at.output(size, kernel)
    x, w, b, g = (
        rng.standard_normal(s).astype(kind)
        for s in ((3, channels, *size), (out, channels // groups, *kernel), (out,), (3, out, *places))
    )
    dx, dg, dw, db = placed(cuda, x, last), placed(cuda, g, last), cuda.from_host(w), cuda.from_host(b)
    found = cuda.conv(dx, dw, at, db), cuda.conv_input(dg, dw, size, at), cuda.conv_weight(dx, dg, kernel, at)
    x, w, b, g = (a.astype(np.float64) for a in (x, w, b, g))
    wanted = (
        general.conv(cpu(), x, w, at) + b.reshape(-1, *(1,) * len(size)),
        general.conv_input(cpu(), g, w, size, at),
        general.conv_weight(cpu(), x, g, kernel, at),
    )
    for what, have, want in zip(("forward", "images", "kernels"), found, wanted, strict=True):
        assert (have.dtype, have.shape) == (kind, want.shape), what
        error = np.abs(have.get().astype(np.float64) - want).max() / max(1, np.abs(want).max())
        assert error < near, (what, error)
    assert cuda.xp.moveaxis(found[0], 1, -1).flags.c_contiguous
    assert cuda.xp.moveaxis(found[2], 1, -1).flags.c_contiguous


def compare_pooling(cuda: Any, rng: np.random.Generator, pool: Any, dtype: str) -> None:
    """The four kernels of one of `POOLS`."""
    kernel, stride, padding, dilation, size = pool
    at, (kind, near) = Geometry(stride, padding, dilation, 1), KINDS[dtype]
    places = at.output(size, kernel)
    x, g = (rng.standard_normal((3, 5, *s)).astype(kind) for s in (size, places))
    for last in (True, False):
        dx, dg = placed(cuda, x, last), placed(cuda, g, not last)
        y, won = cuda.max_pool(dx, kernel, places, at)
        have = [
            y,
            cuda.window_put(dg, won, size, kernel, at),
            cuda.window_sum(dx, kernel, places, at),
            cuda.window_spread(dg, size, kernel, at),
        ]
        same = {"kernel": kernel, "at": at}
        wx, wg = x.astype(np.float64), g.astype(np.float64)
        best, (which, _) = MAX_POOL.forward((True,), wx, size=places, **same)
        want = [
            best,
            WINDOW_PUT.forward((True,), wg, arrays=(which,), inner=size, **same)[0],
            WINDOW_SUM.forward((True,), wx, size=places, **same)[0],
            WINDOW_SPREAD.forward((True,), wg, inner=size, **same)[0],
        ]
        np.testing.assert_array_equal(won.get(), which)
        for h, w in zip(have, want, strict=True):
            assert (h.dtype, h.shape) == (kind, w.shape)
            np.testing.assert_allclose(h.get().astype(np.float64), w, rtol=near, atol=near)
