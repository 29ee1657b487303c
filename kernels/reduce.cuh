// Reductions within a warp and a block, and the block as a team that shares a row. Every combination runs in a fixed order, so
// results do not change from run to run; half precision accumulates in float.
#ifndef GG_REDUCE_CUH
#define GG_REDUCE_CUH
#include "math.cuh"

namespace gg {

// How two partial results become one.
struct Sum {
  template <class C> static __device__ __forceinline__ C combine(C a, C b) { return a + b; }
};
struct Maximum {
  template <class C> static __device__ __forceinline__ C combine(C a, C b) { return maximum(a, b); }
};

__device__ __forceinline__ float exchange(float v, int lanes) { return __shfl_xor_sync(~0u, v, lanes); }
__device__ __forceinline__ double exchange(double v, int lanes) { return __shfl_xor_sync(~0u, v, lanes); }

// The threads of a block, 32 times a power of two. `reduce` gives every thread the result; V needs `exchange(V, int)`.
struct BlockTeam {
  static __device__ __forceinline__ int rank() { return threadIdx.x; }
  static __device__ __forceinline__ int size() { return blockDim.x; }
  static __device__ __forceinline__ long long row() { return blockIdx.x; }
  template <class Op, class V> static __device__ V reduce(V v) {
#pragma unroll
    for (int d = 16; d; d >>= 1) v = Op::combine(v, exchange(v, d));
    __shared__ V part[32];
    const int warps = blockDim.x >> 5;
    if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = v;
    __syncthreads();
    v = part[threadIdx.x & (warps - 1)];
    for (int d = warps >> 1; d; d >>= 1) v = Op::combine(v, exchange(v, d));
    __syncthreads();  // the next reduction writes `part` again
    return v;
  }
  template <class V> static __device__ __forceinline__ V sum(V v) { return reduce<Sum, V>(v); }
};

// Two sums that are made in one pass.
template <class C> struct Two {
  C a, b;
  __device__ __forceinline__ void operator+=(const Two& other) {
    a += other.a;
    b += other.b;
  }
};

// Sum over rows of f(row, column), for one column a thread: blockDim = (32, 8), grid = (ceil(columns / 32), chunks).
// The sum over the block's chunk of rows is left with the threads of threadIdx.y == 0. C: a number, or Two of them.
template <class C, class F>
__device__ __forceinline__ C column_chunk(long long rows, long long rows_a_chunk, bool inside, F f) {
  __shared__ C part[8][33];
  const long long first = blockIdx.y * rows_a_chunk, last = first + rows_a_chunk < rows ? first + rows_a_chunk : rows;
  C v{};
  if (inside)
    for (long long r = first + threadIdx.y; r < last; r += 8) v += f(r);
  __syncthreads();
  part[threadIdx.y][threadIdx.x] = v;
  __syncthreads();
  if (threadIdx.y == 0)
    for (int k = 1; k < 8; ++k) v += part[k][threadIdx.x];
  return v;
}

// Sums over rows for W neighbouring columns a thread: f(row, v) adds what the row gives to each of them. Block (across,
// down), down a power of two: a thread takes every down-th row of the block's chunk, and what the threads of a column
// have is folded in halves. The sums are left with the threads of threadIdx.y == 0.
template <int W, class V, class F>
__device__ __forceinline__ void column_packs(V (&v)[W], long long rows, long long rows_a_chunk, bool inside, F f) {
  __shared__ V part[256][W];
  const int across = blockDim.x, slot = threadIdx.y * across + threadIdx.x;
  const long long first = blockIdx.y * rows_a_chunk, last = first + rows_a_chunk < rows ? first + rows_a_chunk : rows;
#pragma unroll
  for (int i = 0; i < W; ++i) v[i] = V{};
  if (inside) {
    long long r = first + threadIdx.y;
    const int down = blockDim.y;
    for (; r + 3 * down < last; r += 4 * down)
#pragma unroll
      for (int u = 0; u < 4; ++u) f(r + u * down, v);  // no branch between: four rows are on their way together
#pragma unroll 1
    for (; r < last; r += down) f(r, v);
  }
  __syncthreads();  // an earlier sum may still be read
#pragma unroll
  for (int i = 0; i < W; ++i) part[slot][i] = v[i];
  for (int half = blockDim.y >> 1; half; half >>= 1) {
    __syncthreads();
    if (threadIdx.y < half)
#pragma unroll
      for (int i = 0; i < W; ++i) part[slot][i] += part[slot + half * across][i];
  }
#pragma unroll
  for (int i = 0; i < W; ++i) v[i] = part[slot][i];
}

}  // namespace gg

#endif
