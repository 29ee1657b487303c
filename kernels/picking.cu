// Rows of a matrix by index, and rows added by index without atomics, in a fixed order: the way back. The same for
// elements along an axis.
//
//   take_rows(x, index, y, count, rows, columns)       y[i, :] = x[index[i], :], nan where the index is out of range
//   take_rows_wide(x, index, y, count, rows, columns)  the same, 16 bytes an access: whole packs, from such a boundary
//   segment_starts(index, order, starts, count, rows)  starts[r]: how many of the sorted indices are below r, r <= rows
//   segment_sum(g, order, starts, y, rows, columns)
//       y[r, :] += sum over k in starts[r]..starts[r + 1] of g[order[k], :]
//   add_few_rows(g, index, y, count, rows, columns)    y[r, :] += sum of g[i, :] where index[i] is r, in the order of i
//
//   take_along(x, index, y, outer, rows, count, inner)  y[o, k, i] = x[o, index[o, k, i], i]
//   put_along(g, index, y, outer, rows, count, inner)   y[o, index[o, k, i], i] = g[o, k, i], which no two k may share
//   add_along(g, index, y, outer, rows, count, inner)   y[o, r, i] = sum of g[o, k, i] where index[o, k, i] is r, in the
//                                                       order of k: each element looks at all `count` indices
//
// A negative index counts from the end. The host sorts (index, negative ones counted from 0) once, stable, into `order`.
// x, y, g: storage type, C-contiguous rows of `columns`; index, order, starts and sizes: long long. take_rows: block
// (across, down), a row's packs along x; grid (blocks,). segment_starts: a thread for each start. segment_sum: block
// (m,), grid (ceil(columns / m), rows up to 65535; more are looped over). add_few_rows: block (32, 8), a warp for a row and
// 128 columns, grid (ceil(columns / 128), ceil(rows / 8) up to 65535); each row looks at all indices, so without sorting.
// Kernels along an axis: block (across, down), elements of an `outer` along x; grid (any, any); count * inner and
// rows * inner fit 31 bits; their sizes are unsigned but for outer.
#include "types.cuh"

namespace gg {

template <int W, class T>
__device__ void take_rows(const T* x, const long long* index, T* y, long long count, long long rows,
                          long long columns) {
  const long long packs = columns / W;
  for (long long i = (long long)blockIdx.x * blockDim.y + threadIdx.y; i < count; i += gridDim.x * blockDim.y) {
    const long long named = index[i], row = named < 0 ? named + rows : named;
    const bool inside = row >= 0 && row < rows;
    const T* from = x + row * columns;
    T* to = y + i * columns;
#pragma unroll 4
    for (long long p = threadIdx.x; p < packs; p += blockDim.x) {
      Pack<T, W> pack;
      if (inside) pack = Pack<T, W>(from + p * W);
      else
#pragma unroll
        for (int j = 0; j < W; ++j) pack.v[j] = store<T>(quiet_nan<real<T>>());
      pack.to(to + p * W);
    }
  }
}

__device__ __forceinline__ void starts_of(const long long* index, const long long* order, long long* starts,
                                          long long count, long long rows) {
  const long long r = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (r > rows) return;
  long long low = 0, high = count;
  while (low < high) {
    const long long middle = (low + high) >> 1;
    if (index[order[middle]] < r) low = middle + 1;
    else high = middle;
  }
  starts[r] = low;
}

template <class T>
__device__ void segment_sum(const T* g, const long long* order, const long long* starts, T* y, long long rows,
                            long long columns) {
  using C = real<T>;
  const long long c = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= columns) return;
  for (long long r = blockIdx.y; r < rows; r += gridDim.y) {
    const long long first = starts[r], last = starts[r + 1];
    if (first == last) continue;  // most rows of a large table
    C sum = C(0);
    for (long long k = first; k < last; ++k) sum += load<C>(g[order[k] * columns + c]);
    T* to = y + r * columns + c;
    *to = store<T>(load<C>(*to) + sum);
  }
}

template <class T>
__device__ void add_few_rows(const T* g, const long long* index, T* y, long long count, long long rows,
                             long long columns) {
  using C = real<T>;
  constexpr int Across = 4, AtOnce = 4;  // columns of a thread, and rows that it asks for before it adds them
  const int lane = threadIdx.x;
  const long long column = blockIdx.x * 32ll * Across + lane;
  for (long long r = blockIdx.y * 8ll + threadIdx.y; r < rows; r += gridDim.y * 8ll) {
    C sum[Across] = {};
    bool any = false;
    for (long long first = 0; first < count; first += 32) {
      const long long named = first + lane < count ? index[first + lane] : -1 - rows;
      unsigned found = __ballot_sync(0xffffffffu, (named < 0 ? named + rows : named) == r);
      any |= found != 0;
      while (found) {
        C given[AtOnce][Across];
#pragma unroll
        for (int k = 0; k < AtOnce; ++k) {
          const T* from = g + (first + __ffs(found) - 1) * columns + column;
#pragma unroll
          for (int j = 0; j < Across; ++j) given[k][j] = found && column + 32 * j < columns ? load<C>(from[32 * j]) : C(0);
          found &= found - 1;
        }
#pragma unroll
        for (int k = 0; k < AtOnce; ++k)
#pragma unroll
          for (int j = 0; j < Across; ++j) sum[j] += given[k][j];
      }
    }
    T* to = y + r * columns + column;
#pragma unroll
    for (int j = 0; j < Across; ++j)
      if (any && column + 32 * j < columns) to[32 * j] = store<T>(load<C>(to[32 * j]) + sum[j]);
  }
}

template <class T>
__device__ __forceinline__ void take_along(const T* x, const long long* index, T* y, long long outer, unsigned rows,
                                           unsigned count, unsigned inner) {
  const unsigned each = count * inner;
  for (long long o = (long long)blockIdx.x * blockDim.y + threadIdx.y; o < outer; o += gridDim.x * blockDim.y)
    for (unsigned e = blockIdx.y * blockDim.x + threadIdx.x; e < each; e += gridDim.y * blockDim.x) {
      const long long named = index[o * each + e], row = named < 0 ? named + rows : named;
      y[o * each + e] = row >= 0 && row < rows ? x[(o * rows + row) * inner + e % inner]
                                               : store<T>(quiet_nan<real<T>>());
    }
}

template <class T>
__device__ __forceinline__ void put_along(const T* g, const long long* index, T* y, long long outer, unsigned rows,
                                          unsigned count, unsigned inner) {
  const unsigned each = count * inner;
  for (long long o = (long long)blockIdx.x * blockDim.y + threadIdx.y; o < outer; o += gridDim.x * blockDim.y)
    for (unsigned e = blockIdx.y * blockDim.x + threadIdx.x; e < each; e += gridDim.y * blockDim.x) {
      const long long named = index[o * each + e], row = named < 0 ? named + rows : named;
      if (row >= 0 && row < rows) y[(o * rows + row) * inner + e % inner] = g[o * each + e];
    }
}

template <class T>
__device__ __forceinline__ void add_along(const T* g, const long long* index, T* y, long long outer, unsigned rows,
                                          unsigned count, unsigned inner) {
  using C = real<T>;
  const unsigned each = rows * inner;
  for (long long o = (long long)blockIdx.x * blockDim.y + threadIdx.y; o < outer; o += gridDim.x * blockDim.y)
    for (unsigned e = blockIdx.y * blockDim.x + threadIdx.x; e < each; e += gridDim.y * blockDim.x) {
      const long long row = e / inner, first = o * count * inner + e % inner;
      C sum = C(0);
      for (unsigned k = 0; k < count; ++k) {
        const long long at = first + (long long)k * inner, named = index[at];
        if ((named < 0 ? named + rows : named) == row) sum += load<C>(g[at]);
      }
      y[o * each + e] = store<T>(sum);
    }
}

}  // namespace gg

#define GG_ALONG(name, T, tag)                                                                                      \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_##tag(                                              \
      const T* x, const long long* index, T* y, long long outer, unsigned rows, unsigned count, unsigned inner) {   \
    gg::name(x, index, y, outer, rows, count, inner);                                                               \
  }
#define GG_TAKE(name, W, T, tag)                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_##tag(                                              \
      const T* x, const long long* index, T* y, long long count, long long rows, long long columns) {               \
    gg::take_rows<W>(x, index, y, count, rows, columns);                                                            \
  }
#define GG_ENTRIES(T, tag)                                                                                          \
  GG_ALONG(take_along, T, tag)                                                                                      \
  GG_ALONG(put_along, T, tag)                                                                                       \
  GG_ALONG(add_along, T, tag)                                                                                       \
  GG_TAKE(take_rows, 1, T, tag)                                                                                     \
  GG_TAKE(take_rows_wide, 16 / sizeof(T), T, tag)                                                                   \
  extern "C" __global__ void gg_segment_starts_##tag(const long long* index, const long long* order,                \
                                                     long long* starts, long long count, long long rows) {          \
    gg::starts_of(index, order, starts, count, rows);                                                               \
  }                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(256) gg_add_few_rows_##tag(                                          \
      const T* g, const long long* index, T* y, long long count, long long rows, long long columns) {               \
    gg::add_few_rows(g, index, y, count, rows, columns);                                                            \
  }                                                                                                                 \
  extern "C" __global__ void gg_segment_sum_##tag(const T* g, const long long* order, const long long* starts,      \
                                                  T* y, long long rows, long long columns) {                        \
    gg::segment_sum(g, order, starts, y, rows, columns);                                                            \
  }
#include "instantiate.cuh"
