// Maxout (Goodfellow et al., 2013): the largest of k neighbours; pieces that tie share the cotangent equally.
//
//   maxout(x, y, outputs, k)              y[i] = max over j of x[i k + j]
//   maxout_vjp(g, x, y, dx, outputs, k)   dx[i k + j] = g[i] / (number of j with x[i k + j] = y[i]) there, else 0
//
// C-contiguous; outputs, k: long long. nan in, nan out; its cotangent goes to the nans. Block (m,), any grid.
#include "math.cuh"

namespace gg {

template <class T> __device__ void maxout(const T* x, T* y, long long outputs, long long k) {
  using C = real<T>;
  const long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < outputs; i += threads) {
    C best = load<C>(x[i * k]);
    for (long long j = 1; j < k; ++j) best = maximum(best, load<C>(x[i * k + j]));
    y[i] = store<T>(best);
  }
}

template <class T>
__device__ void maxout_vjp(const T* g, const T* x, const T* y, T* dx, long long outputs, long long k) {
  using C = real<T>;
  const long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < outputs; i += threads) {
    const C best = load<C>(y[i]);
    C ties = C(0);
    for (long long j = 0; j < k; ++j) {
      const C v = load<C>(x[i * k + j]);
      ties += v == best || v != v ? C(1) : C(0);
    }
    const C share = load<C>(g[i]) / ties;
    for (long long j = 0; j < k; ++j) {
      const C v = load<C>(x[i * k + j]);
      dx[i * k + j] = store<T>(v == best || v != v ? share : C(0));
    }
  }
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                         \
  extern "C" __global__ void gg_maxout_##tag(const T* x, T* y, long long outputs, long long k) {                   \
    gg::maxout(x, y, outputs, k);                                                                                  \
  }                                                                                                                \
  extern "C" __global__ void gg_maxout_vjp_##tag(const T* g, const T* x, const T* y, T* dx, long long outputs,     \
                                                 long long k) {                                                    \
    gg::maxout_vjp(g, x, y, dx, outputs, k);                                                                       \
  }
#include "instantiate.cuh"
