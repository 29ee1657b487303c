// IEEE half with the constructors and conversions that CuPy's `float16` is written with; the bits by `hostexec`.
#pragma once
#define __half gg_half_bits
#define __half2float gg_half_to_float
#define __float2half_rn gg_float_to_half
#define __float2half gg_float_to_half_too
#include "../../cuda/hostexec/include/cuda_fp16.h"
#undef __half
#undef __half2float
#undef __float2half_rn
#undef __float2half

struct __half_raw { unsigned short x; };

struct __half {
  unsigned short bits;
  __half() {}
  __half(float v) : bits(gg_float_to_half(v).bits) {}
  template <class T> explicit __half(T v) : __half(float(v)) {}
  explicit __half(const __half_raw& raw) : bits(raw.x) {}
  operator float() const { gg_half_bits b = {bits}; return gg_half_to_float(b); }
  operator __half_raw() const { __half_raw raw = {bits}; return raw; }
};
typedef __half half;

static inline unsigned short __half_as_ushort(__half h) { return h.bits; }
static inline __half __ushort_as_half(unsigned short v) { __half_raw raw = {v}; return __half(raw); }
static inline float __half2float(__half h) { return h; }
static inline __half __float2half_rn(float v) { return v; }
static inline __half __float2half(float v) { return v; }
