"""Elements taken along an axis of a GPU's array, and their gradients: one launch each, with NumPy's values."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.standin import State

SHAPE = (5, 20, 3)


def leaf(rng: np.random.Generator, dtype: str, shape: tuple[int, ...] = SHAPE) -> gg.Tensor:
    return gg.tensor(rng.standard_normal(shape).astype(np.float32), device="cuda").to(dtype).requires_grad_()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("count", [1, 4, 18])
@pytest.mark.parametrize("kind", ["int64", "int32"])
def test_values_and_gradients(
    gpu: State, rng: np.random.Generator, dtype: str, axis: int, count: int, kind: str
) -> None:
    x = leaf(rng, dtype)
    shape = [*SHAPE]
    shape[axis] = count
    index = rng.integers(-SHAPE[axis], SHAPE[axis], shape).astype(kind)
    places = gg.tensor(index, device="cuda")
    gpu.clear()
    y = gg.take_along_axis(x, places, axis)
    assert [name.partition("_f")[0].partition("_bf")[0] for name in gpu.launches[-1:]] == ["gg_take_along"]
    assert (len(gpu.launches), dict(gpu.calls)) == (1 + (kind == "int32"), {})
    np.testing.assert_array_equal(y.detach().numpy(), np.take_along_axis(x.detach().numpy(), index.astype(int), axis))
    g = gg.tensor(rng.standard_normal(shape).astype(np.float32), device="cuda").to(dtype)
    y.backward(g)
    want = gg.tensor(x.detach().cpu().numpy(), requires_grad=True)
    gg.take_along_axis(want, index.astype(np.int64), axis).backward(g.cpu())
    tolerance = {"float16": 4e-3, "bfloat16": 3e-2}.get(dtype, 1e-6)
    np.testing.assert_allclose(
        x.grad.cpu().double().numpy(), want.grad.double().numpy(), rtol=tolerance, atol=tolerance
    )


def test_what_is_out_of_range_is_nan_and_has_no_gradient(gpu: State, rng: np.random.Generator) -> None:
    x = leaf(rng, "float32", (4, 3))
    y = x.gather(1, gg.tensor(np.array([[0], [3], [-3], [-4]]), device="cuda"))
    assert np.isnan(y.detach().numpy())[:, 0].tolist() == [False, True, False, True]
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[1, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]])


def test_indices_that_are_shorter_elsewhere_and_other_dtypes_are_cupys(gpu: State, rng: np.random.Generator) -> None:
    values = rng.integers(0, 9, (4, 6))
    x = gg.tensor(values, device="cuda")
    index = rng.integers(0, 6, (2, 3))
    places = gg.tensor(index, device="cuda")
    np.testing.assert_array_equal(x.gather(1, places).numpy(), np.take_along_axis(values[:2], index, 1))
    y = leaf(rng, "float32", (4, 6))
    y.gather(1, places).sum().backward()
    want = np.zeros((4, 6))
    np.add.at(want, (np.arange(2)[:, None], index), 1)
    np.testing.assert_array_equal(y.grad.numpy(), want)
    assert gg.take_along_axis(y, gg.zeros((4, 0), dtype="int64", device="cuda")).shape == (4, 0)


def test_second_derivatives(gpu: State, rng: np.random.Generator) -> None:
    x = leaf(rng, "float64", (4, 6))
    index = gg.tensor(np.array([[1, 1], [0, 5], [2, 3], [4, 4]]), device="cuda")
    (first,) = gg.autograd.grad((x.gather(1, index) ** 3).sum(), [x], create_graph=True)
    (second,) = gg.autograd.grad(first.sum(), [x])
    counts = np.zeros((4, 6))
    np.add.at(counts, (np.arange(4)[:, None], index.numpy()), 1)
    np.testing.assert_allclose(second.numpy(), 6 * x.detach().numpy() * counts, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "ahead", "behind"), [("gather", 1, 1), ("nll_loss", 3, 2), ("max", 1, 1), ("sort", 1, 1)]
)
def test_how_much_is_asked_of_the_gpu(gpu: State, rng: np.random.Generator, name: str, ahead: int, behind: int) -> None:
    x = leaf(rng, "float32", (6, 40))
    labels = gg.tensor(rng.integers(0, 40, (6, 1)), device="cuda")
    calls: dict[str, Any] = {
        "gather": lambda: x.gather(1, labels),
        "nll_loss": lambda: F.nll_loss(x, labels[:, 0], reduction="none"),
        "max": lambda: x.max(dim=1).values,
        "sort": lambda: gg.sort(x, 1),
    }
    y = calls[name]()
    g = gg.ones(*y.shape, device="cuda")
    gpu.clear()
    y = calls[name]()
    forward = len(gpu.launches)
    gpu.clear()
    (found,) = gg.autograd.grad(y, [x], g)
    assert (forward, len(gpu.launches)) == (ahead, behind)
    assert gpu.syncs == gpu.uploads == []
    assert float(found.abs().sum()) == y.numel()
