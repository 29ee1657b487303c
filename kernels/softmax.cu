// Softmax, log-softmax and logsumexp over rows, and their vector-Jacobian products.
//
//   softmax(x, y, rows, columns)                y = exp(x) / sum exp(x)
//   softmax_causal(x, y, rows, columns, queries, first)
//                                               likewise of the first n elements of each row, 0 behind them:
//                                               n = first + row % queries + 1, columns at most
//   log_softmax(x, y, rows, columns)            y = x - logsumexp(x)
//   logsumexp(x, y, rows, columns)              y[row] = log sum exp(x)
//   softmax_vjp(g, y, dx, rows, columns)        dx = y (g - sum g y)
//   log_softmax_vjp(g, y, dx, rows, columns)    dx = g - exp(y) sum g
//
// Arrays are C-contiguous (rows, columns), or (rows,) where written [row]; rows and columns are long long. Each in all
// forms of rows.cuh, which read a row once. What the shared form must have room for: x (softmax, log_softmax), g and y
// (softmax_vjp), g (log_softmax_vjp), as x of softmax (softmax_causal, of rows that its shape bounds), nothing (logsumexp).
// A row with +inf or nan has no softmax: it is nan throughout.
#include "rows.cuh"

namespace gg {

template <class By, class T> __device__ void softmax(const T* x, T* y, long long rows, long long columns) {
  using C = real<T>;
  for (long long row = By::row(); By::any(row, rows); row += By::apart()) {
    Line<By, T, 1> line({x}, row, rows, columns, y);
    const MaxSum<C> v = max_sum<By, true>(line);
    const C share = C(1) / finite_sum(v);
    constexpr bool exps = Line<By, T, 1>::Held > 0;  // registers have them by now
    line.write(y + row * columns, [=](const C* x, long long, int) {
      return (exps ? x[0] : exponential<T>(x[0] - v.m)) * share;
    });
  }
}

template <class By, class T>
__device__ void softmax_causal(const T* x, T* y, long long rows, long long columns, long long queries, long long first) {
  using C = real<T>;
  constexpr bool exps = Line<By, T, 1>::Held > 0;
  constexpr int W = 16 / sizeof(T);
  for (long long row = By::row(); By::any(row, rows); row += By::apart()) {
    const long long at = row * columns, seen = first + row % queries + 1;
    // Registers take whole packs, of which what is hidden counts for nothing.
    const long long end = exps ? (seen + W - 1) / W * W : seen, length = end < columns ? end : columns;
    Line<By, T, 1> line({x + at}, 0, row < rows, length, y + at);
    if (exps) line.each([=](C* v, long long column, int) { v[0] = column < seen ? v[0] : -infinity<C>(); });
    const MaxSum<C> v = max_sum<By, true>(line);
    const C share = C(1) / finite_sum(v);
    line.write(y + at, [=](const C* x, long long, int) { return (exps ? x[0] : exponential<T>(x[0] - v.m)) * share; });
    for (long long column = length + By::rank(); row < rows && column < columns; column += By::size())
      y[at + column] = store<T>(C(0));
  }
}

template <class By, class T> __device__ void log_softmax(const T* x, T* y, long long rows, long long columns) {
  using C = real<T>;
  for (long long row = By::row(); By::any(row, rows); row += By::apart()) {
    Line<By, T, 1> line({x}, row, rows, columns, y);
    const MaxSum<C> v = max_sum<By, false>(line);
    const C log_sum = log(finite_sum(v));
    line.write(y + row * columns, [=](const C* x, long long, int) { return x[0] - v.m - log_sum; });
  }
}

template <class By, class T> __device__ void logsumexp(const T* x, T* y, long long rows, long long columns) {
  using C = real<T>;
  for (long long row = By::row(); By::any(row, rows); row += By::apart()) {
    Line<By, T, 1> line({x}, row, rows, columns, nullptr);
    const MaxSum<C> v = max_sum<By, false>(line);
    if (By::rank() == 0 && row < rows) y[row] = store<T>(v.m + log(v.s));
  }
}

template <class By, class T>
__device__ void softmax_vjp(const T* g, const T* y, T* dx, long long rows, long long columns) {
  using C = real<T>;
  for (long long row = By::row(); By::any(row, rows); row += By::apart()) {
    Line<By, T, 2> line({g, y}, row, rows, columns, dx);
    C dot = C(0);
    line.each([&](const C* v, long long, int) { dot += v[0] * v[1]; });
    dot = By::sum(dot);
    line.write(dx + row * columns, [=](const C* v, long long, int) { return v[1] * (v[0] - dot); });
  }
}

template <class By, class T>
__device__ void log_softmax_vjp(const T* g, const T* y, T* dx, long long rows, long long columns) {
  using C = real<T>;
  for (long long row = By::row(); By::any(row, rows); row += By::apart()) {
    Line<By, T, 1, 1> line({g, y}, row, rows, columns, dx);
    C sum = C(0);
    line.each([&](const C* v, long long, int) { sum += v[0]; });
    sum = By::sum(sum);
    line.write(dx + row * columns, [=](const C* v, long long, int) { return v[0] - exponential<T>(v[1]) * sum; });
  }
}

}  // namespace gg

#define GG_ALONG(kernel, form, By, T, tag)                                                                \
  extern "C" __global__ void __launch_bounds__(By::Threads)                                               \
      gg_##kernel##_##form##_##tag(const T* x, T* y, long long rows, long long columns) {                 \
    gg::kernel<By>(x, y, rows, columns);                                                                  \
  }
#define GG_CAUSAL(kernel, form, By, T, tag)                                                               \
  extern "C" __global__ void __launch_bounds__(By::Threads)                                               \
      gg_##kernel##_##form##_##tag(const T* x, T* y, long long rows, long long columns, long long queries, \
                                   long long first) {                                                     \
    gg::kernel<By>(x, y, rows, columns, queries, first);                                                  \
  }
#define GG_BACK(kernel, form, By, T, tag)                                                                 \
  extern "C" __global__ void __launch_bounds__(By::Threads)                                               \
      gg_##kernel##_##form##_##tag(const T* g, const T* y, T* dx, long long rows, long long columns) {    \
    gg::kernel<By>(g, y, dx, rows, columns);                                                              \
  }
#define GG_ONE(form, By, T, tag)                                                                          \
  GG_ALONG(softmax, form, By, T, tag)                                                                     \
  GG_CAUSAL(softmax_causal, form, By, T, tag)                                                             \
  GG_ALONG(log_softmax, form, By, T, tag)                                                                 \
  GG_ALONG(logsumexp, form, By, T, tag)                                                                   \
  GG_BACK(softmax_vjp, form, By, T, tag)                                                                  \
  GG_BACK(log_softmax_vjp, form, By, T, tag)
#include "forms.cuh"
#undef GG_ALONG
#undef GG_CAUSAL
#undef GG_BACK
