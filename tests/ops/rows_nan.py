"""Rows of the reductions that leave nan out, and of quantiles, medians and weighted moments."""

from typing import Any

import numpy as np

from gpugrad.ops.quantile import CONTINUOUS, DISCRETE
from tests.ops.table import Row, Sampler, apart, normal, op, uniform


def holes(*shape: int) -> Sampler:
    """Numbers apart, every fifth of them nan."""

    def sample(rng: np.random.Generator) -> Any:
        values = apart(*shape)(rng)
        values.reshape(-1)[1::5] = np.nan
        return values

    return sample


def of_nan(name: str, covers: tuple[str, ...], shape: tuple[int, ...] = (3, 4), **static: Any) -> Row:
    label = " ".join([name, *[f"{k}={v}" for k, v in static.items()]])
    return Row(
        label,
        lambda x: getattr(op, name)(x, **static),
        (holes(*shape),),
        lambda x: getattr(np, name)(x, **static),
        covers=covers,
    )


NAN = [
    of_nan("nansum", ("sum",)),
    Row("nansum torch", op.nansum, (holes(3, 4),), np.nansum, lambda t, x: t.nansum(x), ("sum", "where")),
    of_nan("nansum", ("sum",), axis=(0, 2), shape=(2, 3, 4), keepdims=True),
    of_nan("nanprod", ("prod",), axis=1),
    of_nan("nanmean", ("sum", "divide")),
    Row(
        "nanmean torch",
        lambda x: op.nanmean(x, dim=1),
        (holes(3, 4),),
        lambda x: np.nanmean(x, 1),
        lambda t, x: t.nanmean(x, 1),
        ("sum",),
    ),
    of_nan("nanmean", ("sum",), axis=0, keepdims=True),
    of_nan("nanmax", ("max",)),
    of_nan("nanmax", ("max",), axis=1, keepdims=True),
    of_nan("nanmin", ("min",), axis=0),
    of_nan("nanvar", ("sum", "square")),
    of_nan("nanvar", ("square",), axis=1, ddof=1, keepdims=True),
    of_nan("nanstd", ("norm",)),
    of_nan("nanstd", ("norm",), axis=0, ddof=1),
    of_nan("nancumsum", ("cumsum",), axis=1),
    of_nan("nancumsum", ("cumsum",)),
    of_nan("nancumprod", ("cumprod",), axis=0),
    Row("nanargmax", lambda x: op.nanargmax(x, 1), (holes(3, 4),), lambda x: np.nanargmax(x, 1), order=0),
    Row("nanargmin", op.nanargmin, (holes(3, 4),), np.nanargmin, order=0),
    of_nan("nanmedian", ("getitem",)),
    of_nan("nanmedian", ("getitem",), axis=(0, 2), shape=(2, 3, 4)),
    Row(
        "nanquantile",
        lambda x: op.nanquantile(x, np.array([[0.1, 0.5], [0.33, 1.0]]), 1, keepdims=True),
        (holes(3, 7),),
        lambda x: np.nanquantile(x, np.array([[0.1, 0.5], [0.33, 1.0]]), 1, keepdims=True),
        covers=("getitem",),
        dtypes=(),
    ),
    *[
        Row(
            f"nanpercentile {method}",
            lambda x, m=method: op.nanpercentile(x, 40, 0, method=m),
            (holes(7, 2),),
            lambda x, m=method: np.nanpercentile(x, 40, 0, method=m),
            covers=("getitem",),
        )
        for method in ("linear", "midpoint", "averaged_inverted_cdf", "closest_observation")
    ],
]

SHARES = np.array([0.0, 0.2, 0.25, 0.41, 0.5, 1.0])
QUANTILES = [
    *[
        Row(
            f"quantile {method} of {n}",
            lambda x, m=method: op.quantile(x, SHARES, 1, method=m),
            (apart(2, n),),
            lambda x, m=method: np.quantile(x, SHARES, 1, method=m),
            covers=("getitem",),
            dtypes=(),
        )
        for method in (*CONTINUOUS, *DISCRETE)
        for n in (4, 5)
    ],
    Row(
        "quantile torch",
        lambda x: op.quantile(x, 0.3, dim=1, keepdim=True),
        (apart(3, 5),),
        lambda x: np.quantile(x, 0.3, 1, keepdims=True),
        lambda t, x: t.quantile(x, 0.3, dim=1, keepdim=True),
        ("getitem",),
    ),
    Row(
        "quantile of q",
        lambda x, q: op.quantile(x, q, (0, 2)),
        (apart(2, 3, 4), uniform(0.3, 0.31, 2)),
        lambda x, q: np.quantile(x, q, (0, 2)),
        covers=("getitem", "multiply"),
    ),
    Row(
        "percentile",
        lambda x: op.percentile(x, 37),
        (apart(3, 4),),
        lambda x: np.percentile(x, 37),
        covers=(),
    ),
    Row(
        "percentile several",
        lambda x: op.percentile(x, [10, 90], axis=0),
        (apart(5, 2),),
        lambda x: np.percentile(x, [10, 90], axis=0),
        covers=(),
        dtypes=(),
    ),
    Row("median", op.median, (apart(3, 4),), np.median, covers=("getitem",)),
    Row(
        "median axis",
        lambda x: op.median(x, 1, keepdims=True),
        (apart(2, 3),),
        lambda x: np.median(x, 1, keepdims=True),
        covers=("getitem",),
    ),
    Row(
        "median axes",
        lambda x: op.median(x, (0, -1)),
        (apart(2, 3, 4),),
        lambda x: np.median(x, (0, -1)),
        covers=(),
    ),
]

MOMENTS = [
    Row("average", op.average, (normal(3, 4),), np.average, covers=("mean",)),
    Row(
        "average weights",
        lambda x, w: op.average(x, 1, w, returned=True),
        (normal(3, 4), uniform(0.5, 2, 4)),
        lambda x, w: np.average(x, 1, w, returned=True),
        covers=("sum", "divide"),
    ),
    Row(
        "average axes",
        lambda x, w: op.average(x, (2, 0), w, keepdims=True),
        (normal(2, 3, 4), uniform(0.5, 2, 4, 2)),
        lambda x, w: np.average(x, (2, 0), w, keepdims=True),
        covers=("sum",),
    ),
    Row("cov", op.cov, (normal(3, 5),), np.cov, lambda t, x: t.cov(x), ("matmul",), dtypes=()),
    Row("cov of one", op.cov, (normal(5),), np.cov, covers=("matmul",), dtypes=()),
    Row(
        "cov two",
        lambda x, y: op.cov(x, y, rowvar=False, bias=True),
        (normal(5, 2), normal(5, 1)),
        lambda x, y: np.cov(x, y, rowvar=False, bias=True),
        covers=("matmul",),
        dtypes=(),
    ),
    Row(
        "cov weights",
        lambda x, w: op.cov(x, fweights=[1, 2, 1, 3], aweights=w),
        (normal(2, 4), uniform(0.5, 2, 4)),
        lambda x, w: np.cov(x, fweights=[1, 2, 1, 3], aweights=w),
        covers=("matmul",),
        dtypes=(),
    ),
    Row(
        "corrcoef",
        op.corrcoef,
        (normal(3, 5),),
        np.corrcoef,
        lambda t, x: t.corrcoef(x),
        ("matmul",),
        dtypes=(),
    ),
    Row(
        "corrcoef two",
        op.corrcoef,
        (normal(5), normal(5)),
        np.corrcoef,
        covers=("matmul",),
        dtypes=(),
        layouts=False,  # of a constant vector there is none
    ),
]

ROWS = NAN + QUANTILES + MOMENTS
