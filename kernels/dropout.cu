// Dropout whose mask is computed, never stored, and is the same on every device. With the offset of the call, element i
// has the number e = offset + i in the stream of the seed and takes 32 bits u of word e / 2: the low half for an even
// e, the high half for an odd one (stream.cuh). It is kept where u >= threshold = min(round(p 2^32), 2^32 - 1). The
// vector-Jacobian product is the same kernel on the cotangent.
//
//   dropout(x, y, n, state, skip, threshold, scale)     y = kept ? x scale : 0,  scale = 1 / (1 - p)
//
// x, y: n elements in one order (they may be one array); state: two unsigned long long in device memory, the seed and
// the offset (so that a replayed graph draws a new mask); skip: unsigned long long added to the offset; threshold:
// unsigned; scale: compute type; n: long long. Block (k,), grid of any size; a thread has 16 bytes of elements at a time.
#include "stream.cuh"

namespace gg {

template <class T, class C>
__device__ void dropout(const T* x, T* y, long long n, const unsigned long long* state, unsigned long long skip,
                        unsigned threshold, C scale) {
  constexpr int W = 16 / sizeof(T);
  const unsigned long long key = mix(state[0]), first = state[1] + skip;
  const int odd = first & 1;  // the first word's low half belongs to the call before
  const bool whole = !odd && ((unsigned long long)x | (unsigned long long)y) % 16 == 0;
  const long long threads = (long long)gridDim.x * blockDim.x;
  for (long long q = (long long)blockIdx.x * blockDim.x + threadIdx.x; q * W < n + odd; q += threads) {
    const long long at = q * W - odd;
    bool keep[W];
#pragma unroll
    for (int k = 0; k < W; k += 2) {
      const unsigned long long j = (first >> 1) + q * (W / 2) + k / 2;
      const unsigned long long word = word_of(key, j);
      keep[k] = (unsigned)word >= threshold;
      keep[k + 1] = (unsigned)(word >> 32) >= threshold;
    }
    if (whole && at + W <= n) {
      Pack<T, W> v(x + at);
#pragma unroll
      for (int k = 0; k < W; ++k) v.v[k] = store<T>(keep[k] ? load<C>(v.v[k]) * scale : C(0));
      v.to(y + at);
    } else {
#pragma unroll
      for (int k = 0; k < W; ++k) {
        const long long i = at + k;
        if (i >= 0 && i < n) y[i] = store<T>(keep[k] ? load<C>(x[i]) * scale : C(0));
      }
    }
  }
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                            \
  extern "C" __global__ void gg_dropout_##tag(const T* x, T* y, long long n, const unsigned long long* state,         \
                                              unsigned long long skip, unsigned threshold, gg::real<T> scale) {       \
    gg::dropout(x, y, n, state, skip, threshold, scale);                                                              \
  }
#include "instantiate.cuh"
