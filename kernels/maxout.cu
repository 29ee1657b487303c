// Maxout (Goodfellow et al., 2013): the largest of k candidates; pieces that tie share the cotangent equally.
//
//   maxout(x, y, outer, k, inner)              y[o, i] = max over j of x[o, j, i]
//   maxout_vjp(g, x, y, dx, outer, k, inner)   dx[o, j, i] = g[o, i] / (number of j with x[o, j, i] = y[o, i]) there
//
// C-contiguous; outer, k, inner: long long. nan in, nan out; its cotangent goes to the nans. Block (m,), any grid.
#include "math.cuh"

namespace gg {

template <class T> __device__ void maxout(const T* x, T* y, long long outer, long long k, long long inner) {
  using C = real<T>;
  const long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < outer * inner; i += threads) {
    const T* from = x + i / inner * k * inner + i % inner;
    C best = load<C>(*from);
    for (long long j = 1; j < k; ++j) best = maximum(best, load<C>(from[j * inner]));
    y[i] = store<T>(best);
  }
}

template <class T>
__device__ void maxout_vjp(const T* g, const T* x, const T* y, T* dx, long long outer, long long k, long long inner) {
  using C = real<T>;
  const long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < outer * inner; i += threads) {
    const long long first = i / inner * k * inner + i % inner;
    const C best = load<C>(y[i]);
    C ties = C(0);
    for (long long j = 0; j < k; ++j) {
      const C v = load<C>(x[first + j * inner]);
      ties += v == best || v != v ? C(1) : C(0);
    }
    const C share = load<C>(g[i]) / ties;
    for (long long j = 0; j < k; ++j) {
      const C v = load<C>(x[first + j * inner]);
      dx[first + j * inner] = store<T>(v == best || v != v ? share : C(0));
    }
  }
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                          \
  extern "C" __global__ void gg_maxout_##tag(const T* x, T* y, long long outer, long long k, long long inner) {     \
    gg::maxout(x, y, outer, k, inner);                                                                              \
  }                                                                                                                 \
  extern "C" __global__ void gg_maxout_vjp_##tag(const T* g, const T* x, const T* y, T* dx, long long outer,        \
                                                 long long k, long long inner) {                                    \
    gg::maxout_vjp(g, x, y, dx, outer, k, inner);                                                                   \
  }
#include "instantiate.cuh"
