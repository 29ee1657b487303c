// bfloat16 with the constructors and conversions that CuPy's `bfloat16` is written with; the bits by `hostexec`.
#pragma once
#define __nv_bfloat16 gg_bfloat_bits
#define __bfloat162float gg_bfloat_to_float
#define __float2bfloat16_rn gg_float_to_bfloat
#define __float2bfloat16 gg_float_to_bfloat_too
#include "../../cuda/hostexec/include/cuda_bf16.h"
#undef __nv_bfloat16
#undef __bfloat162float
#undef __float2bfloat16_rn
#undef __float2bfloat16

struct __nv_bfloat16 {
  unsigned short bits;
  __nv_bfloat16() {}
  __nv_bfloat16(float v) : bits(gg_float_to_bfloat(v).bits) {}
  operator float() const { gg_bfloat_bits b = {bits}; return gg_bfloat_to_float(b); }
};

static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 h) { return h.bits; }
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short v) { __nv_bfloat16 h; h.bits = v; return h; }
static inline bool __hisnan(__nv_bfloat16 h) { return __builtin_isnan(float(h)); }
static inline bool __hisinf(__nv_bfloat16 h) { return __builtin_isinf(float(h)); }
static inline float __bfloat162float(__nv_bfloat16 h) { return h; }
static inline __nv_bfloat16 __float2bfloat16_rn(float v) { return v; }
static inline __nv_bfloat16 __float2bfloat16(float v) { return v; }
