// Layer normalisation over rows (Ba et al., 2016), with its gradients.
//
//   layer_norm(x, weight, bias, y, mean, rstd, rows, columns, eps)
//       y = (x - mean) rstd weight + bias,   rstd = 1 / sqrt(var + eps); mean and rstd are saved
//   layer_norm_vjp_all(g, x, weight, mean, rstd, dx, part, rows, columns, rows_a_unit)
//       with h = (x - mean) rstd and v = g weight:  dx = rstd (v - avg(v) - h avg(v h)), and the first stage of both
//       other gradients, from one look at g and x. A unit (a warp, a block) takes rows_a_unit rows and writes a line of
//       sums, `columns` for dweight = sum over rows of g h and as many for dbias = sum over rows of g; `sum_finish` of
//       reduce.cu adds the lines
//   layer_norm_vjp(g, x, weight, mean, rstd, dx, rows, columns)
//       dx alone, in the shared form: where shared memory has no room for the sums, norm_weights.cu makes them
//
// x, y, g, dx, weight, bias: the storage type, (rows, columns) C-contiguous or (columns,); weight and bias may be null.
// mean, rstd: (rows,), part: (units, 2, columns), eps: compute type; sizes: long long. layer_norm_vjp_all: grid (units,)
// of blocks, or of as many warps in all. The shared form must have room for x (layer_norm), g and x (layer_norm_vjp), and
// for two numbers of the compute type for each column first (layer_norm_vjp_all; columns in whole packs).
#include "rows.cuh"

namespace gg {

template <class By, class T, class C>
__device__ void layer_norm(const T* x, const T* weight, const T* bias, T* y, C* mean, C* rstd, long long rows,
                           long long columns, C eps) {
  for (long long row = By::row(); By::any(row, rows); row += By::apart()) {
    Line<By, T, 1, 0, 2> line({x, weight, bias}, row, rows, columns, y);
    C sum = C(0), spread = C(0);
    line.each([&](const C* v, long long, int) { sum += v[0]; });
    const C center = By::sum(sum) / C(columns);
    line.each([&](const C* v, long long, int) { spread += square(v[0] - center); });
    const C r = rsqrt(By::sum(spread) / C(columns) + eps);
    line.write(y + row * columns, [=](const C* v, long long, int) {
      return (v[0] - center) * r * (weight ? v[1] : C(1)) + v[2];
    });
    if (By::rank() || row >= rows) continue;
    mean[row] = center;
    rstd[row] = r;
  }
}

// dx of one row. gather(h, g, column, k): both values of the k-th element of this thread, for the other gradients.
template <class By, class T, class C, class F>
__device__ __forceinline__ void layer_norm_row(const T* g, const T* x, const T* weight, const C* mean, const C* rstd,
                                               T* dx, long long row, long long rows, long long columns, unsigned taken,
                                               F gather) {
  Line<By, T, 2, 0, 1> line({g, x, weight}, row, rows, columns, dx, taken);
  const C center = row < rows ? mean[row] : C(0), r = row < rows ? rstd[row] : C(0);
  C sum = C(0), dot = C(0);
  line.each([&](const C* a, long long, int) {
    const C v = a[0] * (weight ? a[2] : C(1));
    sum += v;
    dot += v * (a[1] - center) * r;
  });
  sum = By::sum(sum) / C(columns);
  dot = By::sum(dot) / C(columns);
  line.write(dx + row * columns, [&](const C* a, long long c, int k) {
    const C v = a[0] * (weight ? a[2] : C(1)), h = (a[1] - center) * r;
    gather(h, a[0], c, k);
    return r * (v - sum - h * dot);
  });
}

template <class By, class T, class C>
__device__ void layer_norm_vjp(const T* g, const T* x, const T* weight, const C* mean, const C* rstd, T* dx,
                               long long rows, long long columns) {
  for (long long row = By::row(); By::any(row, rows); row += By::apart())
    layer_norm_row<By>(g, x, weight, mean, rstd, dx, row, rows, columns, 0, [](C, C, long long, int) {});
}

template <class By, class T, class C>
__device__ void layer_norm_vjp_all(const T* g, const T* x, const T* weight, const C* mean, const C* rstd, T* dx,
                                   C* part, long long rows, long long columns, long long rows_a_unit) {
  const long long first = By::unit() * rows_a_unit;
  if (first >= rows) return;
  const long long last = first + rows_a_unit < rows ? first + rows_a_unit : rows;
  typename By::template Sums<T, 2> sums(low_bits({g, x, weight}, dx), columns);
  for (long long row = first + By::team(); By::any(row, last); row += By::Teams)
    layer_norm_row<By>(g, x, weight, mean, rstd, dx, row, last, columns, sums.taken,
                       [&](C h, C g, long long c, int k) {
                         sums.add(0, c, k, g * h);
                         sums.add(1, c, k, g);
                       });
  sums.put(part + 2 * By::unit() * columns, columns);
}

}  // namespace gg

#define GG_FORWARD(form, By, T, tag)                                                                                   \
  extern "C" __global__ void __launch_bounds__(By::Threads) gg_layer_norm_##form##_##tag(                              \
      const T* x, const T* weight, const T* bias, T* y, gg::real<T>* mean, gg::real<T>* rstd, long long rows,          \
      long long columns, gg::real<T> eps) {                                                                            \
    gg::layer_norm<By>(x, weight, bias, y, mean, rstd, rows, columns, eps);                                            \
  }
#define GG_ONE(form, By, T, tag)                                                                                       \
  GG_FORWARD(form, By, T, tag)                                                                                         \
  extern "C" __global__ void __launch_bounds__(By::Threads) gg_layer_norm_vjp_all_##form##_##tag(                      \
      const T* g, const T* x, const T* weight, const gg::real<T>* mean, const gg::real<T>* rstd, T* dx,                \
      gg::real<T>* part, long long rows, long long columns, long long rows_a_unit) {                                   \
    gg::layer_norm_vjp_all<By>(g, x, weight, mean, rstd, dx, part, rows, columns, rows_a_unit);                        \
  }
#define GG_LONG(T, tag)                                                                                                \
  GG_ONE(shared, gg::Shared, T, tag)                                                                                   \
  extern "C" __global__ void __launch_bounds__(gg::Shared::Threads) gg_layer_norm_vjp_shared_##tag(                    \
      const T* g, const T* x, const T* weight, const gg::real<T>* mean, const gg::real<T>* rstd, T* dx,                \
      long long rows, long long columns) {                                                                             \
    gg::layer_norm_vjp<gg::Shared>(g, x, weight, mean, rstd, dx, rows, columns);                                       \
  }
#include "forms.cuh"
#undef GG_FORWARD
