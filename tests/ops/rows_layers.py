"""Rows of embedding, patches, and images of another size."""

import numpy as np

from gpugrad.backend.conv import Geometry
from gpugrad.ops.patches import FOLD
from gpugrad.tensor import apply
from tests.ops.table import Row, normal, op

PLACES = np.array([[2, 0, 2], [1, 2, 4]])


def _resized(mode, shape, covers, **options):
    return Row(
        f"interpolate {mode} {' '.join(f'{k}={v}' for k, v in options.items())}",
        lambda x: op.interpolate(x, mode=mode, **options),
        (normal(*shape),),
        torch=lambda t, x: t.nn.functional.interpolate(x, mode=mode, **options),
        covers=(covers,),
        tolerance=4,
    )


ROWS = [
    Row(
        "embedding",
        lambda w: op.embedding(PLACES, w),
        (normal(5, 3),),
        lambda w: w[PLACES],
        lambda t, w: t.nn.functional.embedding(t.tensor(PLACES), w),
        exact=True,
        tolerance=2,
    ),
    Row(
        "unfold",
        lambda x: op.unfold(x, (2, 3), dilation=(2, 1), padding=(1, 0), stride=(1, 2)),
        (normal(2, 2, 4, 5),),
        torch=lambda t, x: t.nn.functional.unfold(x, (2, 3), dilation=(2, 1), padding=(1, 0), stride=(1, 2)),
        tolerance=4,
    ),
    Row(
        "unfold of one image",
        lambda x: op.unfold(x, 2),
        (normal(2, 3, 3),),
        torch=lambda t, x: t.nn.functional.unfold(x, 2),
        tolerance=4,
    ),
    Row(
        "fold",
        lambda x: op.fold(x, (4, 5), (2, 3), dilation=(2, 1), padding=(1, 0), stride=(1, 2)),
        (normal(2, 12, 8),),
        torch=lambda t, x: t.nn.functional.fold(x, (4, 5), (2, 3), dilation=(2, 1), padding=(1, 0), stride=(1, 2)),
        tolerance=4,
    ),
    Row(
        "fold to sequences",
        lambda x: apply(FOLD, (x,), {"inner": (5,), "kernel": (2,), "at": Geometry((1,), ((0, 0),), (1,), 1)}),
        (normal(1, 4, 4),),
        tolerance=4,
    ),
    _resized("nearest", (2, 2, 3), "broadcast_to", scale_factor=2),
    _resized("nearest", (1, 2, 3, 4), "getitem", size=(5, 3)),
    _resized("nearest-exact", (1, 2, 3, 4), "getitem", size=(5, 3)),
    _resized("linear", (2, 2, 5), "resample", size=8),
    _resized("bilinear", (1, 2, 4, 3), "resample", scale_factor=2, align_corners=False),
    _resized("bilinear", (1, 2, 4, 3), "resample", scale_factor=(1.7, 0.8), align_corners=False),
    _resized("bilinear", (1, 2, 4, 3), "resample", size=(7, 2), align_corners=True),
    _resized("trilinear", (1, 1, 2, 3, 2), "resample", size=(3, 4, 5), align_corners=False),
    _resized("bicubic", (1, 1, 5, 4), "resample", size=(7, 9), align_corners=False),
    _resized("area", (1, 2, 5, 4), "resample", size=(3, 4)),
    Row(
        "pixel_shuffle",
        lambda x: op.pixel_shuffle(x, 2),
        (normal(2, 8, 2, 3),),
        torch=lambda t, x: t.nn.functional.pixel_shuffle(x, 2),
        covers=("transpose",),
    ),
    Row(
        "pixel_unshuffle",
        lambda x: op.pixel_unshuffle(x, 2),
        (normal(2, 2, 4, 6),),
        torch=lambda t, x: t.nn.functional.pixel_unshuffle(x, 2),
        covers=("transpose",),
    ),
]
