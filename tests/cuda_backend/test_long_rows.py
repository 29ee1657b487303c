"""Rows that no registers hold, on the GPU branch: held by shared memory as far as the device gives it, read again else.

Beside the values: how much is asked for, that a device is told once, and that nothing of it happens in a capture.
"""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import Backend, backend_for, cpu_rows, cuda_launch, cuda_rows
from gpugrad.nn import functional as F
from tests.cuda_backend.cases import normal
from tests.cuda_backend.parity import same
from tests.standin import State


@pytest.fixture
def cuda(gpu: State) -> Backend:
    return backend_for("cuda")


def check_all(
    cuda: Backend, rng: np.random.Generator, columns: int, start: int, dtype: Any = np.float32, rows: int = 3
) -> None:
    """All that has a form by shared memory, on both devices; arrays on the GPU begin `start` elements off 16 bytes."""

    def there(a: Any) -> Any:
        memory = cuda.empty((a.size + start,), a.dtype)
        view = memory[start:].reshape(a.shape)
        view[...] = cuda.from_host(a)
        return view

    def check(name: str, *arrays: Any, options: tuple[Any, ...] = ()) -> Any:
        want = getattr(cpu_rows, name)(*arrays, *options)
        have = getattr(cuda_rows, name)(*map(there, arrays), *options)
        want, have = (r if isinstance(r, tuple) else (r,) for r in (want, have))
        same(name, [h.get() for h in have], list(want), 2e-2 if np.dtype(dtype).itemsize == 2 else 2e-4)
        return want

    x, g = normal(rng, (rows, columns), dtype), normal(rng, (rows, columns), dtype)
    w, b, labels = normal(rng, columns, dtype), normal(rng, columns, dtype), rng.integers(0, columns, rows)
    for name in ("softmax", "log_softmax"):
        (y,) = check(name, x)
        check(f"{name}_vjp", g, y)
    check("logsumexp", x)
    _, lse = check("cross_entropy", x, labels, options=(None, 0.1))
    check("cross_entropy_vjp", np.asarray(0.5, lse.dtype), x, lse, labels, options=(None, 0.1))
    weights = np.abs(w).astype(lse.dtype)
    check("cross_entropy", x, labels, weights, options=(0.1, int(labels[0])))
    check("cross_entropy_vjp", np.ones(rows, lse.dtype), x, lse, labels, weights, options=(0.1, int(labels[0])))
    _, mean, rstd = check("layer_norm", x, w, b)
    check("layer_norm_vjp", g, x, mean, rstd, w)
    _, rstd = check("rms_norm", x, w)
    check("rms_norm_vjp", g, x, rstd, w)


starts = pytest.mark.parametrize("start", [0, 1], ids=["on16", "off16"])


@starts
@pytest.mark.parametrize("limit", [227 << 10, 99 << 10, 49 << 10, 48 << 10])
def test_rows_that_shared_memory_holds_whole_or_in_part(
    cuda: Backend, gpu: State, rng: np.random.Generator, limit: int, start: int
) -> None:
    """48 KiB hold one array of such rows, 99 KiB two, or the sums of a layer norm's gradients."""
    gpu.shared_memory = limit
    check_all(cuda, rng, 12001, start)
    assert bool(gpu.told) == (limit > 49 << 10)
    assert ("gg_layer_norm_vjp_weight_f32" in gpu.launches) == (limit <= 49 << 10), "another look at both inputs"
    assert "gg_rms_norm_vjp_weight_f32" not in gpu.launches


@starts
@pytest.mark.parametrize("dtype", [np.float16, np.float64], ids=str)
def test_long_rows_of_other_dtypes(cuda: Backend, rng: np.random.Generator, dtype: Any, start: int) -> None:
    check_all(cuda, rng, 8201, start, dtype)


def test_rows_of_any_length_are_launched_within_what_the_device_gives(
    cuda: Backend, gpu: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads and shared memory by columns: two blocks share a multiprocessor where two rows fit, one fills it else."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(
        cuda_launch, "function", lambda *_: lambda grid, block, args, shared_mem: asked.append((block[0], shared_mem))
    )
    monkeypatch.setattr(cuda_launch, "_with_shared_memory", lambda file, kernel, dtype, device: cuda_launch.function())
    f32 = np.dtype(np.float32)
    for columns, held in ((8193, 1), (28000, 1), (30000, 1), (50257, 1), (128256, 1), (50257, 2), (50257, 0)):
        cuda_launch.launch_rows("softmax.cu", "softmax", f32, 8, columns, (), held)
    most = cuda_launch.shared_memory(0)
    assert most == (227 << 10) - 1024
    assert asked == [(512, 32784), (512, 112000), (1024, 120000), (1024, 201040), (1024, most), (1024, most), (512, 0)]


def step(x: gg.Tensor, labels: gg.Tensor) -> gg.Tensor:
    x = x.detach().requires_grad_()
    loss = F.cross_entropy(gg.layer_norm(x, x.shape[1]), labels, label_smoothing=0.1) + gg.softmax(x, axis=1)[0, 0]
    loss.backward()
    return x.grad


def test_rows_that_32_bits_do_not_count_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[softmax\] rows of 2147483648 elements"):
        cuda_launch.launch_rows("softmax.cu", "softmax", np.dtype(np.float16), 1, 2**31, ())


def test_a_device_is_told_of_a_kernels_shared_memory_once(two_gpus: State, rng: np.random.Generator) -> None:
    x, labels = normal(rng, (2, 14000)), np.array([1, 3])
    for device in ("cuda:0", "cuda:1"):
        given = gg.tensor(x, device=device), gg.tensor(labels, device=device)
        for _ in range(2):
            step(*given)
    told = [name for name, device in two_gpus.told if device == 1]
    assert told == [name for name, device in two_gpus.told if device == 0]
    assert sorted(told) == sorted(set(told))
    assert "gg_softmax_vjp_shared_f32" in told
    assert {name for name in two_gpus.launches if "_shared" in name} > set(told), "one needs no more than 48 KiB"


def test_a_captured_step_has_been_told_before(gpu: State, rng: np.random.Generator) -> None:
    """The stand-in refuses to be told anything while it captures."""
    x, labels = normal(rng, (2, 14000)), gg.tensor(np.array([1, 3]), device="cuda")
    compiled = gg.compile(step)
    got = [compiled(gg.tensor(x * k, device="cuda"), labels).numpy() for k in range(1, 6)]
    assert gpu.calls["graph.launch"] > 0
    for k, grad in enumerate(got, 1):
        np.testing.assert_array_equal(grad, step(gg.tensor(x * k, device="cuda"), labels).numpy())


SOURCE = """extern "C" __global__ void fill(int* x, int n) {
  extern __shared__ int memory[];
  for (int i = threadIdx.x; i < n; i += blockDim.x) memory[i] = i;
  __syncthreads();
  if (threadIdx.x == 0) x[0] = memory[n - 1];
}"""


def test_the_stand_in_refuses_shared_memory_that_a_kernel_was_not_told_of(two_gpus: State) -> None:
    import cupy

    kernel = cupy.RawModule(code=SOURCE).get_function("fill")
    n = 15000
    with cupy.cuda.Device(1):
        x = cupy.zeros(1, np.int32)
        with pytest.raises(RuntimeError, match="INVALID_VALUE"):
            kernel((1,), (32,), (x, np.int32(n)), shared_mem=4 * n)
        kernel.max_dynamic_shared_size_bytes = 4 * n
        kernel((1,), (32,), (x, np.int32(n)), shared_mem=4 * n)
        assert x.get().tolist() == [n - 1]
        with pytest.raises(RuntimeError, match="INVALID_VALUE"):
            kernel((1,), (32,), (x, np.int32(n)), shared_mem=4 * n + 4)
        with pytest.raises(RuntimeError, match="INVALID_VALUE"):
            kernel.max_dynamic_shared_size_bytes = (227 << 10) + 1
    assert kernel.max_dynamic_shared_size_bytes == 48 << 10, "the first device was told nothing"
    x = cupy.zeros(1, np.int32)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        kernel((1,), (32,), (x, np.int32(n)), shared_mem=4 * n)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="while a stream is captured"):
            kernel.max_dynamic_shared_size_bytes = 4 * n
        stream.end_capture()
