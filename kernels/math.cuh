// The functions of the expression language that CUDA does not have, or has with other edge cases than NumPy.
// C is the compute type (float, double, or long long where a whole kernel is integer arithmetic).
#ifndef GG_MATH_CUH
#define GG_MATH_CUH
#include "types.cuh"

namespace gg {

__device__ __forceinline__ bool truth(bool v) { return v; }
template <class C> __device__ __forceinline__ bool truth(C v) { return v != C(0); }

template <class C> __device__ __forceinline__ C square(C x) { return x * x; }
template <class C> __device__ __forceinline__ C reciprocal(C x) { return C(1) / x; }
__device__ __forceinline__ float absolute(float x) { return fabsf(x); }
__device__ __forceinline__ double absolute(double x) { return fabs(x); }
__device__ __forceinline__ long long absolute(long long x) { return x < 0 ? -x : x; }

// A nan is its own sign, as in NumPy.
template <class C> __device__ __forceinline__ C sign(C x) {
  return x > C(0) ? C(1) : x < C(0) ? C(-1) : x == C(0) ? C(0) : x;
}
template <class C> __device__ __forceinline__ C relu(C x) { return x < C(0) ? C(0) : x; }

// maximum and minimum propagate nan; fmax and fmin, which CUDA has, ignore it.
template <class C> __device__ __forceinline__ C maximum(C a, C b) { return a > b || a != a ? a : b; }
template <class C> __device__ __forceinline__ C minimum(C a, C b) { return a < b || a != a ? a : b; }

// The exponential of a non-positive number only, so nothing overflows.
template <class C> __device__ __forceinline__ C sigmoid(C x) {
  const C e = exp(-absolute(x));
  return (x < C(0) ? e : C(1)) / (C(1) + e);
}
template <class C> __device__ __forceinline__ C softplus(C x) { return relu(x) + log1p(exp(-absolute(x))); }

template <class C> __device__ __forceinline__ C logaddexp(C a, C b) {
  if (a == b) return a + C(0.69314718055994530942);  // equal infinities have no difference
  const C d = a - b;
  return d != d ? d : maximum(a, b) + log1p(exp(-absolute(d)));
}
template <class C> __device__ __forceinline__ C logaddexp2(C a, C b) {
  if (a == b) return a + C(1);
  const C d = a - b;
  return d != d ? d : maximum(a, b) + C(1.44269504088896340736) * log1p(exp2(-absolute(d)));
}

template <class C> __device__ __forceinline__ C heaviside(C x, C at_zero) {
  return x > C(0) ? C(1) : x < C(0) ? C(0) : x == C(0) ? at_zero : x;
}

// Python's and NumPy's %: the result has the divisor's sign.
template <class C> __device__ __forceinline__ C remainder(C a, C b) {
  const C r = fmod(a, b);
  if (r == C(0)) return copysign(C(0), b);
  return (r < C(0)) != (b < C(0)) ? r + b : r;
}
template <class C> __device__ __forceinline__ C floor_divide(C a, C b) {
  if (b == C(0)) return a / b;
  const C r = fmod(a, b);
  C q = (a - r) / b;
  if (r != C(0) && (r < C(0)) != (b < C(0))) q -= C(1);
  if (q == C(0)) return copysign(C(0), a / b);
  const C whole = floor(q);  // a - r is a multiple of b, but its quotient may have been rounded
  return q - whole > C(0.5) ? whole + C(1) : whole;
}
// Integers: division by zero gives 0, as in NumPy.
__device__ __forceinline__ long long floor_divide(long long a, long long b) {
  if (b == 0) return 0;
  if (b == -1) return -a;
  const long long q = a / b;
  return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
}
__device__ __forceinline__ long long remainder(long long a, long long b) {
  return b == 0 || b == -1 ? 0 : a - floor_divide(a, b) * b;
}

// The derivative of lgamma: recurrence up to where the asymptotic series holds, reflection for negative x.
// Series: Abramowitz and Stegun 6.3.18. Zero gives -+inf, the poles below give nan.
template <class C> __device__ __forceinline__ C digamma(C x) {
  const C pi = C(3.14159265358979323846);
  if (x == C(0)) return copysign(infinity<C>(), -x);
  C shift = C(0);
  if (x < C(0)) {
    const C off = x - rint(x);
    if (off == C(0)) return quiet_nan<C>();
    shift = -pi / tan(pi * off);
    x = C(1) - x;
  }
  const C enough = sizeof(C) == 4 ? C(6) : C(10);
  for (; x < enough; x += C(1)) shift -= C(1) / x;
  const C i = C(1) / (x * x);
  const C tail = i * (C(0.08333333333333333333) - i * (C(0.00833333333333333333) - i * (C(0.00396825396825396825) -
                 i * (C(0.00416666666666666667) - i * (C(0.00757575757575757576) - i * (C(0.02109279609279609280) -
                 i * C(0.08333333333333333333)))))));
  return x == infinity<C>() ? x : shift + log(x) - C(0.5) / x - tail;
}

}  // namespace gg

#endif
