// Sums over the rows of a matrix with a column for each channel: what batch normalisation needs, in one pass each.
//
//   moments_parts(x, part, rows, columns, rows_a_chunk)          first stage: for each chunk of rows the sum and the
//                                                                squared distances from the chunk's mean
//   moments(part, mean, variance, rate, running_mean, running_variance, batches, chunks, rows, columns, rows_a_chunk,
//           eps, momentum)                                       mean, biased variance and 1 / sqrt(variance + eps) of
//                                                                each column (T. F. Chan, G. H. Golub, R. J. LeVeque
//                                                                1983); the running ones, which may be null, move by
//                                                                `momentum` towards the mean and the unbiased variance,
//                                                                and `batches`, which may be null, grows by 1
//   norm_products_parts(g, x, mean, rate, weight, bias, part, rows, columns, rows_a_chunk)   first stage of the sums of
//                                                                g and of g (x - mean) rate
//   norm_products(part, total, along, chunks, columns)           the sums
//   normalise(x, mean, rate, weight, bias, y, rows, columns)     y = (x - mean) rate weight + bias
//   normalise_vjp(g, x, mean, rate, weight, bias, total, along, dx, rows, columns)   with those two sums
//                                                dx = (g - total / rows - (x - mean) rate along / rows) rate weight
//   norm_products_relu_parts(...), normalise_relu(...), normalise_relu_vjp(...)   the same where relu follows: y is 0
//                                                where it would be negative, g counts only where y is above 0
//   moments_parts_wide(...), norm_products_parts_wide(...), norm_products_relu_parts_wide(...), normalise_wide(...),
//   normalise_vjp_wide(...), normalise_relu_wide(...), normalise_relu_vjp_wide(...)
//                                                the same by 16 bytes at a time: aligned, and `columns` a multiple
//
// x, g, y, dx: the storage type, (rows, columns) C-contiguous; what there is one of for a column: compute type; part:
// (chunks, columns, 2), compute type; eps, momentum: compute type; batches, sizes: long long. Block (p, q), at most 256
// threads, q a power of two (for the stages); grid (ceil(columns / p) or of their packs, n), n: chunks for the first
// stages, 1 for the second, any for normalise*.
#include "reduce.cuh"

namespace gg {

// One fma, whoever compiles it: the way back finds the sign that the result had.
template <class C> __device__ __forceinline__ C normalised(C x, C centre, C factor, C shift) {
  return fma(x - centre, factor, shift);
}

// The cotangent of what relu was given: the result is above 0 as it is stored.
template <class T, class C> __device__ __forceinline__ C passed(C g, C x, C centre, C factor, C shift) {
  return load<C>(store<T>(normalised(x, centre, factor, shift))) > C(0) ? g : C(0);
}

template <int W, class T, class C>
__device__ void moments_parts(const T* x, Two<C>* part, long long rows, long long columns, long long rows_a_chunk) {
  const long long c = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * W, first = blockIdx.y * rows_a_chunk;
  const bool inside = c < columns;
  // Distances from one of the values: squares of a mean far from 0 would cancel.
  C centre[W];
#pragma unroll
  for (int i = 0; i < W; ++i) centre[i] = inside ? load<C>(x[first * columns + c + i]) : C(0);
  Two<C> sums[W];
  column_packs<W>(sums, rows, rows_a_chunk, inside, [&](long long r, Two<C>(&v)[W]) {
    const Pack<T, W> from(x + r * columns + c);
#pragma unroll
    for (int i = 0; i < W; ++i) {
      const C d = load<C>(from.v[i]) - centre[i];
      v[i] += Two<C>{d, d * d};
    }
  });
  if (threadIdx.y || !inside) return;
  const C n = C(first + rows_a_chunk < rows ? rows_a_chunk : rows - first);
#pragma unroll
  for (int i = 0; i < W; ++i) {
    const C spread = sums[i].b - sums[i].a * sums[i].a / n;
    part[blockIdx.y * columns + c + i] = Two<C>{sums[i].a + n * centre[i], spread < C(0) ? C(0) : spread};
  }
}

template <class C>
__device__ void moments(const Two<C>* part, C* mean, C* variance, C* rate, C* running_mean, C* running_variance,
                        long long* batches, long long chunks, long long rows, long long columns,
                        long long rows_a_chunk, C eps, C momentum) {
  __shared__ C centre[256];
  const long long c = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  const bool inside = c < columns;
  if (batches && c == 0 && threadIdx.y == 0) ++*batches;
  C sum[1], spread[1];
  column_packs<1>(sum, chunks, chunks, inside, [&](long long k, C(&v)[1]) { v[0] += part[k * columns + c].a; });
  if (threadIdx.y == 0) centre[threadIdx.x] = sum[0] / C(rows);
  __syncthreads();
  const C middle = centre[threadIdx.x];
  column_packs<1>(spread, chunks, chunks, inside, [&](long long k, C(&v)[1]) {
    const C n = C(k + 1 < chunks ? rows_a_chunk : rows - k * rows_a_chunk);
    const Two<C> p = part[k * columns + c];
    v[0] += p.b + n * square(p.a / n - middle);
  });
  if (threadIdx.y || !inside) return;
  mean[c] = middle;
  variance[c] = spread[0] / C(rows);
  rate[c] = C(1) / sqrt(spread[0] / C(rows) + eps);
  if (!running_mean) return;
  running_mean[c] = running_mean[c] * (C(1) - momentum) + momentum * middle;
  running_variance[c] = running_variance[c] * (C(1) - momentum) + momentum * (spread[0] / C(rows - 1));
}

template <int W, bool RELU, class T, class C>
__device__ void norm_products_parts(const T* g, const T* x, const C* mean, const C* rate, const C* weight,
                                    const C* bias, Two<C>* part, long long rows, long long columns,
                                    long long rows_a_chunk) {
  const long long c = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * W;
  const bool inside = c < columns;
  C centre[W], factor[W], shift[W];
#pragma unroll
  for (int i = 0; i < W; ++i) {
    centre[i] = inside ? mean[c + i] : C(0);
    factor[i] = RELU && inside ? rate[c + i] * weight[c + i] : C(0);
    shift[i] = RELU && inside ? bias[c + i] : C(0);
  }
  Two<C> sums[W];
  column_packs<W>(sums, rows, rows_a_chunk, inside, [&](long long r, Two<C>(&v)[W]) {
    const Pack<T, W> given(g + r * columns + c), from(x + r * columns + c);
#pragma unroll
    for (int i = 0; i < W; ++i) {
      const C at = load<C>(from.v[i]);
      C one = load<C>(given.v[i]);
      if (RELU) one = passed<T>(one, at, centre[i], factor[i], shift[i]);
      v[i] += Two<C>{one, one * (at - centre[i])};
    }
  });
  if (threadIdx.y || !inside) return;
#pragma unroll
  for (int i = 0; i < W; ++i) part[blockIdx.y * columns + c + i] = Two<C>{sums[i].a, sums[i].b * rate[c + i]};
}

template <class C>
__device__ void norm_products(const Two<C>* part, C* total, C* along, long long chunks, long long columns) {
  const long long c = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  Two<C> sums[1];
  column_packs<1>(sums, chunks, chunks, c < columns,
                  [&](long long k, Two<C>(&v)[1]) { v[0] += part[k * columns + c]; });
  if (threadIdx.y || c >= columns) return;
  total[c] = sums[0].a;
  along[c] = sums[0].b;
}

// The columns of a thread stay the same from row to row, and what there is one of for a column is read once.
template <int W, bool RELU, class T, class C>
__device__ void normalise(const T* x, const C* mean, const C* rate, const C* weight, const C* bias, T* y,
                          long long rows, long long columns) {
  const long long c = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * W, step = gridDim.y * blockDim.y;
  if (c >= columns) return;
  C centre[W], factor[W], shift[W];
#pragma unroll
  for (int i = 0; i < W; ++i) {
    centre[i] = mean[c + i];
    factor[i] = rate[c + i] * weight[c + i];
    shift[i] = bias[c + i];
  }
  for (long long r = blockIdx.y * blockDim.y + threadIdx.y; r < rows; r += step) {
    const Pack<T, W> from(x + r * columns + c);
    Pack<T, W> to;
#pragma unroll
    for (int i = 0; i < W; ++i) {
      const C found = normalised(load<C>(from.v[i]), centre[i], factor[i], shift[i]);
      to.v[i] = store<T>(RELU ? relu(found) : found);
    }
    to.to(y + r * columns + c);
  }
}

template <int W, bool RELU, class T, class C>
__device__ void normalise_vjp(const T* g, const T* x, const C* mean, const C* rate, const C* weight, const C* bias,
                              const C* total, const C* along, T* dx, long long rows, long long columns) {
  const long long c = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * W, step = gridDim.y * blockDim.y;
  if (c >= columns) return;
  C centre[W], factor[W], shift[W], level[W], slope[W];
#pragma unroll
  for (int i = 0; i < W; ++i) {
    centre[i] = mean[c + i];
    factor[i] = rate[c + i] * weight[c + i];
    shift[i] = RELU ? bias[c + i] : C(0);
    level[i] = total[c + i] / C(rows);
    slope[i] = along[c + i] / C(rows) * rate[c + i];
  }
  for (long long r = blockIdx.y * blockDim.y + threadIdx.y; r < rows; r += step) {
    const Pack<T, W> given(g + r * columns + c), from(x + r * columns + c);
    Pack<T, W> to;
#pragma unroll
    for (int i = 0; i < W; ++i) {
      const C at = load<C>(from.v[i]);
      C one = load<C>(given.v[i]);
      if (RELU) one = passed<T>(one, at, centre[i], factor[i], shift[i]);
      to.v[i] = store<T>((one - level[i] - (at - centre[i]) * slope[i]) * factor[i]);
    }
    to.to(dx + r * columns + c);
  }
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                           \
  GG_MOMENTS_PARTS(moments_parts, T, tag, 1)                                                                         \
  GG_MOMENTS_PARTS(moments_parts_wide, T, tag, 16 / sizeof(T))                                                       \
  extern "C" __global__ void gg_moments_##tag(const gg::Two<gg::real<T>>* part, gg::real<T>* mean,                   \
                                              gg::real<T>* variance, gg::real<T>* rate,                              \
                                              gg::real<T>* running_mean, gg::real<T>* running_variance,              \
                                              long long* batches, long long chunks, long long rows,                  \
                                              long long columns, long long rows_a_chunk, gg::real<T> eps,            \
                                              gg::real<T> momentum) {                                                \
    gg::moments(part, mean, variance, rate, running_mean, running_variance, batches, chunks, rows, columns,          \
                rows_a_chunk, eps, momentum);                                                                        \
  }                                                                                                                  \
  extern "C" __global__ void gg_norm_products_##tag(const gg::Two<gg::real<T>>* part, gg::real<T>* total,            \
                                                    gg::real<T>* along, long long chunks, long long columns) {       \
    gg::norm_products(part, total, along, chunks, columns);                                                          \
  }                                                                                                                  \
  GG_WIDTHS(norm_products_parts, normalise, normalise_vjp, T, tag, false)                                            \
  GG_WIDTHS(norm_products_relu_parts, normalise_relu, normalise_relu_vjp, T, tag, true)
#define GG_WIDTHS(products, result, gradient, T, tag, RELU)                                                          \
  GG_NORMALISE(products, result, gradient, T, tag, 1, RELU)                                                          \
  GG_NORMALISE(products##_wide, result##_wide, gradient##_wide, T, tag, 16 / sizeof(T), RELU)
#define GG_MOMENTS_PARTS(name, T, tag, W)                                                                            \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_##tag(                                               \
      const T* x, gg::Two<gg::real<T>>* part, long long rows, long long columns, long long rows_a_chunk) {           \
    gg::moments_parts<W>(x, part, rows, columns, rows_a_chunk);                                                      \
  }
#define GG_NORMALISE(products, result, gradient, T, tag, W, RELU)                                                    \
  extern "C" __global__ void __launch_bounds__(256) gg_##products##_##tag(                                           \
      const T* g, const T* x, const gg::real<T>* mean, const gg::real<T>* rate, const gg::real<T>* weight,           \
      const gg::real<T>* bias, gg::Two<gg::real<T>>* part, long long rows, long long columns,                        \
      long long rows_a_chunk) {                                                                                      \
    gg::norm_products_parts<W, RELU>(g, x, mean, rate, weight, bias, part, rows, columns, rows_a_chunk);             \
  }                                                                                                                  \
  extern "C" __global__ void gg_##result##_##tag(const T* x, const gg::real<T>* mean, const gg::real<T>* rate,       \
                                                 const gg::real<T>* weight, const gg::real<T>* bias, T* y,           \
                                                 long long rows, long long columns) {                                \
    gg::normalise<W, RELU>(x, mean, rate, weight, bias, y, rows, columns);                                           \
  }                                                                                                                  \
  extern "C" __global__ void gg_##gradient##_##tag(const T* g, const T* x, const gg::real<T>* mean,                  \
                                                   const gg::real<T>* rate, const gg::real<T>* weight,               \
                                                   const gg::real<T>* bias, const gg::real<T>* total,                \
                                                   const gg::real<T>* along, T* dx, long long rows,                  \
                                                   long long columns) {                                              \
    gg::normalise_vjp<W, RELU>(g, x, mean, rate, weight, bias, total, along, dx, rows, columns);                     \
  }
#include "instantiate.cuh"
#undef GG_MOMENTS_PARTS
#undef GG_WIDTHS
#undef GG_NORMALISE
