"""The harness that runs CUDA on the CPU is itself tested, with planted mistakes that it must report."""

from typing import Any

import numpy as np
import pytest

from tests.cuda.hostexec import HostExecError, HostModule, missing_compiler

pytestmark = pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler()))

SOURCE = r"""
#include <cuda_fp16.h>
#include <cuda_bf16.h>
template <class T> __device__ T warp_sum(T v) {
  for (int d = 16; d; d >>= 1) v += __shfl_xor_sync(~0u, v, d);
  return v;
}
template <class T> __device__ void row_sum(const T* x, T* y, int columns) {
  __shared__ T part[32];
  T sum = 0;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) sum += x[(size_t)blockIdx.x * columns + c];
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x) return;
  for (int w = 1; w < (int)blockDim.x / 32; ++w) sum += part[w];
  y[blockIdx.x] = sum;
}
#define ROW_SUM(T, tag) \
  extern "C" __global__ void __launch_bounds__(256) row_sum_##tag(const T* __restrict__ x, T* y, int n) { \
    row_sum(x, y, n);                                                                                                \
  }
ROW_SUM(float, f32) ROW_SUM(double, f64)
template <class T> __global__ void scale(T* x, T a) { x[threadIdx.x] *= a; }
extern "C" __global__ void rotate_without_barrier(float* x) {
  extern __shared__ float s[];
  s[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = s[(threadIdx.x + 1) % blockDim.x];
}
extern "C" __global__ void overwrite_without_barrier(float* x) {
  __shared__ float s;
  if (threadIdx.x == 0) s = 1;
  __syncthreads();
  x[threadIdx.x] = s;
  if (threadIdx.x % 32 == 0) s = 2;
}
extern "C" __global__ void one_waits_for_the_block_others_for_the_warp() {
  if (threadIdx.x < 3) __syncthreads(); else __syncwarp();
}
extern "C" __global__ void two_places(int* x) {
  if (threadIdx.x < 3) { __syncthreads(); }
  else { x[0] = 1; __syncthreads(); }
}
extern "C" __global__ void uneven_loop(int* x) {
  for (int i = threadIdx.x; i < 40; i += blockDim.x) x[i % 4] = __shfl_xor_sync(~0u, i, 1);
  __syncthreads();
}
extern "C" __global__ void from_a_lane_that_left(float* x) {
  if (threadIdx.x == 7) return;
  x[threadIdx.x] = __shfl_xor_sync(~0u, 1.f, 1);
}
extern "C" __global__ void halves(const float* x, __half* h, __nv_bfloat16* b, float* back, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  h[i] = __float2half_rn(x[i]);
  b[i] = __float2bfloat16_rn(x[i]);
  back[2 * i] = __half2float(h[i]);
  back[2 * i + 1] = __bfloat162float(b[i]);
}
struct Layout { int n; long long strides[3]; };
extern "C" __global__ void by_value(Layout l, long long* y) { y[0] = l.n + l.strides[2]; }
extern "C" __global__ void votes(unsigned* y) {
  unsigned b = __ballot_sync(~0u, threadIdx.x % 3 == 0);
  int any = __any_sync(~0u, threadIdx.x == 5), all = __all_sync(~0u, threadIdx.x < 5);
  if (threadIdx.x == 0) { y[0] = b; y[1] = any; y[2] = all; }
}
"""


@pytest.fixture(scope="module")
def module() -> HostModule:
    return HostModule(SOURCE, ("scale<double>",))


def test_shared_memory_barriers_and_shuffles_sum_rows(module: HostModule, rng: np.random.Generator) -> None:
    for tag, dtype in (("f32", np.float32), ("f64", np.float64)):
        x = rng.standard_normal((7, 300)).astype(dtype)
        for backwards in (False, True):
            y = np.empty(7, dtype)
            module.get_function(f"row_sum_{tag}")((7,), (128,), (x, y, np.int32(300)), backwards=backwards)
            np.testing.assert_allclose(y, x.sum(1), rtol=0, atol=1e-5)


def test_a_template_instance_is_an_entry_point(module: HostModule) -> None:
    x = np.arange(4.0)
    module.get_function("scale<double>")((1,), (4,), (x, 2.5))
    assert x.tolist() == [0.0, 2.5, 5.0, 7.5]


def test_shared_memory_of_a_launch_has_the_devices_limits(module: HostModule) -> None:
    rotate, x = module.get_function("rotate_without_barrier"), np.arange(8, dtype=np.float32)
    with pytest.raises(HostExecError, match="more than 49152"):
        rotate((1,), (8,), (x,), shared_mem=60000)
    with pytest.raises(HostExecError, match="232449"):
        rotate.max_dynamic_shared_size_bytes = (227 << 10) + 1
    rotate.max_dynamic_shared_size_bytes = 227 << 10
    try:
        rotate((1,), (8,), (x,), shared_mem=227 << 10)
    finally:
        rotate.max_dynamic_shared_size_bytes = 48 << 10
    assert np.isnan(x[:-1]).all(), "all of it is poisoned"


def test_a_missing_barrier_shows_as_nan_from_poisoned_shared_memory(module: HostModule) -> None:
    for backwards in (False, True):
        x = np.ones(8, np.float32)
        module.get_function("rotate_without_barrier")((1,), (8,), (x,), shared_mem=32, backwards=backwards)
        assert np.isnan(x).any()


def test_a_warp_that_overwrites_too_early_is_seen(module: HostModule) -> None:
    for backwards in (False, True):
        x = np.zeros(64, np.float32)
        module.get_function("overwrite_without_barrier")((1,), (64,), (x,), backwards=backwards)
        assert sorted(set(x.tolist())) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "args", "threads", "said"),
    [
        ("one_waits_for_the_block_others_for_the_warp", (), 32, "never reach"),
        ("two_places", (np.zeros(1, np.int32),), 32, "different __syncthreads"),
        ("uneven_loop", (np.zeros(4, np.int32),), 64, "barrier divergence"),
    ],
)
def test_divergence_at_a_barrier_is_reported_and_later_launches_work(
    module: HostModule, name: str, args: tuple[Any, ...], threads: int, said: str
) -> None:
    with pytest.raises(HostExecError, match=said):
        module.get_function(name)((1,), (threads,), args)
    y = np.empty(1, np.float32)
    module.get_function("row_sum_f32")((1,), (64,), (np.ones(9, np.float32), y, np.int32(9)))
    assert y[0] == 9


def test_a_shuffle_from_a_lane_that_left_is_nan(module: HostModule) -> None:
    x = np.zeros(32, np.float32)
    module.get_function("from_a_lane_that_left")((1,), (32,), (x,))
    assert np.isnan(x[6])
    assert np.isnan(x).sum() == 1


def test_votes(module: HostModule) -> None:
    y = np.zeros(3, np.uint32)
    module.get_function("votes")((1,), (32,), (y,))
    assert y.tolist() == [sum(1 << i for i in range(0, 32, 3)), 1, 0]


def test_half_and_bfloat16_round_as_numpy_does(module: HostModule, rng: np.random.Generator) -> None:
    edges = [np.inf, -np.inf, np.nan, 65519.9, 65520.0, 0.0, -0.0, 5.9e-8, 2.9e-8, 6.1035e-5]
    scales = np.float32([1, 1e-6, 1e5, 1e-8, 3e4])
    x = np.concatenate([(rng.standard_normal((2000, 1)) * scales).ravel(), edges]).astype(np.float32)
    h, b, back = np.empty(x.size, np.float16), np.empty(x.size, np.uint16), np.empty((x.size, 2), np.float32)
    module.get_function("halves")((-(-x.size // 128),), (128,), (x, h, b, back, np.int32(x.size)))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(h, x.astype(np.float16))
    np.testing.assert_array_equal(back[:, 0], h.astype(np.float32))
    np.testing.assert_array_equal(back[:, 1], (b.astype(np.uint32) << 16).view(np.float32))
    finite = np.isfinite(x) & (np.abs(x) < 3e38)
    assert np.all(np.abs(back[finite, 1] - x[finite]) <= np.abs(x[finite]) * 2.0**-8)


def test_a_struct_is_passed_by_value(module: HostModule) -> None:
    layout = np.zeros(1, np.dtype([("n", "i4"), ("strides", "i8", 3)], align=True))
    layout["n"], layout["strides"] = 5, (1, 2, 3)
    y = np.zeros(1, np.int64)
    module.get_function("by_value")((1,), (1,), (layout, y))
    assert y[0] == 8


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((np.ones(4, np.float32), np.ones(4, np.float32), 4), "argument 2 is an integer of 8 bytes"),
        ((np.ones(4, np.float32), np.ones(4, np.float32), 4.0), "argument 2 is a float"),
        ((np.ones(4, np.float32), np.float32(1), np.int32(4)), "argument 1 is a float of 4 bytes"),
        ((np.ones(4, np.float32), np.ones(4, np.float32)), "takes 3 arguments, got 2"),
        ((np.ones(4, np.float32), "y", np.int32(4)), "argument 1 is a str"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(module: HostModule, args: tuple[Any, ...], said: str) -> None:
    with pytest.raises(HostExecError, match=said):
        module.get_function("row_sum_f32")((1,), (32,), args)


def test_a_block_beyond_the_launch_bounds_is_refused(module: HostModule) -> None:
    x = np.ones(4, np.float32)
    with pytest.raises(HostExecError, match="at most 256"):
        module.get_function("row_sum_f32")((1,), (512,), (x, x, np.int32(4)))


def test_source_that_does_not_compile_is_shown_with_the_compilers_message() -> None:
    with pytest.raises(HostExecError, match=r"undeclared|not declared"):
        HostModule('extern "C" __global__ void f(float* x) { x[0] = nowhere; }')


def test_an_unknown_kernel_is_refused_with_the_names_there_are(module: HostModule) -> None:
    with pytest.raises(HostExecError, match="row_sum_f32"):
        module.get_function("nothing")
