// Storage types and the types that kernels compute in: half and bfloat16 are loaded into float, float and double
// compute as themselves. GG_HALF and GG_BFLOAT16 are defined where a source needs them, so that a float32 kernel
// includes no header at all.
#ifndef GG_TYPES_CUH
#define GG_TYPES_CUH
#ifdef GG_HALF
#include <cuda_fp16.h>
#endif
#ifdef GG_BFLOAT16
#include <cuda_bf16.h>
#endif

namespace gg {

template <class T> struct Compute { using type = float; };
template <> struct Compute<double> { using type = double; };
template <class T> using real = typename Compute<T>::type;

// load<C>(value): a stored value as the compute type C; store<T>(value): back, rounded to nearest.
template <class C, class T> __device__ __forceinline__ C load(T v) { return static_cast<C>(v); }
template <class T> struct Stored {
  template <class C> static __device__ __forceinline__ T from(C v) { return static_cast<T>(v); }
};
template <> struct Stored<bool> {
  template <class C> static __device__ __forceinline__ bool from(C v) { return v != C(0); }
};
#ifdef GG_HALF
template <class C> __device__ __forceinline__ C load(__half v) { return static_cast<C>(__half2float(v)); }
template <> struct Stored<__half> {
  template <class C> static __device__ __forceinline__ __half from(C v) {
    return __float2half_rn(static_cast<float>(v));
  }
};
#endif
#ifdef GG_BFLOAT16
template <class C> __device__ __forceinline__ C load(__nv_bfloat16 v) { return static_cast<C>(__bfloat162float(v)); }
template <> struct Stored<__nv_bfloat16> {
  template <class C> static __device__ __forceinline__ __nv_bfloat16 from(C v) {
    return __float2bfloat16_rn(static_cast<float>(v));
  }
};
#endif
template <class T, class C> __device__ __forceinline__ T store(C v) { return Stored<T>::from(v); }

// Several stored values that move as one access of at most 16 bytes. Stored with __stwb, an ordinary write-back store
// that stays whole: the compiler was seen to split a plain assignment into one store a member.
template <int Bytes> struct Word;
template <> struct Word<1> { using type = unsigned char; };
template <> struct Word<2> { using type = unsigned short; };
template <> struct Word<4> { using type = unsigned; };
template <> struct Word<8> { using type = uint2; };
template <> struct Word<16> { using type = uint4; };
template <class T, int W> union Pack {
  typename Word<sizeof(T) * W>::type word;
  T v[W];
  __device__ __forceinline__ Pack() {}
  __device__ __forceinline__ explicit Pack(const T* from) : word(*reinterpret_cast<const decltype(word)*>(from)) {}
  __device__ __forceinline__ void to(T* at) const { __stwb(reinterpret_cast<decltype(word)*>(at), word); }
  // The same where the cache has better things to keep.
  __device__ __forceinline__ void last_to(T* at) const { __stcs(reinterpret_cast<decltype(word)*>(at), word); }
};

// NVRTC has no <math.h>, hence no INFINITY.
template <class C> __device__ __forceinline__ C infinity();
template <> __device__ __forceinline__ float infinity<float>() { return __int_as_float(0x7f800000); }
template <> __device__ __forceinline__ double infinity<double>() {
  return __longlong_as_double(0x7ff0000000000000LL);
}
template <class C> __device__ __forceinline__ C quiet_nan();
template <> __device__ __forceinline__ float quiet_nan<float>() { return __int_as_float(0x7fc00000); }
template <> __device__ __forceinline__ double quiet_nan<double>() {
  return __longlong_as_double(0x7ff8000000000000LL);
}

}  // namespace gg

#endif
