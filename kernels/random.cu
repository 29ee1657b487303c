// Random numbers from the words of stream.cuh: element i of a call depends on the seed, the offset and i alone.
//
//   uniform(y, n, state, skip, low, width)      y = low + width u, u a multiple of 2^-d in [0, 1) where d is what the
//       storage type can tell apart (24, 53, 11 and 8 bits), so that no u is rounded up to 1
//   normal(y, n, state, skip, mean, deviation)  y = mean + deviation z, two z from two uniform numbers (Box and Muller,
//       1958): sqrt(-2 log u) cos(2 pi v) and sin(2 pi v), with u in (0, 1]
//   integers(y, n, state, skip, low, range)     y = low + floor(word range / 2^64): of 2^64 words no integer has more
//       than one more than another
//
// A number of 32 bits is half a word (the low one for an even element, as in dropout), one of 64 bits a whole one: a call
// for n numbers takes n of the stream's 32-bit numbers, for double and integers 2 n. y: n elements, long long for integers;
// state: two unsigned long long in device memory, the seed and the offset in 32-bit numbers, which is even (so that a
// replayed graph draws new numbers); skip: unsigned long long added to the offset, even; low, width, mean, deviation:
// compute type; low and range of integers: long long and unsigned long long; n: long long. Block (k,), grid of any size.
#include "stream.cuh"

namespace gg {

#if defined(GG_HALF)
constexpr int digits = 11;
#elif defined(GG_BFLOAT16)
constexpr int digits = 8;
#else
constexpr int digits = 24;  // double has a whole word for each number
#endif

template <class C> __device__ __forceinline__ C two_pi();
template <> __device__ __forceinline__ float two_pi<float>() { return 6.2831855f; }
#ifdef GG_DOUBLE
template <> __device__ __forceinline__ double two_pi<double>() { return 6.283185307179586; }
#endif

// make(word j of the call) for each of `count` words, spread over the grid.
template <class F>
__device__ __forceinline__ void each_word(long long count, const unsigned long long* state, unsigned long long skip,
                                          F make) {
  const unsigned long long key = mix(state[0]), first = (state[1] + skip) >> 1;
  const long long threads = (long long)gridDim.x * blockDim.x;
  for (long long j = (long long)blockIdx.x * blockDim.x + threadIdx.x; j < count; j += threads) make(j, key, first);
}

template <class T, class C>
__device__ void uniform(T* y, long long n, const unsigned long long* state, unsigned long long skip, C low, C width) {
  if constexpr (sizeof(C) == 8) {
    each_word(n, state, skip, [=](long long j, unsigned long long key, unsigned long long first) {
      y[j] = store<T>(low + width * (C(word_of(key, first + j) >> 11) * C(1.0 / (1ULL << 53))));
    });
  } else {
    each_word((n + 1) / 2, state, skip, [=](long long j, unsigned long long key, unsigned long long first) {
      const unsigned long long word = word_of(key, first + j);
      const unsigned halves[2] = {(unsigned)word, (unsigned)(word >> 32)};
      for (int k = 0; k < 2; ++k)
        if (2 * j + k < n)
          y[2 * j + k] = store<T>(low + width * (C(halves[k] >> (32 - digits)) * C(1.0f / (1 << digits))));
    });
  }
}

template <class T, class C>
__device__ void normal(T* y, long long n, const unsigned long long* state, unsigned long long skip, C mean,
                       C deviation) {
  each_word((n + 1) / 2, state, skip, [=](long long j, unsigned long long key, unsigned long long first) {
    C u, v;
    if constexpr (sizeof(C) == 8) {
      u = C((word_of(key, first + 2 * j) >> 11) + 1) * C(1.0 / (1ULL << 53));
      v = C(word_of(key, first + 2 * j + 1) >> 11) * C(1.0 / (1ULL << 53));
    } else {
      const unsigned long long word = word_of(key, first + j);
      // All 32 bits go into u, whose smallest values make the largest numbers: up to 6.7 deviations.
      u = C((unsigned)word) * C(2.3283064e-10f) + C(1.1641532e-10f);
      v = C((unsigned)(word >> 40)) * C(1.0f / (1 << 24));
    }
    const C radius = deviation * sqrt(C(-2) * log(u)), angle = two_pi<C>() * v;
    y[2 * j] = store<T>(mean + radius * cos(angle));
    if (2 * j + 1 < n) y[2 * j + 1] = store<T>(mean + radius * sin(angle));
  });
}

__device__ __forceinline__ unsigned long long high_of_product(unsigned long long a, unsigned long long b) {
  const unsigned long long al = (unsigned)a, ah = a >> 32, bl = (unsigned)b, bh = b >> 32;
  const unsigned long long middle = ah * bl + (al * bl >> 32), other = al * bh + (unsigned)middle;
  return ah * bh + (middle >> 32) + (other >> 32);
}

__device__ void integers(long long* y, long long n, const unsigned long long* state, unsigned long long skip,
                         long long low, unsigned long long range) {
  each_word(n, state, skip, [=](long long j, unsigned long long key, unsigned long long first) {
    y[j] = (long long)((unsigned long long)low + high_of_product(word_of(key, first + j), range));
  });
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                          \
  extern "C" __global__ void gg_uniform_##tag(T* y, long long n, const unsigned long long* state,                   \
                                              unsigned long long skip, gg::real<T> low, gg::real<T> width) {        \
    gg::uniform(y, n, state, skip, low, width);                                                                     \
  }                                                                                                                 \
  extern "C" __global__ void gg_normal_##tag(T* y, long long n, const unsigned long long* state,                    \
                                             unsigned long long skip, gg::real<T> mean, gg::real<T> deviation) {    \
    gg::normal(y, n, state, skip, mean, deviation);                                                                 \
  }                                                                                                                 \
  extern "C" __global__ void gg_integers_##tag(long long* y, long long n, const unsigned long long* state,          \
                                               unsigned long long skip, long long low, unsigned long long range) {  \
    gg::integers(y, n, state, skip, low, range);                                                                    \
  }
#include "instantiate.cuh"
