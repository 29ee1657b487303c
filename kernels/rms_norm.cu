// Root-mean-square normalisation over rows (Zhang and Sennrich, 2019), with its gradients.
//
//   rms_norm(x, weight, y, rstd, rows, columns, eps)          y = x rstd weight,  rstd = 1 / sqrt(avg(x^2) + eps)
//   rms_norm_vjp_all(g, x, weight, rstd, dx, part, rows, columns, rows_a_unit)
//       with h = x rstd, v = g weight:  dx = rstd (v - h avg(v h)), and the first stage of dweight = sum over rows of g h
//   rms_norm_vjp(g, x, weight, rstd, dx, rows, columns)       dx alone, in the shared form
//
// Forms, types, sizes and launch as in layer_norm.cu, with one line of sums a unit; weight may be null.
#include "rows.cuh"

namespace gg {

template <class By, class T, class C>
__device__ void rms_norm(const T* x, const T* weight, T* y, C* rstd, long long rows, long long columns, C eps) {
  for (long long row = By::row(); By::any(row, rows); row += By::apart()) {
    Line<By, T, 1, 0, 1> line({x, weight}, row, rows, columns, y);
    C sum = C(0);
    line.each([&](const C* v, long long, int) { sum += square(v[0]); });
    const C r = rsqrt(By::sum(sum) / C(columns) + eps);
    line.write(y + row * columns, [=](const C* v, long long, int) { return v[0] * r * (weight ? v[1] : C(1)); });
    if (By::rank() == 0 && row < rows) rstd[row] = r;
  }
}

// dx of one row; gather as in layer_norm.cu.
template <class By, class T, class C, class F>
__device__ __forceinline__ void rms_norm_row(const T* g, const T* x, const T* weight, const C* rstd, T* dx,
                                             long long row, long long rows, long long columns, unsigned taken,
                                             F gather) {
  Line<By, T, 2, 0, 1> line({g, x, weight}, row, rows, columns, dx, taken);
  const C r = row < rows ? rstd[row] : C(0);
  C dot = C(0);
  line.each([&](const C* a, long long, int) { dot += a[0] * (weight ? a[2] : C(1)) * a[1] * r; });
  dot = By::sum(dot) / C(columns);
  line.write(dx + row * columns, [&](const C* a, long long c, int k) {
    const C h = a[1] * r;
    gather(h, a[0], c, k);
    return r * (a[0] * (weight ? a[2] : C(1)) - h * dot);
  });
}

template <class By, class T, class C>
__device__ void rms_norm_vjp(const T* g, const T* x, const T* weight, const C* rstd, T* dx, long long rows,
                             long long columns) {
  for (long long row = By::row(); By::any(row, rows); row += By::apart())
    rms_norm_row<By>(g, x, weight, rstd, dx, row, rows, columns, 0, [](C, C, long long, int) {});
}

template <class By, class T, class C>
__device__ void rms_norm_vjp_all(const T* g, const T* x, const T* weight, const C* rstd, T* dx, C* part,
                                 long long rows, long long columns, long long rows_a_unit) {
  const long long first = By::unit() * rows_a_unit;
  if (first >= rows) return;
  const long long last = first + rows_a_unit < rows ? first + rows_a_unit : rows;
  typename By::template Sums<T, 1> sums(low_bits({g, x, weight}, dx), columns);
  for (long long row = first + By::team(); By::any(row, last); row += By::Teams)
    rms_norm_row<By>(g, x, weight, rstd, dx, row, last, columns, sums.taken,
                     [&](C h, C g, long long c, int k) { sums.add(0, c, k, g * h); });
  sums.put(part + By::unit() * columns, columns);
}

}  // namespace gg

#define GG_FORWARD(form, By, T, tag)                                                                                   \
  extern "C" __global__ void __launch_bounds__(By::Threads) gg_rms_norm_##form##_##tag(                                \
      const T* x, const T* weight, T* y, gg::real<T>* rstd, long long rows, long long columns, gg::real<T> eps) {      \
    gg::rms_norm<By>(x, weight, y, rstd, rows, columns, eps);                                                          \
  }
#define GG_ONE(form, By, T, tag)                                                                                       \
  GG_FORWARD(form, By, T, tag)                                                                                         \
  extern "C" __global__ void __launch_bounds__(By::Threads) gg_rms_norm_vjp_all_##form##_##tag(                        \
      const T* g, const T* x, const T* weight, const gg::real<T>* rstd, T* dx, gg::real<T>* part, long long rows,      \
      long long columns, long long rows_a_unit) {                                                                      \
    gg::rms_norm_vjp_all<By>(g, x, weight, rstd, dx, part, rows, columns, rows_a_unit);                                \
  }
#define GG_LONG(T, tag)                                                                                                \
  GG_ONE(shared, gg::Shared, T, tag)                                                                                   \
  extern "C" __global__ void __launch_bounds__(gg::Shared::Threads) gg_rms_norm_vjp_shared_##tag(                      \
      const T* g, const T* x, const T* weight, const gg::real<T>* rstd, T* dx, long long rows, long long columns) {    \
    gg::rms_norm_vjp<gg::Shared>(g, x, weight, rstd, dx, rows, columns);                                               \
  }
#include "forms.cuh"
#undef GG_FORWARD
