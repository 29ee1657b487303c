// Sums of a matrix in a fixed order: each row, each column, or everything.
//
//   row_sum(x, y, rows, columns)                y[row] = sum of the row; `_warp`, `_block` as in softmax.cu
//   total_parts(x, part, n)                     first stage over n elements: part[block]; block (256,), grid any
//   total(part, y, n)                           y[0] = sum of part[0..n); block (256,), grid (1,)
//   column_parts(x, part, rows, columns, rows_a_chunk)   first stage over the first axis: part[chunk, column];
//                                               block (32, 8), grid (ceil(columns / 32), chunks)
//   column_sum(part, y, chunks, columns)        y[column] = sum over the chunks; block (32, 8), grid (ceil(columns / 32),)
//
// x, y: the storage type, x C-contiguous; part: the compute type (float for halves); sizes: long long.
#include "rows.cuh"

namespace gg {

template <class By, class T> __device__ void row_sum(const T* x, T* y, long long rows, long long columns) {
  using C = real<T>;
  const long long row = By::row();
  if (row >= rows) return;
  Line<By, T, 1> line({x}, row, columns, nullptr);
  C sum = C(0);
  line.each([&](const C* v, long long, int) { sum += v[0]; });
  sum = By::sum(sum);
  if (By::rank() == 0) y[row] = store<T>(sum);
}

template <class T, class C> __device__ void total_parts(const T* x, C* part, long long n) {
  constexpr int W = 16 / sizeof(T);
  const long long threads = (long long)gridDim.x * blockDim.x, wide = (unsigned long long)x & 15 ? 0 : n / W;
  const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  C sum = C(0);
  for (long long i = thread; i < wide; i += threads) {
    const Pack<T, W> pack(x + i * W);
#pragma unroll
    for (int k = 0; k < W; ++k) sum += load<C>(pack.v[k]);
  }
  for (long long i = wide * W + thread; i < n; i += threads) sum += load<C>(x[i]);
  sum = Team<true>::sum(sum);
  if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

template <class T, class C> __device__ void total(const C* part, T* y, long long n) {
  C sum = C(0);
  for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += part[i];
  sum = Team<true>::sum(sum);
  if (threadIdx.x == 0) y[0] = store<T>(sum);
}

template <class T, class C>
__device__ void column_parts(const T* x, C* part, long long rows, long long columns, long long rows_a_chunk) {
  const long long c = (long long)blockIdx.x * 32 + threadIdx.x;
  const C sum = column_chunk<C>(rows, rows_a_chunk, c < columns, [=](long long r) { return load<C>(x[r * columns + c]); });
  if (threadIdx.y == 0 && c < columns) part[blockIdx.y * columns + c] = sum;
}

template <class T, class C>
__device__ void column_sum(const C* part, T* y, long long chunks, long long columns) {
  const long long c = (long long)blockIdx.x * 32 + threadIdx.x;
  const C sum = column_chunk<C>(chunks, chunks, c < columns, [=](long long k) { return part[k * columns + c]; });
  if (threadIdx.y == 0 && c < columns) y[c] = store<T>(sum);
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                           \
  extern "C" __global__ void gg_row_sum_warp_##tag(const T* x, T* y, long long rows, long long columns) {            \
    gg::row_sum<gg::Team<false>>(x, y, rows, columns);                                                               \
  }                                                                                                                  \
  extern "C" __global__ void gg_row_sum_block_##tag(const T* x, T* y, long long rows, long long columns) {           \
    gg::row_sum<gg::Team<true>>(x, y, rows, columns);                                                                \
  }                                                                                                                  \
  extern "C" __global__ void gg_total_parts_##tag(const T* x, gg::real<T>* part, long long n) {                      \
    gg::total_parts(x, part, n);                                                                                     \
  }                                                                                                                  \
  extern "C" __global__ void gg_total_##tag(const gg::real<T>* part, T* y, long long n) { gg::total(part, y, n); }   \
  extern "C" __global__ void gg_column_parts_##tag(const T* x, gg::real<T>* part, long long rows, long long columns, \
                                                   long long rows_a_chunk) {                                         \
    gg::column_parts(x, part, rows, columns, rows_a_chunk);                                                          \
  }                                                                                                                  \
  extern "C" __global__ void gg_column_sum_##tag(const gg::real<T>* part, T* y, long long chunks,                    \
                                                 long long columns) {                                                \
    gg::column_sum(part, y, chunks, columns);                                                                        \
  }
#include "instantiate.cuh"
