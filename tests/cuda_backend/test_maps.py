"""Maps over arrays on the GPU: the rules call CuPy's functions and our kernels, with the values of the CPU."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.transforms.tree import flatten
from tests.cuda.hostexec import missing_compiler
from tests.cuda_backend.parity import check, on_device, run
from tests.cuda_backend.test_ops_table import ELSEWHERE, WAITS, WAITS_OF_LINALG
from tests.ops import table
from tests.standin import State, installed
from tests.standin.batch import build_together, collected

# Some of the table: the rules are the same for both array modules, and tests/transforms has every row on the CPU.
ROWS = [row for row in table.rows() if row.name not in (*ELSEWHERE, "trim_zeros") and row.inputs and row.order][::16]


def batch(row: table.Row) -> list[Any]:
    samples = [row.sample(seed) for seed in range(2)]
    return [np.stack([s[i] for s in samples]).astype(np.float32) for i in range(len(row.inputs))]


def mapped(row: table.Row) -> Callable[..., Any]:
    return lambda *x: tuple(flatten(gg.vmap(row.call)(*x))[0])


def mapped_gradient(row: table.Row) -> Callable[..., Any]:
    def loss(*x: Any) -> Any:
        parts = [gg.real(y) for y in flatten(row.call(*x))[0] if y.dtype.kind in "fc"]
        return sum((y * y).sum() for y in parts)

    def gradients(*x: Any) -> Any:
        return gg.vmap(gg.grad(loss, tuple(range(len(x)))))(*x)

    return gradients


@pytest.fixture(scope="module", autouse=True)
def kernels() -> Iterator[None]:
    """Build what all rows launch together: first a run in which nothing is launched, only noted."""
    if missing_compiler():
        pytest.skip(str(missing_compiler()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(table.op), "__getattr__", on_device)
        with installed(), collected() as sources:
            for row in ROWS:
                for function in (mapped(row), mapped_gradient(row)):
                    try:
                        run(function, batch(row), "cuda")
                    except Exception:  # without launches the numbers are garbage, and so may be an index
                        continue
        build_together(sources)
        yield


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(gpu: State, row: table.Row) -> None:
    check(mapped(row), *batch(row), rtol=5e-4 * row.tolerance)
    check(mapped_gradient(row), *batch(row), rtol=2e-3 * row.tolerance)
    algebra = row.name.startswith(("linalg", "scipy.linalg"))
    assert set(gpu.syncs) - {"get"} <= WAITS | (WAITS_OF_LINALG if algebra else set())
    assert not gpu.uploads


def test_per_example_gradients_of_a_network_stay_on_the_device(rng: np.random.Generator, gpu: State) -> None:
    gg.manual_seed(0)
    model = gg.nn.Sequential(gg.nn.Linear(6, 8, device="cuda"), gg.nn.Tanh(), gg.nn.LayerNorm(8, device="cuda"))
    own = {k: v.detach() for k, v in model.named_parameters()}

    def loss(parameters: Any, x: Any, label: Any) -> Any:
        return gg.nn.functional.cross_entropy(gg.nn.functional_call(model, parameters, x), label)

    x = gg.tensor(rng.standard_normal((5, 6)).astype(np.float32), device="cuda")
    labels = gg.tensor(np.array([0, 7, 3, 3, 1]), device="cuda")
    gpu.syncs.clear()
    gradients = gg.vmap(gg.grad(loss), in_axes=(None, 0, 0))(own, x, labels)
    assert not gpu.syncs
    assert not gpu.uploads
    for i in range(5):
        model.zero_grad()
        gg.nn.functional.cross_entropy(model(x[i]), labels[i]).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            found = gradients[name].numpy()[i]
            np.testing.assert_allclose(found, parameter.grad.numpy(), rtol=2e-4, atol=2e-6)


def test_dropout_jacobian_and_indices_on_the_device(rng: np.random.Generator, gpu: State) -> None:
    x = gg.tensor(rng.standard_normal((3, 32)), device="cuda")
    masks = gg.vmap(lambda r: gg.dropout(r * 0 + 1, 0.5))(x).numpy()
    assert len({mask.tobytes() for mask in masks}) == 3
    jacobian = gg.jacrev(lambda r: gg.dropout(r, 0.5))(x[0]).numpy()
    np.testing.assert_array_equal(jacobian, np.diag(np.diag(jacobian)))
    places = gg.tensor(np.array([[0, 1], [31, 31], [-1, 4]]), device="cuda")
    picked = gg.vmap(gg.grad(lambda r, i: (r[i] * r[i]).sum()))(x, places).numpy()
    for row, value, place in zip(picked, x.numpy(), places.numpy(), strict=True):
        expected = np.zeros(32, np.float32)
        np.add.at(expected, place, 2 * value[place])
        np.testing.assert_allclose(row, expected, rtol=1e-6)


def test_examples_and_what_they_share_on_two_devices(gpu: State) -> None:
    x = gg.ones((2, 3), device="cuda")
    with pytest.raises(gg.DeviceError, match=r"operands on different devices.*cuda:0.*cpu"):
        gg.vmap(lambda r: r + gg.ones(3, device="cpu"))(x)
    with pytest.raises(ValueError, match=r"\[vmap\] the mapped arguments live on .*cuda:0"):
        gg.vmap(lambda r, s: r)(x, gg.ones((2, 3), device="cpu"))
