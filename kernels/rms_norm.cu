// Root-mean-square normalisation over rows (Zhang and Sennrich, 2019), with its gradients.
//
//   rms_norm(x, weight, y, rstd, rows, columns, eps)          y = x rstd weight,  rstd = 1 / sqrt(avg(x^2) + eps)
//   rms_norm_vjp(g, x, weight, rstd, dx, rows, columns)       with h = x rstd, v = g weight:  dx = rstd (v - h avg(v h))
//   rms_norm_vjp_weight(g, x, rstd, part_weight, rows, columns, rows_a_chunk)
//       first stage of dweight = sum over rows of g h, finished by `column_sum` of reduce.cu
//
// Types, sizes and launch as in layer_norm.cu; weight may be null.
#include "reduce.cuh"

namespace gg {

template <class By, class T, class C>
__device__ void rms_norm(const T* x, const T* weight, T* y, C* rstd, long long rows, long long columns, C eps) {
  const long long row = By::row();
  if (row >= rows) return;
  x += row * columns;
  y += row * columns;
  C sum = C(0);
  for (long long c = By::rank(); c < columns; c += By::size()) sum += square(load<C>(x[c]));
  const C r = rsqrt(By::sum(sum) / C(columns) + eps);
  for (long long c = By::rank(); c < columns; c += By::size())
    y[c] = store<T>(load<C>(x[c]) * r * (weight ? load<C>(weight[c]) : C(1)));
  if (By::rank() == 0) rstd[row] = r;
}

template <class By, class T, class C>
__device__ void rms_norm_vjp(const T* g, const T* x, const T* weight, const C* rstd, T* dx, long long rows,
                             long long columns) {
  const long long row = By::row();
  if (row >= rows) return;
  g += row * columns;
  x += row * columns;
  dx += row * columns;
  const C r = rstd[row];
  C dot = C(0);
  for (long long c = By::rank(); c < columns; c += By::size())
    dot += load<C>(g[c]) * (weight ? load<C>(weight[c]) : C(1)) * load<C>(x[c]) * r;
  dot = By::sum(dot) / C(columns);
  for (long long c = By::rank(); c < columns; c += By::size()) {
    const C v = load<C>(g[c]) * (weight ? load<C>(weight[c]) : C(1));
    dx[c] = store<T>(r * (v - load<C>(x[c]) * r * dot));
  }
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
