// Philox4x32-10, the counter-based generator of Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".
// Element i of a stream is word i % 4 of the block at counter `offset + i / 4`, under a 64-bit key (the seed), so any
// element can be recomputed from (seed, offset, i) on any device, in any order.
#ifndef GG_PHILOX_CUH
#define GG_PHILOX_CUH

namespace gg {

struct Four { unsigned word[4]; };

__device__ __forceinline__ Four philox(unsigned long long seed, unsigned long long counter) {
  unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
  Four c = {{(unsigned)counter, (unsigned)(counter >> 32), 0u, 0u}};
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned high0 = __umulhi(0xD2511F53u, c.word[0]), low0 = 0xD2511F53u * c.word[0];
    const unsigned high1 = __umulhi(0xCD9E8D57u, c.word[2]), low1 = 0xCD9E8D57u * c.word[2];
    c = {{high1 ^ c.word[1] ^ k0, low1, high0 ^ c.word[3] ^ k1, low0}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

}  // namespace gg

#endif
