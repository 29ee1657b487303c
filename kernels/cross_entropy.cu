// Cross entropy of logits against class indices, one loss a row, with class weights, label smoothing and an index that
// is ignored; and its vector-Jacobian product in one pass. With p = softmax(x), t = target[row], s = smoothing,
// K = columns, w = the weights (all 1 where weight is null):
//
//   loss[row] = (1 - s) w[t] (lse - x[t]) + (s / K) sum_k w[k] (lse - x[k]),      lse = logsumexp(x)
//   dx[k]     = g ((1 - s) w[t] (p[k] - [k = t]) + (s / K) (p[k] sum_j w[j] - w[k]))
//
//   cross_entropy(x, target, weight, loss, lse, rows, columns, ignore_index, smoothing)
//   cross_entropy_vjp(g, x, target, weight, lse, dx, rows, columns, ignore_index, smoothing, g_step, divisor)
//
// x and dx: C-contiguous (rows, columns); target: long long; weight, loss, lse, g: the compute type (float for halves);
// rows, columns, ignore_index, g_step: long long; smoothing: compute type. g is read at row * g_step: 0 for one
// cotangent for all rows; it is divided by divisor[0] where that is no null pointer. A row whose target is ignore_index
// has loss and gradient 0; a target out of range has loss and gradient nan. Each in all forms of rows.cuh; the shared
// form must have room for x with smoothing, else for nothing.
#include "rows.cuh"

namespace gg {

template <class By, class T, class C>
__device__ void cross_entropy(const T* x, const long long* target, const C* weight, C* loss, C* lse, long long rows,
                              long long columns, long long ignore_index, C smoothing) {
  for (long long row = By::row(); By::any(row, rows); row += By::apart()) {
    Line<By, T, 1> line({x}, row, rows, columns, nullptr);
    const MaxSum<C> seen = max_sum<By, false>(line);
    const C top = seen.m, log_sum = log(seen.s);
    C weights = C(0), weighted = C(0);
    if (smoothing > C(0)) {
      line.each([&](const C* v, long long c, int) {
        const C w = weight ? weight[c] : C(1);
        weights += w;
        weighted += w * (v[0] - top);
      });
      weights = By::sum(weights);
      weighted = By::sum(weighted);
    }
    if (By::rank() || row >= rows) continue;
    const long long t = target[row];
    lse[row] = top + log_sum;
    if (t == ignore_index) {
      loss[row] = C(0);
    } else if (t < 0 || t >= columns) {
      loss[row] = quiet_nan<C>();
    } else {
      C v = (C(1) - smoothing) * (weight ? weight[t] : C(1)) * (log_sum - (load<C>(x[row * columns + t]) - top));
      if (smoothing > C(0)) v += smoothing / C(columns) * (weights * log_sum - weighted);
      loss[row] = v;
    }
  }
}

template <class By, class T, class C>
__device__ void cross_entropy_vjp(const C* g, const T* x, const long long* target, const C* weight, const C* lse, T* dx,
                                  long long rows, long long columns, long long ignore_index, C smoothing,
                                  long long g_step, const C* divisor) {
  const C by = divisor ? divisor[0] : C(1);
  C weights = C(columns);
  if (weight && smoothing > C(0)) {
    weights = C(0);
    for (long long c = By::rank(); c < columns; c += By::size()) weights += weight[c];
    weights = By::sum(weights);
  }
  const C share = smoothing / C(columns);
  for (long long row = By::row(); By::any(row, rows); row += By::apart()) {
    Line<By, T, 1> line({x}, row, rows, columns, dx);
    const bool here = row < rows;
    const long long t = here ? target[row] : ignore_index;
    const bool inside = t >= 0 && t < columns;
    const C slope = t == ignore_index ? C(0) : inside ? g[row * g_step] / by : quiet_nan<C>();
    const C hit = (C(1) - smoothing) * (weight && inside ? weight[t] : C(1));
    const C level = here ? lse[row] : C(0), both = hit + share * weights;
    line.write(dx + row * columns, [=](const C* v, long long c, int) {
      if (t == ignore_index) return C(0);
      const C p = exponential<T>(v[0] - level);
      return slope * (both * p - (c == t ? hit : C(0)) - share * (weight ? weight[c] : C(1)));
    });
  }
}

}  // namespace gg

// The gradient's bound on registers (80): without it the compiler asks for the weights of all columns at once.
#define GG_ONE(form, By, T, tag)                                                                                       \
  extern "C" __global__ void __launch_bounds__(By::Threads) gg_cross_entropy_##form##_##tag(                           \
      const T* x, const long long* target, const gg::real<T>* weight, gg::real<T>* loss, gg::real<T>* lse,             \
      long long rows, long long columns, long long ignore_index, gg::real<T> smoothing) {                              \
    gg::cross_entropy<By>(x, target, weight, loss, lse, rows, columns, ignore_index, smoothing);                       \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(By::Threads, 768 / By::Threads) gg_cross_entropy_vjp_##form##_##tag(    \
      const gg::real<T>* g, const T* x, const long long* target, const gg::real<T>* weight, const gg::real<T>* lse,    \
      T* dx, long long rows, long long columns, long long ignore_index, gg::real<T> smoothing, long long g_step,       \
      const gg::real<T>* divisor) {                                                                                    \
    gg::cross_entropy_vjp<By>(g, x, target, weight, lse, dx, rows, columns, ignore_index, smoothing, g_step, divisor); \
  }
#include "forms.cuh"
