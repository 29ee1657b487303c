// IEEE half on the host: storage and the two conversions that the kernels use (they compute in float).
#pragma once
#include <string.h>

struct __half { unsigned short bits; };

static inline float __half2float(__half h) {
  unsigned sign = (h.bits & 0x8000u) << 16, exponent = h.bits >> 10 & 31, mantissa = h.bits & 1023, out;
  if (exponent == 31) out = sign | 0x7f800000u | mantissa << 13;
  else if (exponent) out = sign | (exponent + 112) << 23 | mantissa << 13;
  else {  // zero and subnormals: mantissa * 2^-24, exactly
    float v = (float)mantissa * 5.9604644775390625e-8f;
    memcpy(&out, &v, 4);
    out |= sign;
  }
  float f; memcpy(&f, &out, 4); return f;
}

// Round to nearest, ties to even.
static inline __half __float2half_rn(float f) {
  unsigned u; memcpy(&u, &f, 4);
  unsigned sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return {(unsigned short)0x7fff};
  if (a >= 0x477ff000u) return {(unsigned short)(sign | 0x7c00u)};
  if (a < 0x38800000u) {  // below the smallest normal half: adding 0.5 makes the hardware round at 2^-24
    float v; memcpy(&v, &a, 4); v += 0.5f;
    unsigned r; memcpy(&r, &v, 4);
    return {(unsigned short)(sign | (r - 0x3f000000u))};
  }
  unsigned r = a - 0x38000000u + 0xfffu + (a >> 13 & 1);
  return {(unsigned short)(sign | r >> 13)};
}
static inline __half __float2half(float f) { return __float2half_rn(f); }
