// Layer normalisation over rows (Ba et al., 2016), with its gradients.
//
//   layer_norm(x, weight, bias, y, mean, rstd, rows, columns, eps)
//       y = (x - mean) rstd weight + bias,   rstd = 1 / sqrt(var + eps); mean and rstd are saved
//   layer_norm_vjp(g, x, weight, mean, rstd, dx, rows, columns)
//       with h = (x - mean) rstd and v = g weight:  dx = rstd (v - avg(v) - h avg(v h))
//   layer_norm_vjp_weight(g, x, mean, rstd, part_weight, part_bias, rows, columns, rows_a_chunk)
//       first stage of dweight = sum over rows of g h and dbias = sum over rows of g: one line of `columns` sums for
//       each chunk of rows; `column_sum` of reduce.cu adds the lines.
//
// x, y, g, dx, weight, bias: the storage type, (rows, columns) C-contiguous or (columns,); weight and bias may be null.
// mean, rstd: (rows,), part_*: (chunks, columns), eps: compute type; sizes: long long. `_warp` and `_block` as in
// softmax.cu; vjp_weight: block (32, 8), grid (ceil(columns / 32), chunks), chunks = ceil(rows / rows_a_chunk).
#include "reduce.cuh"

namespace gg {

template <class By, class T, class C>
__device__ void layer_norm(const T* x, const T* weight, const T* bias, T* y, C* mean, C* rstd, long long rows,
                           long long columns, C eps) {
  const long long row = By::row();
  if (row >= rows) return;
  x += row * columns;
  y += row * columns;
  C sum = C(0);
  for (long long c = By::rank(); c < columns; c += By::size()) sum += load<C>(x[c]);
  const C center = By::sum(sum) / C(columns);
  C spread = C(0);
  for (long long c = By::rank(); c < columns; c += By::size()) spread += square(load<C>(x[c]) - center);
  const C r = rsqrt(By::sum(spread) / C(columns) + eps);
  for (long long c = By::rank(); c < columns; c += By::size()) {
    const C h = (load<C>(x[c]) - center) * r;
    y[c] = store<T>(h * (weight ? load<C>(weight[c]) : C(1)) + (bias ? load<C>(bias[c]) : C(0)));
  }
  if (By::rank()) return;
  mean[row] = center;
  rstd[row] = r;
}

template <class By, class T, class C>
__device__ void layer_norm_vjp(const T* g, const T* x, const T* weight, const C* mean, const C* rstd, T* dx,
                               long long rows, long long columns) {
  const long long row = By::row();
  if (row >= rows) return;
  g += row * columns;
  x += row * columns;
  dx += row * columns;
  const C center = mean[row], r = rstd[row];
  C sum = C(0), dot = C(0);
  for (long long c = By::rank(); c < columns; c += By::size()) {
    const C v = load<C>(g[c]) * (weight ? load<C>(weight[c]) : C(1));
    sum += v;
    dot += v * (load<C>(x[c]) - center) * r;
  }
  sum = By::sum(sum) / C(columns);
  dot = By::sum(dot) / C(columns);
  for (long long c = By::rank(); c < columns; c += By::size()) {
    const C v = load<C>(g[c]) * (weight ? load<C>(weight[c]) : C(1));
    dx[c] = store<T>(r * (v - sum - (load<C>(x[c]) - center) * r * dot));
  }
}

template <class T, class C>
__device__ void layer_norm_vjp_weight(const T* g, const T* x, const C* mean, const C* rstd, C* part_weight,
                                      C* part_bias, long long rows, long long columns, long long rows_a_chunk) {
  const long long c = (long long)blockIdx.x * 32 + threadIdx.x;
  const bool inside = c < columns;
  const C weight = column_chunk<C>(rows, rows_a_chunk, inside, [=](long long r) {
    return load<C>(g[r * columns + c]) * (load<C>(x[r * columns + c]) - mean[r]) * rstd[r];
  });
  const C bias = column_chunk<C>(rows, rows_a_chunk, inside, [=](long long r) { return load<C>(g[r * columns + c]); });
  if (threadIdx.y || !inside) return;
  part_weight[blockIdx.y * columns + c] = weight;
  part_bias[blockIdx.y * columns + c] = bias;
}

}  // namespace gg

#define GG_ONE(way, By, T, tag)                                                                                       \
  extern "C" __global__ void gg_layer_norm_##way##_##tag(const T* x, const T* weight, const T* bias, T* y,            \
                                                         gg::real<T>* mean, gg::real<T>* rstd, long long rows,        \
                                                         long long columns, gg::real<T> eps) {                        \
    gg::layer_norm<By>(x, weight, bias, y, mean, rstd, rows, columns, eps);                                           \
  }                                                                                                                   \
  extern "C" __global__ void gg_layer_norm_vjp_##way##_##tag(const T* g, const T* x, const T* weight,                 \
                                                             const gg::real<T>* mean, const gg::real<T>* rstd, T* dx, \
                                                             long long rows, long long columns) {                     \
    gg::layer_norm_vjp<By>(g, x, weight, mean, rstd, dx, rows, columns);                                              \
  }
#define GG_ENTRIES(T, tag)                                                                                          \
  GG_ONE(warp, gg::Team<false>, T, tag)                                                                             \
  GG_ONE(block, gg::Team<true>, T, tag)                                                                             \
  extern "C" __global__ void gg_layer_norm_vjp_weight_##tag(                                                        \
      const T* g, const T* x, const gg::real<T>* mean, const gg::real<T>* rstd, gg::real<T>* part_weight,           \
      gg::real<T>* part_bias, long long rows, long long columns, long long rows_a_chunk) {                          \
    gg::layer_norm_vjp_weight(g, x, mean, rstd, part_weight, part_bias, rows, columns, rows_a_chunk);               \
  }
#include "instantiate.cuh"
#undef GG_ONE
