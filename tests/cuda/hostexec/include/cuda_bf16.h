// bfloat16 on the host: storage and the two conversions that the kernels use (they compute in float).
#pragma once
#include <string.h>

struct __nv_bfloat16 { unsigned short bits; };

static inline float __bfloat162float(__nv_bfloat16 h) {
  unsigned u = (unsigned)h.bits << 16; float f; memcpy(&f, &u, 4); return f;
}

// Round to nearest, ties to even.
static inline __nv_bfloat16 __float2bfloat16_rn(float f) {
  unsigned u; memcpy(&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {(unsigned short)0x7fff};
  return {(unsigned short)((u + 0x7fffu + (u >> 16 & 1)) >> 16)};
}
static inline __nv_bfloat16 __float2bfloat16(float f) { return __float2bfloat16_rn(f); }
