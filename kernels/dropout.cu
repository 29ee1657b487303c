// Dropout whose mask is recomputed, never stored: element i is kept if word i % 4 of Philox4x32-10 at counter
// offset + i / 4 under the key `seed` is at least `threshold` = round(p 2^32). The vector-Jacobian product is the same
// kernel on the cotangent.
//
//   dropout(x, y, n, state, skip, threshold, scale)     y = kept ? x scale : 0,  scale = 1 / (1 - p)
//
// x, y: n elements in one order (they may be one array); state: two unsigned long long in device memory, the seed and
// the offset (so that a replayed graph draws a new mask); skip: unsigned long long added to the offset; threshold:
// unsigned long long, 0 to 2^32; scale: compute type; n: long long. Block (k,), grid of any size.
#include "philox.cuh"
#include "types.cuh"

namespace gg {

template <class T, class C>
__device__ void dropout(const T* x, T* y, long long n, const unsigned long long* state, unsigned long long skip,
                        unsigned long long threshold, C scale) {
  const unsigned long long seed = state[0], offset = state[1] + skip;
  const long long threads = (long long)gridDim.x * blockDim.x;
  for (long long q = (long long)blockIdx.x * blockDim.x + threadIdx.x; 4 * q < n; q += threads) {
    const Four random = philox(seed, offset + q);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const long long i = 4 * q + k;
      if (i < n) y[i] = store<T>(random.word[k] >= threshold ? load<C>(x[i]) * scale : C(0));
    }
  }
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                            \
  extern "C" __global__ void gg_dropout_##tag(const T* x, T* y, long long n, const unsigned long long* state,         \
                                              unsigned long long skip, unsigned long long threshold,                  \
                                              gg::real<T> scale) {                                                    \
    gg::dropout(x, y, n, state, skip, threshold, scale);                                                              \
  }
#include "instantiate.cuh"
