// Root-mean-square normalisation over rows (Zhang and Sennrich, 2019), with its gradients.
//
//   rms_norm(x, weight, y, rstd, rows, columns, eps)          y = x rstd weight,  rstd = 1 / sqrt(avg(x^2) + eps)
//   rms_norm_vjp(g, x, weight, rstd, dx, rows, columns)       with h = x rstd, v = g weight:  dx = rstd (v - h avg(v h))
//   rms_norm_vjp_all(g, x, weight, rstd, dx, part, rows, columns, rows_a_team)
//       dx and the first stage of dweight, as layer_norm_vjp_all
//   rms_norm_vjp_weight(g, x, rstd, part_weight, rows, columns, rows_a_chunk)
//       first stage of dweight = sum over rows of g h, finished by `sum_finish` of reduce.cu
//
// Types, sizes and launch as in layer_norm.cu; weight may be null.
#include "rows.cuh"

namespace gg {

template <class By, class T, class C>
__device__ void rms_norm(const T* x, const T* weight, T* y, C* rstd, long long rows, long long columns, C eps) {
  const long long row = By::row();
  if (row >= rows) return;
  Line<By, T, 1, 1> line({x, weight}, row, columns, y);
  C sum = C(0);
  line.each([&](const C* v, long long, int) { sum += square(v[0]); });
  const C r = rsqrt(By::sum(sum) / C(columns) + eps);
  line.write(y + row * columns, [=](const C* v, long long, int) { return v[0] * r * (weight ? v[1] : C(1)); });
  if (By::rank() == 0) rstd[row] = r;
}

// dx of one row; gather as in layer_norm.cu.
template <class By, class T, class C, class F>
__device__ __forceinline__ void rms_norm_row(const T* g, const T* x, const T* weight, const C* rstd, T* dx,
                                             long long row, long long columns, F gather) {
  Line<By, T, 2, 1> line({g, x, weight}, row, columns, dx);
  const C r = rstd[row];
  C dot = C(0);
  line.each([&](const C* a, long long, int) { dot += a[0] * (weight ? a[2] : C(1)) * a[1] * r; });
  dot = By::sum(dot) / C(columns);
  line.write(dx + row * columns, [&](const C* a, long long, int k) {
    const C h = a[1] * r;
    gather(h, a[0], k);
    return r * (a[0] * (weight ? a[2] : C(1)) - h * dot);
  });
}

template <class By, class T, class C>
__device__ void rms_norm_vjp(const T* g, const T* x, const T* weight, const C* rstd, T* dx, long long rows,
                             long long columns) {
  const long long row = By::row();
  if (row >= rows) return;
  rms_norm_row<By>(g, x, weight, rstd, dx, row, columns, [](C, C, int) {});
}

template <class By, class T, class C>
__device__ void rms_norm_vjp_all(const T* g, const T* x, const T* weight, const C* rstd, T* dx, C* part,
                                 long long rows, long long columns, long long rows_a_team) {
  const long long team = By::row(), first = team * rows_a_team;
  if (first >= rows) return;
  const long long last = first + rows_a_team < rows ? first + rows_a_team : rows;
  C along[held_elements<T>] = {};
  for (long long row = first; row < last; ++row)
    rms_norm_row<By>(g, x, weight, rstd, dx, row, columns, [&](C h, C g, int k) { along[k] += g * h; });
  put_held<By, T>(along, part + team * columns, columns);
}

template <class T, class C>
__device__ void rms_norm_vjp_weight(const T* g, const T* x, const C* rstd, C* part_weight, long long rows,
                                    long long columns, long long rows_a_chunk) {
  const long long c = (long long)blockIdx.x * 32 + threadIdx.x;
  const C weight = column_chunk<C>(rows, rows_a_chunk, c < columns, [=](long long r) {
    return load<C>(g[r * columns + c]) * load<C>(x[r * columns + c]) * rstd[r];
  });
  if (threadIdx.y == 0 && c < columns) part_weight[blockIdx.y * columns + c] = weight;
}

}  // namespace gg

#define GG_ONE(way, By, T, tag)                                                                                      \
  extern "C" __global__ void gg_rms_norm_##way##_##tag(const T* x, const T* weight, T* y, gg::real<T>* rstd,         \
                                                       long long rows, long long columns, gg::real<T> eps) {         \
    gg::rms_norm<By>(x, weight, y, rstd, rows, columns, eps);                                                        \
  }                                                                                                                  \
  extern "C" __global__ void gg_rms_norm_vjp_##way##_##tag(const T* g, const T* x, const T* weight,                  \
                                                           const gg::real<T>* rstd, T* dx, long long rows,           \
                                                           long long columns) {                                      \
    gg::rms_norm_vjp<By>(g, x, weight, rstd, dx, rows, columns);                                                     \
  }                                                                                                                  \
  extern "C" __global__ void gg_rms_norm_vjp_all_##way##_##tag(                                                      \
      const T* g, const T* x, const T* weight, const gg::real<T>* rstd, T* dx, gg::real<T>* part,                    \
      long long rows, long long columns, long long rows_a_team) {                                                    \
    gg::rms_norm_vjp_all<By>(g, x, weight, rstd, dx, part, rows, columns, rows_a_team);                              \
  }
#define GG_ENTRIES(T, tag)                                                                                           \
  GG_ONE(warp, gg::Team<false>, T, tag)                                                                              \
  GG_ONE(block, gg::Team<true>, T, tag)                                                                              \
  extern "C" __global__ void gg_rms_norm_vjp_weight_##tag(const T* g, const T* x, const gg::real<T>* rstd,           \
                                                          gg::real<T>* part_weight, long long rows,                  \
                                                          long long columns, long long rows_a_chunk) {               \
    gg::rms_norm_vjp_weight(g, x, rstd, part_weight, rows, columns, rows_a_chunk);                                   \
  }
#include "instantiate.cuh"
#undef GG_ONE
