// The stream of random words that dropout and random numbers share, the same on every device. Modulo 2^64,
//
//   word j = mix(mix(seed) + (j + 1) 0x9E3779B97F4A7C15)
//
// which is SplitMix64 (Steele, Lea and Flood, 2014) read at any counter.
#ifndef GG_STREAM_CUH
#define GG_STREAM_CUH
#include "types.cuh"

namespace gg {

__device__ __forceinline__ unsigned long long mix(unsigned long long z) {
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
  return z ^ z >> 31;
}

__device__ __forceinline__ unsigned long long word_of(unsigned long long key, unsigned long long j) {
  return mix(key + (j + 1) * 0x9E3779B97F4A7C15ULL);
}

}  // namespace gg

#endif
