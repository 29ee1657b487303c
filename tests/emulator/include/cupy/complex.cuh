// In the place of CuPy's complex numbers, which are Thrust's: as much as its kernels for our tests use.
#pragma once
#include <stdint.h>

namespace thrust {

template <class T> struct complex {
  T re, im;
  complex(T re = 0, T im = 0) : re(re), im(im) {}
  template <class U> complex(const complex<U>& o) : re(o.real()), im(o.imag()) {}
  T real() const { return re; }
  T imag() const { return im; }
  void real(T v) { re = v; }
  void imag(T v) { im = v; }
  complex& operator+=(complex o) { re += o.re; im += o.im; return *this; }
  complex& operator-=(complex o) { re -= o.re; im -= o.im; return *this; }
  complex& operator*=(complex o) { return *this = complex(re * o.re - im * o.im, re * o.im + im * o.re); }
  complex& operator/=(complex o) {
    const T d = o.re * o.re + o.im * o.im;
    return *this = complex((re * o.re + im * o.im) / d, (im * o.re - re * o.im) / d);
  }
};

#define EMULATOR_OPERATOR(op) \
  template <class T> complex<T> operator op(complex<T> a, complex<T> b) { return a op##= b; } \
  template <class T> complex<T> operator op(T a, complex<T> b) { return complex<T>(a) op##= b; } \
  template <class T> complex<T> operator op(complex<T> a, T b) { return a op##= complex<T>(b); }
EMULATOR_OPERATOR(+) EMULATOR_OPERATOR(-) EMULATOR_OPERATOR(*) EMULATOR_OPERATOR(/)
template <class T> complex<T> operator-(complex<T> a) { return complex<T>(-a.re, -a.im); }
template <class T> bool operator==(complex<T> a, complex<T> b) { return a.re == b.re && a.im == b.im; }
template <class T> bool operator!=(complex<T> a, complex<T> b) { return !(a == b); }
template <class T> T real(complex<T> a) { return a.re; }
template <class T> T imag(complex<T> a) { return a.im; }
template <class T> T norm(complex<T> a) { return a.re * a.re + a.im * a.im; }
template <class T> T abs(complex<T> a) { return hypot(a.re, a.im); }
template <class T> T arg(complex<T> a) { return atan2(a.im, a.re); }
template <class T> complex<T> conj(complex<T> a) { return complex<T>(a.re, -a.im); }
template <class T> complex<T> exp(complex<T> a) {
  const T size = ::exp(a.re);
  return complex<T>(size * ::cos(a.im), size * ::sin(a.im));
}
template <class T> complex<T> log(complex<T> a) { return complex<T>(::log(abs(a)), arg(a)); }
template <class T> complex<T> sqrt(complex<T> a) {
  const T size = abs(a), im = ::sqrt((size - a.re) / 2);
  return complex<T>(::sqrt((size + a.re) / 2), a.im < 0 ? -im : im);
}
template <class T> complex<T> sin(complex<T> a) {
  return complex<T>(::sin(a.re) * ::cosh(a.im), ::cos(a.re) * ::sinh(a.im));
}
template <class T> complex<T> cos(complex<T> a) {
  return complex<T>(::cos(a.re) * ::cosh(a.im), -::sin(a.re) * ::sinh(a.im));
}
template <class T> complex<T> pow(complex<T> a, complex<T> b) { return exp(b * log(a)); }
template <class T> bool isnan(complex<T> a) { return ::isnan(a.re) || ::isnan(a.im); }
template <class T> bool isinf(complex<T> a) { return ::isinf(a.re) || ::isinf(a.im); }
template <class T> bool isfinite(complex<T> a) { return ::isfinite(a.re) && ::isfinite(a.im); }

}  // namespace thrust

using thrust::complex; using thrust::real; using thrust::imag; using thrust::norm; using thrust::abs;
using thrust::arg; using thrust::conj; using thrust::exp; using thrust::log; using thrust::sqrt; using thrust::sin;
using thrust::cos; using thrust::pow; using thrust::isnan; using thrust::isinf; using thrust::isfinite;
