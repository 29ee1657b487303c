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
// block a row (block (32 k,), grid (rows,)). The maximum and the sum are found in one pass, rescaling as it goes. A row
// with +inf or nan has no softmax: it is nan throughout.
#include "reduce.cuh"

namespace gg {

// The maximum m of what was seen and the sum of exp(x - m).
template <class C> struct MaxSum {
  C m, s;
  __device__ __forceinline__ void add(C x) {
    if (x > m) {
      s = s * exp(m - x) + C(1);
      m = x;
    } else {
      s += x == m ? C(1) : exp(x - m);  // equal infinities have no difference
    }
  }
};
template <class C> __device__ __forceinline__ MaxSum<C> exchange(MaxSum<C> v, int lanes) {
  return {exchange(v.m, lanes), exchange(v.s, lanes)};
}
struct MergeMaxSum {
  template <class C> static __device__ __forceinline__ MaxSum<C> combine(MaxSum<C> a, MaxSum<C> b) {
    const C m = maximum(a.m, b.m);
    return {m, a.s * (a.m == m ? C(1) : exp(a.m - m)) + b.s * (b.m == m ? C(1) : exp(b.m - m))};
  }
};

template <class By, class T> __device__ __forceinline__ MaxSum<real<T>> max_sum(const T* x, long long columns) {
  MaxSum<real<T>> v = {-infinity<real<T>>(), real<T>(0)};
  for (long long c = By::rank(); c < columns; c += By::size()) v.add(load<real<T>>(x[c]));
  return By::template reduce<MergeMaxSum, MaxSum<real<T>>>(v);
}

// The sum of a row's softmax, nan where there is none: equal infinities count as 1 for logsumexp only.
template <class C> __device__ __forceinline__ C finite_sum(MaxSum<C> v) {
  return v.m == infinity<C>() ? quiet_nan<C>() : v.s;
}

template <class By, class T> __device__ void softmax(const T* x, T* y, long long rows, long long columns) {
  const long long row = By::row();
  if (row >= rows) return;
  x += row * columns;
  y += row * columns;
  const MaxSum<real<T>> v = max_sum<By>(x, columns);
  const real<T> sum = finite_sum(v);
  for (long long c = By::rank(); c < columns; c += By::size()) y[c] = store<T>(exp(load<real<T>>(x[c]) - v.m) / sum);
}

template <class By, class T> __device__ void log_softmax(const T* x, T* y, long long rows, long long columns) {
  const long long row = By::row();
  if (row >= rows) return;
  x += row * columns;
  y += row * columns;
  const MaxSum<real<T>> v = max_sum<By>(x, columns);
  const real<T> log_sum = log(finite_sum(v));
  for (long long c = By::rank(); c < columns; c += By::size()) y[c] = store<T>(load<real<T>>(x[c]) - v.m - log_sum);
}

template <class By, class T> __device__ void logsumexp(const T* x, T* y, long long rows, long long columns) {
  const long long row = By::row();
  if (row >= rows) return;
  const MaxSum<real<T>> v = max_sum<By>(x + row * columns, columns);
  if (By::rank() == 0) y[row] = store<T>(v.m + log(v.s));
}

template <class By, class T>
__device__ void softmax_vjp(const T* g, const T* y, T* dx, long long rows, long long columns) {
  using C = real<T>;
  const long long row = By::row();
  if (row >= rows) return;
  g += row * columns;
  y += row * columns;
  dx += row * columns;
  C dot = C(0);
  for (long long c = By::rank(); c < columns; c += By::size()) dot += load<C>(g[c]) * load<C>(y[c]);
  dot = By::sum(dot);
  for (long long c = By::rank(); c < columns; c += By::size())
    dx[c] = store<T>(load<C>(y[c]) * (load<C>(g[c]) - dot));
}

template <class By, class T>
__device__ void log_softmax_vjp(const T* g, const T* y, T* dx, long long rows, long long columns) {
  using C = real<T>;
  const long long row = By::row();
  if (row >= rows) return;
  g += row * columns;
  y += row * columns;
  dx += row * columns;
  C sum = C(0);
  for (long long c = By::rank(); c < columns; c += By::size()) sum += load<C>(g[c]);
  sum = By::sum(sum);
  for (long long c = By::rank(); c < columns; c += By::size())
    dx[c] = store<T>(load<C>(g[c]) - exp(load<C>(y[c])) * sum);
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
