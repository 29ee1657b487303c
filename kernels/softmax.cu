// Softmax, log-softmax and logsumexp over rows, and their vector-Jacobian products.
//
//   softmax(x, y, rows, columns)                y = exp(x) / sum exp(x)
//   log_softmax(x, y, rows, columns)            y = x - logsumexp(x)
//   logsumexp(x, y, rows, columns)              y[row] = log sum exp(x)
//   softmax_vjp(g, y, dx, rows, columns)        dx = y (g - sum g y)
//   log_softmax_vjp(g, y, dx, rows, columns)    dx = g - exp(y) sum g
//
// Arrays are C-contiguous (rows, columns), or (rows,) where written [row]; rows and columns are long long. Each in two
// forms: `_warp`, one warp a row, for up to about 1024 columns (block (32 k,), grid (ceil(rows / k),)); `_block`, one
// block a row (block (32 k,), grid (rows,)). Rows are read once (rows.cuh); of those that no registers hold, the maximum
// and the sum are found in one pass, rescaling as it goes. A row with +inf or nan has no softmax: it is nan throughout.
#include "rows.cuh"

namespace gg {

// The sum of a row's softmax, nan where there is none: equal infinities count as 1 for logsumexp only.
template <class C> __device__ __forceinline__ C finite_sum(MaxSum<C> v) {
  return v.m == infinity<C>() ? quiet_nan<C>() : v.s;
}

template <class By, class T> __device__ void softmax(const T* x, T* y, long long rows, long long columns) {
  using C = real<T>;
  const long long row = By::row();
  if (row >= rows) return;
  Line<By, T, 1> line({x}, row, columns, y);
  const MaxSum<C> v = max_sum(line);
  const C share = C(1) / finite_sum(v);
  line.write(y + row * columns, [=](const C* x, long long, int) { return exp(x[0] - v.m) * share; });
}

template <class By, class T> __device__ void log_softmax(const T* x, T* y, long long rows, long long columns) {
  using C = real<T>;
  const long long row = By::row();
  if (row >= rows) return;
  Line<By, T, 1> line({x}, row, columns, y);
  const MaxSum<C> v = max_sum(line);
  const C log_sum = log(finite_sum(v));
  line.write(y + row * columns, [=](const C* x, long long, int) { return x[0] - v.m - log_sum; });
}

template <class By, class T> __device__ void logsumexp(const T* x, T* y, long long rows, long long columns) {
  using C = real<T>;
  const long long row = By::row();
  if (row >= rows) return;
  Line<By, T, 1> line({x}, row, columns, nullptr);
  const MaxSum<C> v = max_sum(line);
  if (By::rank() == 0) y[row] = store<T>(v.m + log(v.s));
}

template <class By, class T>
__device__ void softmax_vjp(const T* g, const T* y, T* dx, long long rows, long long columns) {
  using C = real<T>;
  const long long row = By::row();
  if (row >= rows) return;
  Line<By, T, 2> line({g, y}, row, columns, dx);
  C dot = C(0);
  line.each([&](const C* v, long long, int) { dot += v[0] * v[1]; });
  dot = By::sum(dot);
  line.write(dx + row * columns, [=](const C* v, long long, int) { return v[1] * (v[0] - dot); });
}

template <class By, class T>
__device__ void log_softmax_vjp(const T* g, const T* y, T* dx, long long rows, long long columns) {
  using C = real<T>;
  const long long row = By::row();
  if (row >= rows) return;
  Line<By, T, 2> line({g, y}, row, columns, dx);
  C sum = C(0);
  line.each([&](const C* v, long long, int) { sum += v[0]; });
  sum = By::sum(sum);
  line.write(dx + row * columns, [=](const C* v, long long, int) { return v[0] - exp(v[1]) * sum; });
}

}  // namespace gg

#define GG_ONE(way, By, T, tag)                                                                             \
  extern "C" __global__ void gg_softmax_##way##_##tag(const T* x, T* y, long long rows, long long columns) {     \
    gg::softmax<By>(x, y, rows, columns);                                                                        \
  }                                                                                                              \
  extern "C" __global__ void gg_log_softmax_##way##_##tag(const T* x, T* y, long long rows, long long columns) { \
    gg::log_softmax<By>(x, y, rows, columns);                                                                    \
  }                                                                                                              \
  extern "C" __global__ void gg_logsumexp_##way##_##tag(const T* x, T* y, long long rows, long long columns) {   \
    gg::logsumexp<By>(x, y, rows, columns);                                                                      \
  }                                                                                                              \
  extern "C" __global__ void gg_softmax_vjp_##way##_##tag(const T* g, const T* y, T* dx, long long rows,         \
                                                          long long columns) {                                   \
    gg::softmax_vjp<By>(g, y, dx, rows, columns);                                                                \
  }                                                                                                              \
  extern "C" __global__ void gg_log_softmax_vjp_##way##_##tag(const T* g, const T* y, T* dx, long long rows,     \
                                                              long long columns) {                               \
    gg::log_softmax_vjp<By>(g, y, dx, rows, columns);                                                            \
  }
#define GG_ENTRIES(T, tag) GG_ONE(warp, gg::Team<false>, T, tag) GG_ONE(block, gg::Team<true>, T, tag)
#include "instantiate.cuh"
#undef GG_ONE
