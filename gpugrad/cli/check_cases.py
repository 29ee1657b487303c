"""What `gpugrad check` runs: every operation once, forward and backward, on small inputs made from a seed.

Elementwise operations come from the registry, with a domain found by trying; primitives have a line each here, and a
test sees to it that none is missing. Comparing is in `check`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

import gpugrad as gg
from gpugrad.nn import functional as F  # noqa: N812 - PyTorch's habit
from gpugrad.ops.core import Elementwise
from gpugrad.ops.determinants import log_pseudo_det
from gpugrad.primitive import ELEMENTWISE, FUNCTIONS
from gpugrad.scipy import linalg, special

# Primitives that no case runs, and why.
ELSEWHERE: Final = {
    "to_device": "moving to the device is how every case begins",
    "eig": "eigenvectors and the order of eigenvalues are the library's choice",
    "window_pick": "the derivative of max pooling's gradient, an index of what max_pool covers",
    "cofactors": "the derivative of a determinant of 0, which has to be asked of the device",
    "sqrtm": "on the CPU alone, by SciPy",
    "complex_erf": "likewise",
}

# Tried in this order: the first on which an operation is finite everywhere is its own.
_DOMAINS: Final = ((-1.5, 1.5), (0.2, 0.8), (1.2, 1.8))


_CELLS: Final = (("rnn_tanh", 1), ("rnn_relu", 1), ("lstm", 4), ("gru", 3))


@dataclass(frozen=True)
class Case:
    """One operation on arrays.

    Attributes:
        name: what the report calls it.
        call: takes tensors, gives a tensor or several.
        inputs: the arrays; floating point ones need a gradient.
    """

    name: str
    call: Callable[..., Any]
    inputs: tuple[Any, ...]


def cases(size: int) -> list[Case]:
    """All cases: elementwise operations on about `size` elements, then the primitives."""
    found = [_elementwise(op, size) for _, op in sorted(ELEMENTWISE.items())]
    rng = np.random.default_rng(0)
    for line in _lines():
        name, call, *shapes = line
        found.append(Case(name, call, tuple([_sample(rng, s) for s in shapes])))
    return found


def _elementwise(op: Elementwise, size: int) -> Case:
    """An operation on the first domain where all its values are finite; its second input is a row, broadcast."""
    rng = np.random.default_rng(len(op.name))
    names = [n for n in op.formula.inputs if n not in op._defaults]
    shapes = [(-(-size // 129), 129)] + [(129,)] * (len(names) - 1)
    for low, high in _DOMAINS:
        arrays = [rng.uniform(low, high, s) for s in shapes]
        # A little away from 0, where the derivative of sinc in float32 is a difference of equals.
        arrays = [(a + np.copysign(0.02, a)).astype(np.float32) for a in arrays]
        with np.errstate(all="ignore"):
            if np.isfinite(np.asarray(op(*arrays), np.float64)).all():
                break
    return Case(op.name, op, tuple(arrays))


def _sample(rng: np.random.Generator, shape: Any) -> Any:
    """Normal numbers of a shape; `("in", high, *shape)` integers below `high`, `("at", low, high, *shape)` uniform."""
    if shape and shape[0] == "in":
        return rng.integers(0, shape[1], shape[2:])
    if shape and shape[0] == "at":
        return rng.uniform(shape[1], shape[2], shape[3:]).astype(np.float32)
    return rng.standard_normal(shape).astype(np.float32)


def _spd(x: Any) -> Any:
    """A symmetric positive definite matrix made of `x`."""
    return x @ x.mT + 4.0 * gg.as_tensor(gg.eye(x.shape[-1]), device=x.device)


def _dropout(x: Any) -> Any:
    gg.manual_seed(5)
    return gg.dropout(x, 0.25)


def _ctc(x: Any, labels: Any) -> Any:
    times, counts = np.array([12, 9, 11, 12]), np.array([3, 2, 0, 3])
    return F.ctc_loss(F.log_softmax(x, -1), labels + 1, times, counts)


def _svd(x: Any) -> Any:
    u, s, v = gg.linalg.svd(x, full_matrices=False)
    return (u * s) @ v


def _eigh(x: Any) -> Any:
    w, v = gg.linalg.eigh(_spd(x))
    return (v * w) @ v.mT


def _put(x: Any, index: Any, value: Any) -> Any:
    return FUNCTIONS["index_put"](x, (index,), value)


def _recurrent(cell: str) -> Callable[..., Any]:
    """A sequence through a cell, from a state that an LSTM takes for both of its own."""
    from gpugrad.ops.recurrent import recurrent

    def call(x: Any, h: Any, w: Any) -> Any:
        return recurrent(cell, x, h, h if cell == "lstm" else None, w, w[:, 0] if cell == "gru" else None)[0]

    return call


def _two_layers(x: Any, w: Any, b: Any, v: Any) -> Any:
    return FUNCTIONS["feed_forward"](x, [(w, b, "relu"), (v, None, "gelu_tanh")])


def _lines() -> list[tuple[Any, ...]]:
    square, wide = (6, 6), (40, 700)  # of the row operations 28,000 elements: large enough for the compiled ones
    return [
        *_products(), *_rows(wide), *_arrangements(),
        ("sum", lambda x: x.sum(0), wide), ("sum all", gg.sum, wide), ("mean", lambda x: x.mean(1), wide),
        ("prod", lambda x: x.prod(1), ("at", 0.9, 1.1, 5, 9)), ("max", lambda x: x.max(1), wide),
        ("min", lambda x: x.min(0), wide), ("norm", lambda x: gg.norm(x, axis=1), wide),
        ("var", lambda x: gg.var(x, axis=0), wide), ("cumsum", lambda x: gg.cumsum(x, 1), (7, 90)),
        ("cumprod", lambda x: gg.cumprod(x, 1), ("at", 0.9, 1.1, 5, 9)),
        ("sum_to", lambda x, b: x * b, (6, 5, 4), (5, 1)),
        ("fftn", lambda x: gg.abs(gg.fft.fftn(x)), square), ("rfftn", lambda x: gg.real(gg.fft.rfft(x)), square),
        ("irfftn", lambda x: gg.fft.irfft(gg.fft.rfft(x)), square),
        ("conj", lambda x: gg.imag(gg.conj(gg.fft.fftn(x))), square),
        ("cholesky", lambda x: gg.linalg.cholesky(_spd(x)), square), ("inv", lambda x: gg.linalg.inv(_spd(x)), square),
        ("solve", lambda a, b: gg.linalg.solve(_spd(a), b), square, (6, 3)),
        ("qr", lambda x: gg.abs(gg.linalg.qr(x)[1]), square), ("svd", _svd, (6, 4)),
        ("svdvals", gg.linalg.svdvals, (6, 4)), ("eigh", _eigh, square),
        ("eigvalsh", lambda x: gg.linalg.eigvalsh(_spd(x)), square), ("det", lambda x: gg.linalg.det(_spd(x)), square),
        ("slogdet", lambda x: gg.linalg.slogdet(_spd(x))[1], square),
        ("log_pseudo_det", lambda x: log_pseudo_det(_spd(x), 1e-6), square), ("pinv", gg.linalg.pinv, (6, 4)),
        ("lstsq", lambda a, b: gg.linalg.lstsq(a, b)[0], (8, 3), (8, 2)),
        *[(name, getattr(special, name), ("at", 0.5, 1.5, 200)) for name in "i0 i0e i1 i1e gammaln log_ndtr".split()],
        *[(name, getattr(special, name), ("at", 0.1, 0.9, 200)) for name in ("ndtri", "erfinv")],
        ("polygamma", lambda x: gg.polygamma(1, x), ("at", 0.5, 1.5, 200)),
        ("convolve", gg.convolve, (60,), (7,)), *(_evaluated() if find_spec("scipy") else []),
    ]  # fmt: skip


def _evaluated() -> list[tuple[Any, ...]]:
    """What SciPy evaluates on the CPU, where it is installed, and `cupyx.scipy` or dense systems on a GPU."""
    x, share, number = ("at", 0.5, 4.0, 200), ("at", 0.2, 0.8, 200), ("at", 0.7, 2.5)
    return [
        ("bessel", lambda x: special.yn(2, x), x), ("bessel_of_order_0_or_1", special.j1, x),
        ("gammainc", special.gammainc, number, x), ("betainc", special.betainc, number, number, share),
        ("stdtr", lambda t: special.stdtr(3.5, t), x),
        ("solve_sylvester", lambda a, b, q: linalg.solve_sylvester(_spd(a), _spd(b), q), (5, 5), (4, 4), (5, 4)),
        ("solve_banded", lambda ab, b: linalg.solve_banded((0, 1), ab + 6.0, b), (2, 9), (9, 2)),
    ]  # fmt: skip


def _feed_forward(name: str) -> Callable[..., Any]:
    return lambda x, w, b, v, c: F.feed_forward(x, [(w, b, name), (v, c, name)])


def _products() -> list[tuple[Any, ...]]:
    return [
        ("matmul", gg.matmul, (33, 40), (40, 50)), ("matmul batches", gg.matmul, (3, 5, 7), (3, 7, 4)),
        ("matmul collapsed", gg.matmul, (3, 5, 7), (7, 4)), ("linear", F.linear, (64, 40), (30, 40), (30,)),
        *[
            (f"feed_forward {name}", _feed_forward(name), (64, 40), (48, 40), (48,), (24, 48), (24,))
            for name in ("relu", "gelu_tanh")
        ],
        ("einsum", lambda a, b: gg.einsum("ijk,kl->jil", a, b), (3, 5, 7), (7, 4)),
        ("conv", lambda x, w, b: F.conv2d(x, w, b, padding=1, stride=2), (2, 4, 9, 9), (6, 4, 3, 3), (6,)),
        ("conv_relu", lambda x, w, b: F.conv_relu(x, w, b, padding=1), (2, 4, 9, 9), (6, 4, 3, 3), (6,)),
        ("conv groups", lambda x, w: F.conv2d(x, w, groups=4), (2, 4, 9, 9), (8, 1, 3, 3)),
        ("conv_input", lambda x, w: F.conv_transpose2d(x, w, stride=2), (2, 4, 5, 5), (4, 3, 3, 3)),
        *[(name, _recurrent(name), (5, 3, gates * 4), (3, 4), (gates * 4, 4)) for name, gates in _CELLS],
        ("attention", F.scaled_dot_product_attention, (2, 3, 20, 8), (2, 3, 20, 8), (2, 3, 20, 8)),
        ("feed_forward", _two_layers, (64, 40), (30, 40), (30,), (20, 30)),
    ]  # fmt: skip


def _rows(wide: tuple[int, int]) -> list[tuple[Any, ...]]:
    n = wide[1]
    return [
        ("softmax", gg.softmax, wide), ("log_softmax", gg.log_softmax, wide),
        ("logsumexp", lambda x: gg.logsumexp(x, axis=1), wide),
        ("layer_norm", lambda x, w, b: F.layer_norm(x, n, w, b), wide, (n,), (n,)),
        ("rms_norm", lambda x, w: F.rms_norm(x, n, w), wide, (n,)),
        *[
            (name, lambda x, w, b, name=name: getattr(F, name)(x, None, None, w, b, True), (6, 5, 7, 7), (5,), (5,))
            for name in ("batch_norm", "batch_norm_relu")
        ],
        ("cross_entropy", lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1), wide, ("in", n, wide[0])),
        ("binary_cross_entropy", lambda x: F.binary_cross_entropy(x, 0.25), ("at", 0.1, 0.9, 300)),
        ("maxout", lambda x: gg.maxout(x, 4), wide), ("dropout", _dropout, wide),
    ]  # fmt: skip


def _arrangements() -> list[tuple[Any, ...]]:
    image = (2, 3, 8, 8)
    return [
        ("reshape", lambda x: x.reshape(4, -1) * 2, (8, 6)), ("transpose", lambda x: gg.exp(x.T), (8, 6)),
        ("broadcast_to", lambda x: gg.broadcast_to(x, (4, 6)) * 1.5, (6,)),
        ("concatenate", lambda a, b: gg.concatenate([a, b], axis=1), (4, 3), (4, 5)),
        ("flip", lambda x: gg.flip(x, 0), (8, 6)), ("roll", lambda x: gg.roll(x, 3, 1), (8, 6)),
        ("pad", lambda x: gg.pad(x, ((1, 2), (0, 1))), (8, 6)), ("clone", lambda x: x.clone(), (8, 6)),
        ("astype", lambda x: x.astype("float64"), (8, 6)),
        ("getitem", lambda x, i: x[i], (50, 6), ("in", 50, 200)), ("slice", lambda x: x[2:7, ::2], (8, 6)),
        ("index_put", _put, (8, 6), ("in", 8, 1), (1, 6)),
        ("scatter", lambda x, i: gg.scatter_add(gg.zeros_like(x), 1, i, x), (5, 40), ("in", 40, 5, 40)),
        ("ctc", _ctc, (12, 4, 7), ("in", 6, 4, 3)),
        ("embedding", F.embedding, ("in", 50, 4, 9), (50, 8)),
        ("max_pool", lambda x: F.max_pool2d(x, 2), image), ("avg_pool", lambda x: F.avg_pool2d(x, 3, 2, 1), image),
        ("local_response_norm", lambda x: F.local_response_norm(x, 3), image),
        ("unfold", lambda x: F.unfold(x, 3), image), ("fold", lambda x: F.fold(x, (8, 8), 2, stride=2), (2, 12, 16)),
        ("interpolate", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), image),
    ]  # fmt: skip
