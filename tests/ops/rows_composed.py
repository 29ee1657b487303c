"""Rows of functions that are compositions of others, named for where they are found: `nn.functional.mse_loss`."""

from functools import partial
from typing import Any

import numpy as np

import gpugrad as gg
import gpugrad.numpy as gnp
from gpugrad.ops.arguments import constant, module
from gpugrad.scipy import linalg as sl
from gpugrad.scipy import signal, special
from tests.ops.table import Row, apart, fixed, normal, op, uniform

F = gg.nn.functional
BAG = np.array([0, 2, 1, 3, 3, 0])
NAMED = np.array([[2, 0, -1], [1, -1, 0]])
CLASSES, SIGNS = np.array([0, 2, 1]), np.array([[1.0, -1.0], [-1.0, 1.0]])


def positive(x: Any) -> Any:
    """A symmetric positive definite matrix of any square one."""
    return x @ gg.swapaxes(x, -1, -2) + op.diag(op.sum(x * 0, axis=0) + 3)


def signs(x: Any) -> Any:
    """1 and -1 by turns along the last axis, of the shape and on the device of `x`."""
    row = 1 - 2 * (np.arange(x.shape[-1]) % 2)
    return op.broadcast_to(constant(x, module(x).asarray(row.astype(x.dtype))), x.shape)


def composed(name: str, call: Any, *inputs: Any, **rest: Any) -> Row:
    """A row that covers no primitive of its own."""
    return Row(name, call, inputs, covers=(), dtypes=(), **rest)


def loss(name: str, *inputs: Any) -> Row:
    """A loss of predictions and targets, both differentiated."""
    function = getattr(F, name)
    return composed(f"nn.functional.{name}", function, *inputs)


def pool(name: str, *sizes: Any) -> Row:
    """A pooling of one or three axes; the two are in the rows of their family."""
    function, axes = getattr(F, name), int(name[-2])
    sampler = apart if "max" in name else lambda *shape: uniform(0.5, 2.0, *shape)
    return composed(f"nn.functional.{name}", lambda x: function(x, *sizes), sampler(1, 2, *[4] * axes))


LOSSES = [
    *[loss(n, apart(2, 3), normal(2, 3)) for n in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div")],
    *[
        loss(n, uniform(0.1, 0.9, 2, 3), uniform(0.1, 0.9, 2, 3))
        for n in ("binary_cross_entropy", "binary_cross_entropy_with_logits")
    ],
    composed("nn.functional.nll_loss", lambda x: F.nll_loss(x, CLASSES), normal(3, 4)),
    composed("nn.functional.margin_ranking_loss", lambda x, y: F.margin_ranking_loss(x, y, signs(x), 0.3), apart(2, 2),
             normal(2, 2)),
    composed("nn.functional.hinge_embedding_loss", lambda x: F.hinge_embedding_loss(x, signs(x)),
             uniform(0.1, 1.9, 2, 2)),
    composed("nn.functional.soft_margin_loss", lambda x: F.soft_margin_loss(x, signs(x)), normal(2, 2)),
    composed("nn.functional.multilabel_soft_margin_loss", F.multilabel_soft_margin_loss, normal(2, 3), normal(2, 3)),
    composed("nn.functional.multi_margin_loss", lambda x: F.multi_margin_loss(x, CLASSES, 2, 0.45), apart(3, 4)),
    composed("nn.functional.cosine_embedding_loss", lambda x, y: F.cosine_embedding_loss(x, y, signs(x[:, 0]), -0.9),
             normal(2, 3), normal(2, 3)),
    composed("nn.functional.triplet_margin_loss", lambda *xs: F.triplet_margin_loss(*xs, 3.0, swap=True),
             normal(2, 3), normal(2, 3), normal(2, 3)),
    composed("nn.functional.triplet_margin_with_distance_loss",
             lambda *xs: F.triplet_margin_with_distance_loss(*xs, distance_function=lambda x, y: op.abs(x - y).sum(-1)),
             apart(2, 3), normal(2, 3), normal(2, 3)),
    composed("nn.functional.poisson_nll_loss", lambda x, t: F.poisson_nll_loss(x, t, full=True), normal(2, 3),
             uniform(1.5, 4.0, 2, 3)),
    composed("nn.functional.poisson_nll_loss of rates", lambda x, t: F.poisson_nll_loss(x, t, False),
             uniform(0.5, 2.0, 2, 3), uniform(0.5, 4.0, 2, 3)),
    composed("nn.functional.gaussian_nll_loss", lambda x, t, v: F.gaussian_nll_loss(x, t, v, True), normal(2, 3),
             normal(2, 3), uniform(0.5, 2.0, 2)),
    composed("nn.functional.multilabel_margin_loss",
             lambda x: F.multilabel_margin_loss(x, module(x).asarray(NAMED[: x.shape[0]])), apart(2, 3)),
    composed("nn.functional.hinge_loss", lambda x: F.hinge_loss(x, SIGNS), apart(2, 2)),
    composed("nn.functional.perceptron_loss", lambda x: F.perceptron_loss(x, SIGNS), apart(2, 2)),
]  # fmt: skip
POOLS = [
    *[pool(f"adaptive_{kind}_pool{axes}d", 3) for kind in ("avg", "max") for axes in (1, 3)],
    *[pool(f"lp_pool{axes}d", 2.0, 2) for axes in (1, 3)],
]
SHAPES = [
    composed("nn.functional.flatten", lambda x: F.flatten(x, 1), normal(2, 3, 2)),
    composed("nn.functional.unflatten", lambda x: F.unflatten(x, 1, (3, 2)), normal(2, 6)),
    composed("atleast_1d", op.atleast_1d, normal()),
]
BORDERS = [
    composed("nn.functional.pad", lambda x: F.pad(x, (1, -1, 2, 0)), normal(2, 3)),
    composed("nn.functional.pad reflect", lambda x: F.pad(x, (1, 2, 2, 0), "reflect"), normal(2, 3, 4)),
    composed("nn.functional.normalize", F.normalize, normal(2, 3)),
    composed("nn.functional.cosine_similarity", F.cosine_similarity, normal(2, 3), normal(2, 3)),
    composed("nn.functional.pairwise_distance", F.pairwise_distance, normal(2, 3), normal(2, 3)),
    composed("nn.functional.pdist", F.pdist, normal(3, 2)),
    composed("cdist", op.cdist, normal(2, 3), normal(3, 3)),
    composed("cdist of many", lambda x, y: op.cdist(x, y, 2, "use_mm_for_euclid_dist"), normal(2, 3), normal(3, 3)),
    composed("nn.functional.channel_shuffle", lambda x: F.channel_shuffle(x, 2), normal(1, 4, 2)),
    composed("nn.functional.glu", lambda x: F.glu(x, 1), normal(2, 4)),
    composed("nn.functional.softmin", F.softmin, normal(2, 3)),
    # Nothing is dropped: a map draws for each example anew. tests/nn/test_borders_and_distances.py looks at what is.
    *[
        composed(f"nn.functional.dropout{n}d", partial(getattr(F, f"dropout{n}d"), p=0.0), normal(2, 3, *[2] * n))
        for n in (1, 2, 3)
    ],
]
LINALG = [
    composed("numpy.linalg.diagonal", gnp.linalg.diagonal, normal(2, 3, 3)),
    composed("numpy.linalg.vector_norm", lambda x: gnp.linalg.vector_norm(x, axis=1), normal(2, 3)),
    composed("scipy.linalg.block_diag", sl.block_diag, normal(2, 2), normal(1, 3)),
    composed("scipy.linalg.cholesky", lambda x: sl.cholesky(positive(x), lower=True), normal(3, 3)),
    composed("scipy.linalg.cho_solve", lambda x, b: sl.cho_solve((sl.cholesky(positive(x), lower=True), True), b),
             normal(3, 3), normal(3)),
    composed("scipy.linalg.eigh", lambda x: sl.eigh(positive(x), eigvals_only=True), normal(3, 3)),
    composed("scipy.linalg.eigvalsh", lambda x: sl.eigvalsh(positive(x)), normal(3, 3)),
    composed("scipy.linalg.solve", lambda x, b: sl.solve(positive(x), b), normal(3, 3), normal(3)),
    composed("scipy.linalg.solve_triangular", lambda x, b: sl.solve_triangular(positive(x), b), normal(3, 3),
             normal(3)),
    composed("scipy.linalg.svd", lambda x: sl.svd(x, compute_uv=False), normal(3, 2)),
]  # fmt: skip
OTHERS = [
    composed("clip", lambda x: gg.clip(x, -0.5, 0.7), apart(2, 5), numpy=lambda x: np.clip(x, -0.5, 0.7)),
    composed("nn.functional.bilinear", F.bilinear, normal(2, 3), normal(2, 4), normal(2, 3, 4), normal(2)),
    composed("nn.functional.embedding_bag", lambda w: F.embedding_bag(BAG, w, np.array([0, 2, 2, 5])), normal(4, 3)),
    composed("nn.functional.embedding_bag sum", lambda w, f: F.embedding_bag(BAG.reshape(2, 3), w, mode="sum",
             per_sample_weights=f, padding_idx=2), normal(4, 3), normal(2, 3)),
    composed("nn.functional.embedding_bag max", lambda w: F.embedding_bag(BAG.reshape(3, 2), w, mode="max"),
             apart(4, 3)),
    *[
        composed(f"nn.functional.grid_sample {mode}", partial(F.grid_sample, mode=mode, padding_mode=padding),
                 normal(1, 2, 3, 4), uniform(-1.2, 1.2, 1, 2, 3, 2))
        for mode, padding in (("bilinear", "zeros"), ("bicubic", "border"))
    ],
    composed("nn.functional.grid_sample nearest", lambda x: F.grid_sample(x, (x[:, :1] * 0)[..., :2] + 0.2, "nearest",
             "reflection"), normal(1, 2, 3, 4)),
    composed("nn.functional.affine_grid", lambda t: F.affine_grid(t, (2, 1, 3, 2)), normal(2, 2, 3)),
    Row(
        "nn.functional.ctc_loss",
        lambda x: F.ctc_loss(x, np.array([[1, 1], [2, 0]]), np.array([4, 3]), np.array([2, 1]), reduction="sum"),
        (normal(4, 2, 3),),
        covers=("ctc",),
        tolerance=8,
    ),
    composed("nn.functional.gelu", F.gelu, normal(2, 3)),
    composed("nn.functional.prelu", F.prelu, apart(2, 3), normal(3)),
    composed("nn.functional.hardshrink", lambda x: F.hardshrink(x, 0.3), apart(2, 5)),
    composed("nn.functional.softshrink", lambda x: F.softshrink(x, 0.3), apart(2, 5)),
    composed("nn.functional.tanhshrink", F.tanhshrink, normal(2, 3)),
    composed("nn.functional.rrelu", F.rrelu, apart(2, 3)),
    composed("nn.functional.threshold", lambda x: F.threshold(x, 0.2, 0.5), apart(2, 3)),
    composed("nn.functional.max_unpool1d", lambda x: F.max_unpool1d(x, np.array([[[0, 3]]]), 2), normal(1, 1, 2)),
    composed(
        "nn.functional.max_unpool3d", lambda x: F.max_unpool3d(x, np.array([[[[[5]]]]]), 2), normal(1, 1, 1, 1, 1)
    ),
    composed("scipy.special.beta", special.beta, uniform(0.5, 2.0, 3), uniform(0.5, 2.0, 3)),
    composed("scipy.special.betaln", special.betaln, uniform(0.5, 2.0, 3), uniform(0.5, 2.0, 3)),
    composed("scipy.special.gamma", special.gamma, uniform(0.5, 2.0, 3)),
    composed("scipy.special.erfcinv", special.erfcinv, uniform(0.3, 1.7, 3)),
    composed("scipy.signal.convolve", signal.convolve, normal(2, 5), normal(2, 3)),
    composed("scipy.signal.convolve axes", lambda a, b: signal.convolve(a, b, axes=([1], [0]), dot_axes=([0], [2])),
             normal(2, 4), normal(3, 2, 2)),
    composed("scipy.signal.correlate", signal.correlate, normal(5), normal(3)),
    composed("scipy.signal.fftconvolve", signal.fftconvolve, normal(5), normal(3)),
    composed("scipy.special.log_softmax", lambda x: special.log_softmax(x, axis=1), normal(2, 3)),
    composed("scipy.special.softmax", lambda x: special.softmax(x, axis=1), normal(2, 3)),
    composed("scipy.special.logsumexp", lambda x: special.logsumexp(x, axis=1), normal(2, 3)),
    composed("scipy.special.log_expit", special.log_expit, normal(2, 3)),
]  # fmt: skip
# What a mask leaves out has no gradient; the second axis has at least two elements in each row.
MASK = np.array([[True, True, False, True], [False, True, True, True], [True, False, True, True]])


def masked(name: str, **rest: Any) -> Row:
    """A reduction of a part of the elements."""
    function, theirs = getattr(gnp, name), getattr(np, name)
    return composed(
        f"{name} where",
        lambda x: function(x, axis=1, where=MASK, **rest),
        apart(3, 4),
        numpy=lambda x: theirs(x, axis=1, where=MASK, **rest),
    )


PARTS = [
    *[masked(name) for name in ("sum", "prod", "mean", "var", "nansum", "nanmean")],
    masked("std", ddof=1, keepdims=True),
    masked("max", initial=0.1),
    masked("min", initial=0.1),
    masked("nanmax", initial=-9.0),
    composed("sum initial", lambda x: gnp.sum(x, 0, initial=2.0), normal(2, 3), numpy=lambda x: x.sum(0, initial=2.0)),
    composed("prod initial", lambda x: gnp.prod(x, initial=2.0), normal(2, 3), numpy=lambda x: x.prod(initial=2.0)),
]
FITS = [
    composed("vecdot", lambda x, y: op.vecdot(x, y, axis=0), normal(3, 2), normal(3, 2),
             numpy=lambda x, y: np.vecdot(x, y, axis=0)),
    composed("matvec", op.matvec, normal(2, 3, 4), normal(2, 4), numpy=np.matvec),
    composed("vecmat", op.vecmat, normal(2, 3), normal(2, 3, 4), numpy=np.vecmat),
    composed("linalg cross", lambda x, y: gg.linalg.cross(x, y, axis=0), normal(3, 2), normal(3, 2),
             numpy=lambda x, y: np.linalg.cross(x, y, axis=0)),
    composed("poly", op.poly, normal(4), numpy=np.poly),
    composed("poly of a matrix", lambda x: op.poly(x + 2 * np.diag([1.0, 2, 3])), normal(3, 3, scale=0.2),
             numpy=lambda x: np.poly(x + 2 * np.diag([1.0, 2, 3]))),
    composed("roots", lambda x: op.roots(op.concatenate([x, np.zeros(1)])), fixed(1.0, -2.0, 3.0, 0.5),
             numpy=lambda x: np.roots([*x, 0])),
    composed("polyfit", lambda x, y, w: op.polyfit(x, y, 2, w=w), apart(6), normal(6), uniform(0.5, 1.5, 6),
             numpy=lambda x, y, w: np.polyfit(x, y, 2, w=w)),
    composed("polyfit of columns", lambda x, y: op.polyfit(x, y, 1), apart(5), normal(5, 2),
             numpy=lambda x, y: np.polyfit(x, y, 1)),
]  # fmt: skip

ROWS = [*PARTS, *FITS, *LOSSES, *POOLS, *SHAPES, *BORDERS, *LINALG, *OTHERS]
