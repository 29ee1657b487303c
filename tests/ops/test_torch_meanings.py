"""Names that PyTorch and NumPy both have: which call means which, against both libraries, with gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg

X = np.random.default_rng(0).standard_normal((3, 4, 5))
TIES = np.array([[2.0, 5.0, 5.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
NANS = np.array([[2.0, np.nan, 5.0, 1.0], [0.0, 3.0, -1.0, 0.0]])

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "std dim": lambda t, x: x.std(dim=1),
    "std keepdim": lambda t, x: x.std(-1, keepdim=True),
    "std biased": lambda t, x: x.std(dim=0, unbiased=False),
    "var dims": lambda t, x: t.var(x, dim=(0, 1)),
    "var correction": lambda t, x: t.var(x, dim=1, correction=2),
    "max dim": lambda t, x: x.max(dim=1),
    "max keepdim": lambda t, x: t.max(x, 0, keepdim=True),
    "min dim": lambda t, x: x.min(dim=-1),
    "min values": lambda t, x: t.min(x, dim=1).values,
    "amax": lambda t, x: x.amax(dim=(0, 1), keepdim=True),
    "amin": lambda t, x: t.amin(x, dim=1),
    "median odd": lambda t, x: x.median(dim=2),
    "median even": lambda t, x: t.median(x, dim=1, keepdim=True),
    "sort": lambda t, x: x.sort(dim=1),
    "sort down": lambda t, x: t.sort(x, dim=0, descending=True).values,
    "split": lambda t, x: x.split(2, dim=1),
    "split positional": lambda t, x: x.split(2, 2),
    "split rest": lambda t, x: t.split(x, 3, 2),
    "split lengths": lambda t, x: t.split(x, [1, 3], dim=1),
    "norm": lambda t, x: x.norm(),
    "norm 1 of all": lambda t, x: x.norm(1),
    "norm 1 of a matrix": lambda t, x: x[0].norm(1),
    "norm 2 of a matrix": lambda t, x: t.norm(x[0], 2),
    "norm of rows": lambda t, x: x.norm(2, 1),
    "norm dims": lambda t, x: x.norm(p=1, dim=(1, 2), keepdim=True),
    "norm nuclear": lambda t, x: t.norm(x[0], "nuc"),
    "norm fro": lambda t, x: t.norm(x[0], "fro"),
    "transpose": lambda t, x: x.transpose(1, 2),
    "transpose from the back": lambda t, x: t.transpose(x, -1, 0),
}


def parts(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


@pytest.mark.peers
@pytest.mark.parametrize("name", CALLS)
def test_calls_under_pytorchs_names_mean_what_pytorch_means(name: str, torch: Any) -> None:
    ours, theirs = gg.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    got, wanted = parts(CALLS[name](gg, ours)), parts(CALLS[name](torch, theirs))
    assert len(got) == len(wanted)
    total, reference = 0.0, 0.0
    for a, b in zip(got, wanted, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)
        if b.requires_grad:
            total, reference = total + (a**2).sum(), reference + (b**2).sum()
    total.backward()
    reference.backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.peers
@pytest.mark.parametrize("x", [TIES, NANS], ids=["ties", "nans"])
@pytest.mark.parametrize("name", ["max", "min", "median"])
def test_ties_and_nans_under_dim_are_pytorchs(name: str, x: np.ndarray, torch: Any) -> None:
    ours, theirs = getattr(gg, name)(gg.tensor(x), dim=1), getattr(torch, name)(torch.tensor(x), dim=1)
    np.testing.assert_array_equal(ours.values.numpy(), theirs.values.numpy())
    if name != "median":  # which of several equal medians is meant is open in PyTorch
        np.testing.assert_array_equal(ours.indices.numpy(), theirs.indices.numpy())


@pytest.mark.peers
@pytest.mark.parametrize("name", ["max", "min", "median", "sort"])
def test_positions_and_values_inside_a_map(name: str, torch: Any) -> None:
    def call(x: Any) -> Any:
        return tuple(getattr(gg, name)(x, dim=0))

    values, places = gg.vmap(call)(gg.tensor(X))
    wanted = getattr(torch, name)(torch.tensor(X), dim=1)
    np.testing.assert_array_equal(values.numpy(), wanted[0].numpy())
    np.testing.assert_array_equal(places.numpy(), wanted[1].numpy())


NUMPYS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "std": (lambda t: t.std(), lambda a: a.std()),
    "std of np": (lambda t: np.std(t, axis=1), lambda a: np.std(a, axis=1)),
    "var axis": (lambda t: t.var(axis=1, keepdims=True), lambda a: a.var(axis=1, keepdims=True)),
    "max": (lambda t: t.max(1), lambda a: a.max(1)),
    "sort": (lambda t: gg.sort(t, axis=0), lambda a: np.sort(a, axis=0)),
    "median": (lambda t: gg.median(t, axis=1), lambda a: np.median(a, axis=1)),
    "split axis": (lambda t: t.split(2, axis=1)[1], lambda a: np.split(a, 2, axis=1)[1]),
    "split of np": (lambda t: np.split(t, [1, 2])[1], lambda a: np.split(a, [1, 2])[1]),
    "norm axis": (lambda t: t.norm(2, axis=(0, 1)), lambda a: np.linalg.norm(a, 2, axis=(0, 1))),
    "norm of linalg": (lambda t: gg.linalg.norm(t[0], 1), lambda a: np.linalg.norm(a[0], 1)),
    "norm of np": (lambda t: np.linalg.norm(t[0], 2), lambda a: np.linalg.norm(a[0], 2)),
    "transpose": (lambda t: t.transpose(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
}


@pytest.mark.parametrize("name", NUMPYS)
def test_calls_under_numpys_names_mean_what_numpy_means(name: str) -> None:
    ours, theirs = NUMPYS[name]
    np.testing.assert_allclose(np.asarray(ours(gg.tensor(X))), theirs(X), rtol=1e-12)


def test_what_the_libraries_mean_differently_in_one_spelling_is_refused() -> None:
    square = gg.ones(3, 3)
    with pytest.raises(ValueError, match=r"\[transpose\] axes 0, 1 of a matrix.*swapaxes"):
        square.transpose(0, 1)
    assert square.transpose(1, 0).shape == np.transpose(square, (0, 1)).shape == (3, 3)
    with pytest.raises(TypeError, match=r"\[max\] an argument is given twice"):
        square.max(dim=0, axis=1)
    with pytest.raises(ValueError, match=r"\[median\] no elements"):
        gg.median(gg.ones(2, 0), dim=1)
