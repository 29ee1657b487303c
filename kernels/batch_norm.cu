// Sums over the rows of a matrix with a column for each channel: what batch normalisation needs, in one pass each.
//
//   moments_parts(x, part, rows, columns, rows_a_chunk)          first stage: for each chunk of rows the sum and the
//                                                                squared distances from the chunk's mean
//   moments(part, mean, variance, chunks, rows, columns, rows_a_chunk)   mean and biased variance of each column
//                                                                (T. F. Chan, G. H. Golub, R. J. LeVeque 1983)
//   norm_products_parts(g, x, mean, scale, part, rows, columns, rows_a_chunk)   first stage of the sums of g and of
//                                                                g (x - mean) scale
//   norm_products(part, total, along, chunks, columns)           the sums
//
// x, g: the storage type, (rows, columns) C-contiguous; mean, variance, scale, total, along: the same, (columns,); part:
// (chunks, columns, 2), compute type; sizes: long long. Block (32, 8); grid (ceil(columns / 32), chunks) for the first
// stages, (ceil(columns / 32),) for the second.
#include "reduce.cuh"

namespace gg {

template <class T, class C>
__device__ void moments_parts(const T* x, Two<C>* part, long long rows, long long columns, long long rows_a_chunk) {
  const long long c = (long long)blockIdx.x * 32 + threadIdx.x, first = blockIdx.y * rows_a_chunk;
  const bool inside = c < columns;
  // Distances from one of the values: squares of a mean far from 0 would cancel.
  const C centre = inside ? load<C>(x[first * columns + c]) : C(0);
  Two<C> sums = column_chunk<Two<C>>(rows, rows_a_chunk, inside, [=](long long r) {
    const C d = load<C>(x[r * columns + c]) - centre;
    return Two<C>{d, d * d};
  });
  if (threadIdx.y || !inside) return;
  const C n = C(first + rows_a_chunk < rows ? rows_a_chunk : rows - first);
  const C spread = sums.b - sums.a * sums.a / n;
  part[blockIdx.y * columns + c] = Two<C>{sums.a + n * centre, spread < C(0) ? C(0) : spread};
}

template <class T, class C>
__device__ void moments(const Two<C>* part, T* mean, T* variance, long long chunks, long long rows, long long columns,
                        long long rows_a_chunk) {
  __shared__ C centre[32];
  const long long c = (long long)blockIdx.x * 32 + threadIdx.x;
  const bool inside = c < columns;
  const C sum = column_chunk<C>(chunks, chunks, inside, [=](long long k) { return part[k * columns + c].a; });
  if (threadIdx.y == 0) centre[threadIdx.x] = sum / C(rows);
  __syncthreads();
  const C middle = centre[threadIdx.x];
  const C spread = column_chunk<C>(chunks, chunks, inside, [=](long long k) {
    const C n = C(k + 1 < chunks ? rows_a_chunk : rows - k * rows_a_chunk);
    const Two<C> p = part[k * columns + c];
    return p.b + n * square(p.a / n - middle);
  });
  if (threadIdx.y || !inside) return;
  mean[c] = store<T>(middle);
  variance[c] = store<T>(spread / C(rows));
}

template <class T, class C>
__device__ void norm_products_parts(const T* g, const T* x, const T* mean, const T* scale, Two<C>* part, long long rows,
                                    long long columns, long long rows_a_chunk) {
  const long long c = (long long)blockIdx.x * 32 + threadIdx.x;
  const bool inside = c < columns;
  const C centre = inside ? load<C>(mean[c]) : C(0), factor = inside ? load<C>(scale[c]) : C(0);
  const Two<C> sums = column_chunk<Two<C>>(rows, rows_a_chunk, inside, [=](long long r) {
    const C v = load<C>(g[r * columns + c]);
    return Two<C>{v, v * (load<C>(x[r * columns + c]) - centre) * factor};
  });
  if (threadIdx.y == 0 && inside) part[blockIdx.y * columns + c] = sums;
}

template <class T, class C>
__device__ void norm_products(const Two<C>* part, T* total, T* along, long long chunks, long long columns) {
  const long long c = (long long)blockIdx.x * 32 + threadIdx.x;
  const Two<C> sums =
      column_chunk<Two<C>>(chunks, chunks, c < columns, [=](long long k) { return part[k * columns + c]; });
  if (threadIdx.y || c >= columns) return;
  total[c] = store<T>(sums.a);
  along[c] = store<T>(sums.b);
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                           \
  extern "C" __global__ void gg_moments_parts_##tag(const T* x, gg::Two<gg::real<T>>* part, long long rows,          \
                                                    long long columns, long long rows_a_chunk) {                     \
    gg::moments_parts(x, part, rows, columns, rows_a_chunk);                                                         \
  }                                                                                                                  \
  extern "C" __global__ void gg_moments_##tag(const gg::Two<gg::real<T>>* part, T* mean, T* variance,                \
                                              long long chunks, long long rows, long long columns,                   \
                                              long long rows_a_chunk) {                                              \
    gg::moments(part, mean, variance, chunks, rows, columns, rows_a_chunk);                                          \
  }                                                                                                                  \
  extern "C" __global__ void gg_norm_products_parts_##tag(const T* g, const T* x, const T* mean, const T* scale,     \
                                                          gg::Two<gg::real<T>>* part, long long rows,                \
                                                          long long columns, long long rows_a_chunk) {               \
    gg::norm_products_parts(g, x, mean, scale, part, rows, columns, rows_a_chunk);                                   \
  }                                                                                                                  \
  extern "C" __global__ void gg_norm_products_##tag(const gg::Two<gg::real<T>>* part, T* total, T* along,            \
                                                    long long chunks, long long columns) {                           \
    gg::norm_products(part, total, along, chunks, columns);                                                          \
  }
#include "instantiate.cuh"
