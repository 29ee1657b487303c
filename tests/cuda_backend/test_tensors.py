"""Tensors on the GPU branch: made, moved, shown, copied, changed in place, and refused beside others."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, backend_of, is_array
from tests.cuda_backend.parity import check
from tests.standin import State

HALF = np.float16


@pytest.mark.parametrize(
    "make",
    [
        lambda d: gg.zeros(2, 3, device=d),
        lambda d: gg.ones((2, 3), dtype=HALF, device=d),
        lambda d: gg.full((2,), 7, device=d),
        lambda d: gg.arange(5, device=d),
        lambda d: gg.linspace(0.0, 1.0, 4, device=d),
        lambda d: gg.eye(3, device=d),
        lambda d: gg.tensor([[1, 2], [3, 4]], device=d),
        lambda d: gg.tensor([1.5, 2.5], device=d),
        lambda d: gg.tensor(np.arange(3.0), device=d),
        lambda d: gg.zeros_like(gg.ones(2, dtype=np.int32, device=d)),
        lambda d: gg.full_like(gg.ones(2, device=d), 4.0),
        lambda d: gg.asarray([True, False], device=d),
    ],
)
def test_new_tensors_have_the_values_and_dtypes_of_the_cpus(gpu: State, make: Any) -> None:
    here, there = make("cpu"), make("cuda")
    assert there.device == "cuda:0"
    assert is_array(there.data)
    assert (there.shape, there.dtype) == (here.shape, here.dtype)
    np.testing.assert_array_equal(there.numpy(), here.numpy())


def test_moving_there_and_back_keeps_values_and_gradients(gpu: State) -> None:
    x = gg.tensor([1.0, 2.0], requires_grad=True)
    y = (x.cuda() * 3.0).cpu()
    assert y.device == "cpu"
    y.backward(gg.tensor([1.0, 10.0]))
    assert x.grad is not None
    assert x.grad.device == "cpu"
    assert x.grad.numpy().tolist() == [3.0, 30.0]


def test_moving_to_where_it_is_gives_the_tensor_itself(gpu: State) -> None:
    x = gg.ones(2, device="cuda")
    assert x.cuda() is x
    assert x.to("cuda:0") is x
    assert x.to("cuda", np.float32) is x
    assert x.to("cuda", HALF).dtype == HALF


def test_only_the_listed_calls_wait(gpu: State) -> None:
    x = gg.ones(3, device="cuda")
    y = gg.exp(x).sum()
    assert (x.shape, y.dtype, y.ndim, x.nbytes) == ((3,), np.float32, 0, 12)
    x.detach(), x.clone(), x.reshape(3, 1), x.T
    assert gpu.syncs == []
    y.item(), x.numpy(), x.tolist(), str(x), float(y)
    assert len(gpu.syncs) == 5


def test_shown_with_the_device(gpu: State) -> None:
    assert repr(gg.ones(2, device="cuda")) == "tensor([1., 1.], device='cuda:0')"


def test_pickled_and_copied_tensors_stay_on_their_device(gpu: State) -> None:
    x = gg.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    for other in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert other.device == "cuda:0"
        assert other.requires_grad
        assert other.detach().tolist() == [1.0, 2.0]
        assert other.data is not x.data


MIXED = {
    "add": lambda a, b: a + b,
    "where": lambda a, b: gg.where(a > 0, a, b),
    "matmul": lambda a, b: a @ b.T,
    "concatenate": lambda a, b: gg.concatenate([a, b]),
    "linear": gg.linear,
}


@pytest.mark.parametrize("name", list(MIXED))
def test_operands_on_different_devices_are_refused_by_name(gpu: State, name: str) -> None:
    a, b = gg.ones(2, 2, device="cuda"), gg.ones(2, 2)
    for pair in ((a, b), (b, a)):
        with pytest.raises(gg.DeviceError) as error:
            MIXED[name](*pair)
        assert "cuda:0" in str(error.value)
        assert "cpu" in str(error.value)
        assert ".to(" in str(error.value)


def test_a_numpy_array_is_not_moved_by_itself(gpu: State) -> None:
    with pytest.raises(gg.DeviceError):
        gg.ones(2, device="cuda") * np.ones(2, np.float32)
    assert gpu.uploads == []


def test_values_from_elsewhere_are_written_to_a_tensor(gpu: State) -> None:
    x, host = gg.zeros(2, 3, device="cuda"), gg.zeros(2, 3)
    for target in (x, host):
        target[:] = np.ones((2, 3))
        target[0] = [1.0, 2.0, 3.0]
        target[1, 1:] = gg.tensor([5.0, 6.0], device="cuda" if target is host else "cpu")
        target[np.array([True, False]), 0] = np.array([9.0])
        assert target.tolist() == [[9.0, 2.0, 3.0], [1.0, 5.0, 6.0]]
        target.copy_(gg.full((3,), 2.0))
        assert target.tolist() == [[2.0] * 3] * 2
        with pytest.raises(ValueError, match="broadcast"):
            target[:] = np.ones(4)
    assert host.copy_(x * 2.0).tolist() == [[4.0] * 3] * 2


def test_operations_in_place_take_numbers_and_lists_and_refuse_arrays_elsewhere(gpu: State) -> None:
    x, host = gg.ones(2, 3, device="cuda"), gg.ones(2, 3)
    x += np.array(2.0)
    x *= [1.0, 2.0, 3.0]
    x.add_(gg.tensor(1.0))
    assert x.tolist() == [[4.0, 7.0, 10.0]] * 2
    for call in (lambda: x.add_(host), lambda: x.mul_(host.numpy()), lambda: host.sub_(x)):
        with pytest.raises(gg.DeviceError, match=r"\] in place on .* move it, e.g. other.to\("):
            call()
    assert x.tolist() == [[4.0, 7.0, 10.0]] * 2
    assert host.tolist() == [[1.0] * 3] * 2


def test_python_and_numpy_numbers_mix_with_device_tensors(gpu: State) -> None:
    x = gg.ones(2, device="cuda")
    assert (2 * x + 1.5 - True).tolist() == [2.5, 2.5]
    assert (x * np.float32(3)).tolist() == [3.0, 3.0]
    assert (x * np.float64(3)).dtype == np.float64, "a NumPy scalar counts with its dtype, as in NumPy"


def test_bare_device_arrays_go_in_and_come_out(gpu: State) -> None:
    bare = gg.ones(3, device="cuda").data
    out = gg.sigmoid(bare)
    assert is_array(out)
    assert type(out) is type(bare)


def test_changes_in_place_are_seen_by_the_tape(gpu: State) -> None:
    x = gg.ones(3, device="cuda", requires_grad=True)
    y = gg.exp(x * 1.0)
    with gg.no_grad():
        y[0] = 5.0
    with pytest.raises(gg.GradientError, match="changed in place by setitem"):
        y.sum().backward()


def test_a_change_of_another_part_of_the_memory_is_no_change(gpu: State) -> None:
    buffer = gg.ones(4, device="cuda")
    w = gg.ones(2, device="cuda", requires_grad=True)
    y = w * gg.asarray(buffer.data[:2])
    view = gg.asarray(buffer.data[2:])
    view += 1.0
    y.sum().backward()
    assert w.grad is not None
    other = w * gg.asarray(buffer.data[:2])
    buffer += 1.0
    with pytest.raises(gg.GradientError, match="changed in place"):
        other.sum().backward()


def test_views_share_the_owner_of_their_memory(gpu: State) -> None:
    x = gg.zeros(2, 3, device="cuda").data
    backend = backend_of(x)
    assert backend.storage(x.T[1:]) is x
    assert backend.storage(x) is x
    assert backend.storage(x.copy()) is not x


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("left", "right"), [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((2, 1, 2, 3), (4, 3, 2))]
)
def test_matrix_products(gpu: State, rng: np.random.Generator, left: Any, right: Any, dtype: str) -> None:
    a, b = (rng.standard_normal(s).astype(dtype) for s in (left, right))
    check(gg.matmul, a, b, rtol=4e-3 if dtype == "float16" else 1e-5)


def test_half_batches_never_reach_cupys_batched_product(gpu_without_nvmath: State) -> None:
    gpu = gpu_without_nvmath
    backend = backend_for("cuda")
    a = backend.from_host(np.ones((4, 2, 3), HALF))
    b = backend.from_host(np.ones((4, 3, 2), HALF))
    gpu.clear()
    out = backend.matmul(a, b)
    assert (out.get() == 3).all()
    assert gpu.calls["matmul"] == 4, "one product of two matrices for each"
    gpu.clear()
    backend.matmul(a, b[0])
    assert gpu.calls["matmul"] == 1, "one matrix on the right: all rows at once"


@pytest.mark.parametrize("dense", [True, False])
def test_matmul_writes_into_out(gpu: State, dense: bool) -> None:
    backend = backend_for("cuda")
    a, b = backend.from_host(np.ones((4, 2, 3), np.float32)), backend.from_host(np.ones((3, 5), np.float32))
    out = backend.empty((4, 2, 5), np.float32) if dense else backend.empty((4, 5, 2), np.float32).transpose(0, 2, 1)
    assert backend.matmul(a, b, out) is out
    assert (out.get() == 3).all()


def test_matrix_products_of_nothing(gpu: State) -> None:
    backend = backend_for("cuda")
    a, b = backend.from_host(np.ones((0, 2, 3), np.float32)), backend.from_host(np.ones((3, 5), np.float32))
    assert backend.matmul(a, b).shape == (0, 2, 5)
