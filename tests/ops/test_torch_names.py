"""PyTorch's functions and methods without a gradient of their own, in place, at the edges, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg

NAN = float("nan")
RUN = [[1.0, 3.0, 3.0, -2.0, 3.0, 5.0], [2.0, NAN, 1.0, NAN, 7.0, 7.0]]

# Calls that are written alike for both, as functions of the namespace; lists of tensors are compared one by one.
CALLS = {
    "cummax": lambda t: t.cummax(t.tensor(RUN), 1),
    "cummin": lambda t: t.tensor(RUN).cummin(-1),
    "cummin of bytes": lambda t: t.cummin(t.tensor([3, 0, 5, 0, 200]).byte(), 0),
    "cummax of one": lambda t: t.cummax(t.tensor([[2.0]]), 1),
    "kthvalue": lambda t: t.tensor(RUN[0]).kthvalue(4),
    "mode": lambda t: t.mode(t.tensor([[3, 1, 3, 1, 2], [0, 7, 7, 7, 0]]), 1)[0],
    "mode keepdim": lambda t: t.tensor(RUN[:1]).mode(0, True)[0],
    "unique_consecutive": lambda t: t.tensor([1, 1, 2, 2, 2, 1]).unique_consecutive(True, True),
    "unique_consecutive of rows": lambda t: t.unique_consecutive(t.tensor([[1, 2, 2], [1, 3, 3]]), dim=1),
    "unique_consecutive of all": lambda t: t.unique_consecutive(t.tensor([[1, 2], [2, 2]]), return_inverse=True),
    "bucketize": lambda t: t.bucketize(t.tensor([[3, 6, 9], [0, 1, 10]]), t.tensor([1, 3, 5, 7, 9])),
    "bucketize right": lambda t: t.bucketize(t.tensor([3.0, 9.0]), t.tensor([1.0, 3, 5, 7, 9]), right=True),
    "isin": lambda t: t.isin(t.tensor([[1, 2], [3, 4]]), t.tensor([2, 3]), invert=True),
    "isin of mixed types": lambda t: t.isin(t.tensor([[1.0, NAN], [3.0, 9.0]]), t.tensor([9, 3])),
    "isin of nothing": lambda t: t.isin(t.tensor([1, 2]), t.tensor([]).long()),
    "tril_indices": lambda t: t.tril_indices(3, 4, -1),
    "triu_indices": lambda t: t.triu_indices(4, 3, 1),
    "unravel_index": lambda t: t.unravel_index(t.tensor([[0, 7], [23, 11]]), (2, 3, 4)),
    "hann_window": lambda t: t.hann_window(7),
    "hann_window symmetric": lambda t: t.hann_window(6, periodic=False),
    "hann_window of one": lambda t: t.hann_window(1, False),
    "hamming_window": lambda t: t.hamming_window(8, True, 0.5, 0.4),
    "logcumsumexp": lambda t: t.logcumsumexp(t.tensor([-1e4, 0.0, 200.0, -300.0, 200.0]), 0),
    "lerp": lambda t: t.tensor([1.0, 1e8]).lerp(t.tensor([2.0, 1.0]), t.tensor([1.0, 1.0])),
    "take_along_dim of all": lambda t: t.take_along_dim(t.tensor(RUN), t.tensor([3, 0])),
    "scatter_reduce of infinities": lambda t: t.zeros(3).scatter_reduce(
        0, t.tensor([0, 0, 2]), t.tensor([float("inf"), 1.0, -float("inf")]), "amax", include_self=False
    ),
    "scatter_reduce of integers": lambda t: t.tensor([5, 6]).scatter_reduce(
        0, t.tensor([0, 0, 1]), t.tensor([1, 2, 9]), "amin"
    ),
    "block_diag": lambda t: t.block_diag(t.ones(2, 1), t.tensor([3.0, 4.0])),
    "polar": lambda t: t.view_as_real(t.polar(t.tensor([1.0, 2.0]), t.tensor([0.5, -1.0]))),
    "narrow": lambda t: t.arange(5).narrow(0, t.tensor(1), 3),
    "select": lambda t: t.tensor(RUN).select(-1, 5),
    "new_tensor": lambda t: t.zeros(1).new_tensor([[1, 2]]),
    "new_empty": lambda t: t.zeros(1).double().new_empty((2, 0)),
    "clamp": lambda t: t.tensor(RUN[0]).clamp_min(0).clamp_max(4),
    "bytes": lambda t: t.tensor([1.9, 100.0]).byte(),
    "chars and shorts": lambda t: [t.tensor([-1.9, 100.0]).char(), t.tensor([-1.9, 1000.0]).short()],
    "mv": lambda t: t.tensor(RUN[:1]).mv(t.tensor(RUN[0])),
}
IN_PLACE = {
    **{
        name: (lambda x, t, name=name: getattr(x, name)())
        for name in ("abs_", "atan_", "ceil_", "cos_", "erf_", "exp_", "expm1_", "floor_", "frac_", "neg_",
                     "reciprocal_", "relu_", "round_", "sigmoid_", "sign_", "sin_", "sinh_",
                     "square_", "tan_", "tanh_", "trunc_")
    },
    "logarithms": lambda x, t: x.square_().add_(1).log_(),
    "roots": lambda x, t: x.abs_().add_(1).sqrt_(),
    "remainder": lambda x, t: x.mul_(7).remainder_(3),
    "quotients": lambda x, t: x.mul_(7).fmod_(2),
    "triangles": lambda x, t: x.tril_().cumsum_(1),
    "bounds": lambda x, t: x.clamp_min_(-0.5).clamp_max_(0.5).clip_(0, 1),
    "index": lambda x, t: x.index_fill_(0, t.tensor([1]), 5.0).index_add_(1, t.tensor([0, 0]), t.ones(3, 2)),
    "copy": lambda x, t: x.index_copy_(0, t.tensor([2, 0]), t.ones(2, 3)),
    "scatter": lambda x, t: x.scatter_(1, t.tensor([[0], [2], [1]]), 9.0).scatter_add_(
        0, t.tensor([[0, 0, 1]]), t.ones(1, 3)
    ),
    "lerp": lambda x, t: x.lerp_(t.ones(3), 0.25).addcmul_(t.ones(3), t.ones(3), value=2),
    "products": lambda x, t: x.addmm_(t.ones(3, 2), t.ones(2, 3), alpha=0.5).addr_(t.ones(3), t.ones(3), beta=2),
}  # fmt: skip


def compared(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            compared(a, b)
        return
    expected = theirs.detach().numpy()
    assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=2e-6, atol=1e-7)


@pytest.mark.peers
@pytest.mark.parametrize("name", CALLS)
def test_values_are_pytorchs(name: str, torch: Any) -> None:
    compared(CALLS[name](gg), CALLS[name](torch))


@pytest.mark.peers
@pytest.mark.parametrize("name", IN_PLACE)
def test_writes_and_their_gradients_are_pytorchs(name: str, torch: Any) -> None:
    value, found = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32), []
    for t in (gg, torch):
        x = t.tensor(value, requires_grad=True)
        y = x * 1.0
        view = y[0]
        assert IN_PLACE[name](y, t) is y
        (y.sum() + (view * view).sum()).backward()
        found.append([y, x.grad])
    compared(*found)


def test_values_by_hand() -> None:
    assert gg.cummax(gg.tensor([1, 3, 2, 3]), 0)[1].tolist() == [0, 1, 1, 3]
    assert gg.lerp(gg.tensor([1.0]), gg.tensor([3.0]), 0.25).tolist() == [1.5]
    assert gg.tensor([3.0, 1.0, 2.0]).kthvalue(2) == (2.0, 2)
    assert gg.mode(gg.tensor([4, 2, 4, 2, 1])).values.item() == 2
    np.testing.assert_allclose(gg.logcumsumexp(gg.zeros(4), 0).numpy(), np.log([1, 2, 3, 4]), rtol=1e-6)
    x, src = gg.tensor([1.0, 5.0], requires_grad=True), gg.tensor([5.0, 5.0, 2.0], requires_grad=True)
    y = x.scatter_reduce(0, gg.tensor([1, 1, 0]), src, "amax")
    y.sum().backward()
    assert y.tolist() == [2.0, 5.0]
    np.testing.assert_allclose(x.grad.numpy(), [0, 1 / 3])
    np.testing.assert_allclose(src.grad.numpy(), [1 / 3, 1 / 3, 1])
    assert gg.zeros(2).add_(gg.ones(2)).exp_().sub_(np.float32(np.e)).abs_().sum().item() < 1e-6


def test_questions() -> None:
    x = gg.zeros(2, 3)
    assert gg.is_tensor(x)
    assert not gg.is_tensor(x.data)
    assert gg.is_floating_point(x) and not gg.is_complex(x) and not x.is_complex() and not x.is_cuda  # noqa: PT018
    assert gg.numel(x) == 6
    assert gg.finfo().max == np.finfo(np.float32).max
    assert gg.iinfo(gg.int8).min == -128
    assert gg.promote_types(gg.int32, gg.float32) == np.float64
    assert gg.result_type(x, 2.0) == np.float32
    pytest.importorskip("ml_dtypes")
    assert gg.finfo(gg.bfloat16).bits == 16


def test_inference_mode_records_nothing_and_decorates() -> None:
    x = gg.ones(1, requires_grad=True)

    @gg.inference_mode
    def plain(x: Any) -> Any:
        return x * 2

    @gg.inference_mode()
    def called(x: Any) -> Any:
        return x * 2

    assert not plain(x).requires_grad
    assert not called(x).requires_grad
    with gg.no_grad(), gg.inference_mode(False):
        assert (x * 2).requires_grad


def test_what_cannot_be_is_refused_with_what_was_given() -> None:
    x = gg.zeros(2, 3)
    for call, error, message in (
        (lambda: x.narrow(1, 2, 2), IndexError, r"start = 2, length = 2 on axis 1 of \(2, 3\)"),
        (lambda: x.kthvalue(4), IndexError, "expected 1 to 3"),
        (lambda: x.scatter_reduce(1, gg.zeros(2, 3).long(), x, "prod"), ValueError, "reduce = 'prod'"),
        (lambda: gg.view_as_complex(x), ValueError, "two parts"),
        (lambda: gg.ones(2, requires_grad=True).exp_(), gg.GradientError, "leaf"),
    ):
        with pytest.raises(error, match=message):
            call()
