// Layer normalisation over rows (Ba et al., 2016), with its gradients.
//
//   layer_norm(x, weight, bias, y, mean, rstd, rows, columns, eps)
//       y = (x - mean) rstd weight + bias,   rstd = 1 / sqrt(var + eps); mean and rstd are saved
//   layer_norm_vjp(g, x, weight, mean, rstd, dx, rows, columns)
//       with h = (x - mean) rstd and v = g weight:  dx = rstd (v - avg(v) - h avg(v h))
//   layer_norm_vjp_all(g, x, weight, mean, rstd, dx, part, rows, columns, rows_a_team)
//       dx, and the first stage of both other gradients, from one look at g and x: a team (a warp, a block) takes
//       rows_a_team rows and writes a line of sums, `columns` for dweight and as many for dbias. For rows that registers
//       hold only (rows.cuh)
//   layer_norm_vjp_weight(g, x, mean, rstd, part_weight, part_bias, rows, columns, rows_a_chunk)
//       first stage of dweight = sum over rows of g h and dbias = sum over rows of g: one line of `columns` sums for
//       each chunk of rows; `sum_finish` of reduce.cu adds the lines.
//
// x, y, g, dx, weight, bias: the storage type, (rows, columns) C-contiguous or (columns,); weight and bias may be null.
// mean, rstd: (rows,), part_*: (chunks, columns), part: (teams, 2, columns), eps: compute type; sizes: long long.
// `_warp` and `_block` as in softmax.cu; vjp_weight: block (32, 8), grid (ceil(columns / 32), chunks), with
// chunks = ceil(rows / rows_a_chunk).
#include "rows.cuh"

namespace gg {

template <class By, class T, class C>
__device__ void layer_norm(const T* x, const T* weight, const T* bias, T* y, C* mean, C* rstd, long long rows,
                           long long columns, C eps) {
  const long long row = By::row();
  if (row >= rows) return;
  Line<By, T, 1, 2> line({x, weight, bias}, row, columns, y);
  C sum = C(0), spread = C(0);
  line.each([&](const C* v, long long, int) { sum += v[0]; });
  const C center = By::sum(sum) / C(columns);
  line.each([&](const C* v, long long, int) { spread += square(v[0] - center); });
  const C r = rsqrt(By::sum(spread) / C(columns) + eps);
  line.write(y + row * columns, [=](const C* v, long long, int) {
    return (v[0] - center) * r * (weight ? v[1] : C(1)) + v[2];
  });
  if (By::rank()) return;
  mean[row] = center;
  rstd[row] = r;
}

// dx of one row. gather(h, g, k): both values of the k-th element of this thread, for the gradients of weight and bias.
template <class By, class T, class C, class F>
__device__ __forceinline__ void layer_norm_row(const T* g, const T* x, const T* weight, const C* mean, const C* rstd,
                                               T* dx, long long row, long long columns, F gather) {
  Line<By, T, 2, 1> line({g, x, weight}, row, columns, dx);
  const C center = mean[row], r = rstd[row];
  C sum = C(0), dot = C(0);
  line.each([&](const C* a, long long, int) {
    const C v = a[0] * (weight ? a[2] : C(1));
    sum += v;
    dot += v * (a[1] - center) * r;
  });
  sum = By::sum(sum) / C(columns);
  dot = By::sum(dot) / C(columns);
  line.write(dx + row * columns, [&](const C* a, long long, int k) {
    const C v = a[0] * (weight ? a[2] : C(1)), h = (a[1] - center) * r;
    gather(h, a[0], k);
    return r * (v - sum - h * dot);
  });
}

template <class By, class T, class C>
__device__ void layer_norm_vjp(const T* g, const T* x, const T* weight, const C* mean, const C* rstd, T* dx,
                               long long rows, long long columns) {
  const long long row = By::row();
  if (row >= rows) return;
  layer_norm_row<By>(g, x, weight, mean, rstd, dx, row, columns, [](C, C, int) {});
}

template <class By, class T, class C>
__device__ void layer_norm_vjp_all(const T* g, const T* x, const T* weight, const C* mean, const C* rstd, T* dx,
                                   C* part, long long rows, long long columns, long long rows_a_team) {
  const long long team = By::row(), first = team * rows_a_team;
  if (first >= rows) return;
  const long long last = first + rows_a_team < rows ? first + rows_a_team : rows;
  C along[held_elements<T>] = {}, total[held_elements<T>] = {};
  for (long long row = first; row < last; ++row)
    layer_norm_row<By>(g, x, weight, mean, rstd, dx, row, columns, [&](C h, C g, int k) {
      along[k] += g * h;
      total[k] += g;
    });
  put_held<By, T>(along, part + 2 * team * columns, columns);
  put_held<By, T>(total, part + (2 * team + 1) * columns, columns);
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
  }                                                                                                                   \
  extern "C" __global__ void gg_layer_norm_vjp_all_##way##_##tag(                                                     \
      const T* g, const T* x, const T* weight, const gg::real<T>* mean, const gg::real<T>* rstd, T* dx,               \
      gg::real<T>* part, long long rows, long long columns, long long rows_a_team) {                                  \
    gg::layer_norm_vjp_all<By>(g, x, weight, mean, rstd, dx, part, rows, columns, rows_a_team);                       \
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
