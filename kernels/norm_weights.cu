// The gradients of a normalisation's weight and bias, for rows so long that not even the sums have room in shared memory
// (layer_norm.cu, rms_norm.cu make them from the pass that makes the input's for all others).
//
//   layer_norm_vjp_weight(g, x, mean, rstd, part_weight, part_bias, rows, columns, rows_a_chunk)
//       first stage of dweight = sum over rows of g h, h = (x - mean) rstd, and dbias = sum over rows of g: one line of
//       `columns` sums for each chunk of rows; `sum_finish` of reduce.cu adds the lines
//   rms_norm_vjp_weight(g, x, rstd, part_weight, rows, columns, rows_a_chunk)
//       the same of dweight, h = x rstd
//
// g, x: the storage type, C-contiguous (rows, columns); mean, rstd: (rows,), part_*: (chunks, columns), the compute
// type; sizes: long long. Block (32, 8), grid (ceil(columns / 32), chunks), chunks = ceil(rows / rows_a_chunk).
#include "reduce.cuh"

namespace gg {

template <class T, class C>
__device__ void layer_norm_vjp_weight(const T* g, const T* x, const C* mean, const C* rstd, C* part_weight,
                                      C* part_bias, long long rows, long long columns, long long rows_a_chunk) {
  const long long c = (long long)blockIdx.x * 32 + threadIdx.x;
  const bool inside = c < columns;
  const Two<C> sums = column_chunk<Two<C>>(rows, rows_a_chunk, inside, [=](long long r) {
    const C slope = load<C>(g[r * columns + c]);
    return Two<C>{slope * (load<C>(x[r * columns + c]) - mean[r]) * rstd[r], slope};
  });
  if (threadIdx.y || !inside) return;
  part_weight[blockIdx.y * columns + c] = sums.a;
  part_bias[blockIdx.y * columns + c] = sums.b;
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

#define GG_ENTRIES(T, tag)                                                                                           \
  extern "C" __global__ void gg_layer_norm_vjp_weight_##tag(                                                         \
      const T* g, const T* x, const gg::real<T>* mean, const gg::real<T>* rstd, gg::real<T>* part_weight,            \
      gg::real<T>* part_bias, long long rows, long long columns, long long rows_a_chunk) {                           \
    gg::layer_norm_vjp_weight(g, x, mean, rstd, part_weight, part_bias, rows, columns, rows_a_chunk);                \
  }                                                                                                                  \
  extern "C" __global__ void gg_rms_norm_vjp_weight_##tag(const T* g, const T* x, const gg::real<T>* rstd,           \
                                                          gg::real<T>* part_weight, long long rows,                  \
                                                          long long columns, long long rows_a_chunk) {               \
    gg::rms_norm_vjp_weight(g, x, rstd, part_weight, rows, columns, rows_a_chunk);                                   \
  }
#include "instantiate.cuh"
