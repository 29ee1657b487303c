"""Where a backward pass starts and how cotangents add up on a GPU: by kernels of our own, with the CPU's numbers."""

import numpy as np
import pytest

import gpugrad as gg
from tests.standin import State

FLOATS = ["float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", [*FLOATS, "complex64"])
def test_a_backward_pass_starts_with_one(gpu: State, dtype: str) -> None:
    x = gg.tensor(np.array(3, dtype), device="cuda", requires_grad=True)
    gpu.clear()
    x.backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype
    assert x.grad.item() == 1
    assert not gpu.syncs[:-1]


@pytest.mark.parametrize("dtype", FLOATS)
def test_uses_and_passes_add_up_without_cupys_kernels(gpu: State, rng: np.random.Generator, dtype: str) -> None:
    values = rng.standard_normal((4, 5)).astype(dtype)
    x = gg.tensor(values, device="cuda", requires_grad=True)
    one = gg.ones(4, 5, dtype=dtype, device="cuda")
    gpu.clear()
    for _ in range(2):
        y = x * 1.0
        (gg.relu(y) * 2.0 + gg.relu(-y) + y).backward(one)
    assert "add" not in gpu.calls
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 2 * (np.where(values > 0, 2, -1) + 1), rtol=1e-3)


def test_a_gradient_that_another_tensor_shows_is_added_to_in_place(gpu: State) -> None:
    x = gg.ones(3, device="cuda", requires_grad=True)
    (x * 2.0).backward(gg.ones(3, device="cuda"))
    assert x.grad is not None
    seen = x.grad
    (x * 3.0).backward(gg.ones(3, device="cuda"))
    assert x.grad is seen
    assert seen.tolist() == [5.0] * 3


def test_an_array_that_overlaps_with_the_result_is_read_before_it_is_written(gpu: State) -> None:
    from gpugrad.backend import backend_for

    cuda = backend_for("cuda")
    memory = cuda.from_host(np.arange(6, dtype=np.float32))
    cuda.plus(memory[1:], memory[:-1], into=True)
    assert memory.get().tolist() == [0, 1, 3, 5, 7, 9]


def test_the_cotangents_of_all_parts_are_joined_without_zeros(gpu: State, rng: np.random.Generator) -> None:
    values = rng.standard_normal((4, 6, 9)).astype("float32")
    x = gg.tensor(values, device="cuda", requires_grad=True)
    factors = gg.tensor(rng.standard_normal((3, 4, 6, 3)).astype("float32"), device="cuda")
    parts = (x * 1.0).split(3, dim=-1)
    gpu.clear()
    gg.autograd.backward([p * f for p, f in zip(parts, factors, strict=True)], [gg.ones_like(parts[0])] * 3)
    joined, last = [name.partition("_f32")[0] for name in gpu.launches[-2:]]
    assert (joined, last) == ("gg_join", "gg_multiply_vjp_0")
    assert not gpu.calls
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.concatenate(list(factors.numpy()), -1))


def test_rows_that_are_read_and_written_in_a_loop_have_one_array_each_way(gpu: State, rng: np.random.Generator) -> None:
    values = rng.standard_normal((12, 5)).astype("float32")

    def run(x: gg.Tensor) -> gg.Tensor:
        y = x * 1.0
        out, h = gg.zeros(12, 5, device=x.device), y[0]
        for t in range(12):
            h = gg.tanh(h + y[t])
            out[t] = h
            out[t] += y[t]
        return (out * out).sum()

    x, host = gg.tensor(values, device="cuda", requires_grad=True), gg.tensor(values, requires_grad=True)
    gpu.clear()
    run(x).backward()
    assert not gpu.calls["zeros"]
    assert not gpu.syncs
    run(host).backward()
    assert x.grad is not None
    assert host.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), host.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_such_a_loop_in_a_captured_step_has_the_bits_of_the_plain_one(gpu: State, rng: np.random.Generator) -> None:
    batches = [gg.tensor(rng.standard_normal((6, 4, 5)).astype("float32"), device="cuda") for _ in range(6)]

    def training(compiled: bool) -> list[bytes]:
        gg.manual_seed(3)
        layer = gg.nn.Linear(5, 15).to("cuda")
        optimizer = gg.optim.Adam(layer.parameters(), lr=0.1)

        def step(x: gg.Tensor) -> gg.Tensor:
            optimizer.zero_grad()
            out, h = gg.zeros(6, 4, 5, device="cuda"), gg.zeros(4, 5, device="cuda")
            for t in range(6):
                a, b, c = layer(x[t] + h).chunk(3, dim=-1)
                h = gg.tanh(a) * gg.sigmoid(b) + c
                out[t] = h
                out[t, :, 1:] *= 0.5
            loss = (out * out).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = gg.compile(step) if compiled else step
        losses = [run(x) for x in batches]
        return [t.detach().numpy().tobytes() for t in (*losses, *layer.parameters())]

    plain, replayed = training(False), training(True)
    assert plain == replayed


def test_rows_looked_up_are_added_to_the_gradient_that_is_there(gpu: State, rng: np.random.Generator) -> None:
    values, tokens = rng.standard_normal((50, 8)).astype("float32"), np.array([[1, 4, 1], [0, 49, 4]])

    def run(device: str) -> np.ndarray:
        weight = gg.tensor(values, device=device, requires_grad=True)
        labels = gg.tensor(tokens, device=device)
        for _ in range(2):
            h = gg.tanh(gg.nn.functional.embedding(labels, weight))
            gg.nn.functional.cross_entropy((h @ weight.T).reshape(6, 50), labels.reshape(-1)).backward()
        assert weight.grad is not None
        return weight.grad.numpy()

    expected = run("cpu")
    gpu.clear()
    np.testing.assert_allclose(run("cuda"), expected, rtol=1e-4, atol=1e-5)
    assert not gpu.calls["zeros"]
