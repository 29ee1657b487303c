// Few long rows: several blocks share a row, each with a piece of it, in two launches. The first leaves what a piece
// adds to the row's sums in part[row, piece, :], in the compute type; in the second each block puts together what all
// pieces of its row have left, in one order, and finishes its own piece. Both: block (32 2^k,), grid (pieces, rows); a
// piece is `a_piece` columns, a multiple of 16 bytes, the last one what is left. No dynamic shared memory.
#ifndef GG_PIECES_CUH
#define GG_PIECES_CUH
#include "rows.cuh"

namespace gg {

__device__ __forceinline__ Piece piece_of(long long columns, long long a_piece) {
  const long long first = blockIdx.x * a_piece, left = columns - first;
  return {blockIdx.y * columns + first, first, (unsigned)(left < a_piece ? left : a_piece)};
}

// K numbers of this block's piece, the same in all threads.
template <int K, class C> __device__ __forceinline__ void leave(C* part, const C (&v)[K]) {
  if (threadIdx.x == 0)
#pragma unroll
    for (int k = 0; k < K; ++k) part[((long long)blockIdx.y * gridDim.x + blockIdx.x) * K + k] = v[k];
}

// What the pieces of this block's row have left: f(numbers, piece) for each, a thread taking every size()-th.
template <int K, class C, class F> __device__ __forceinline__ void collect(const C* part, int pieces, F f) {
  for (int i = threadIdx.x; i < pieces; i += blockDim.x) f(part + ((long long)blockIdx.y * pieces + i) * K, i);
}

template <int K, class C> __device__ __forceinline__ C sum_of_pieces(const C* part, int pieces, int k) {
  C sum = C(0);
  collect<K>(part, pieces, [&](const C* v, int) { sum += v[k]; });
  return Shared::sum(sum);
}

// The first two of K numbers as maximum and sum of exponentials of the row.
template <class T, int K, class C> __device__ __forceinline__ MaxSum<C> max_sum_of_pieces(const C* part, int pieces) {
  MaxSum<C> v = {-infinity<C>(), C(0)};
  collect<K>(part, pieces, [&](const C* p, int) { v.m = fmax(v.m, p[0]); });
  v.m = Shared::reduce<Largest, C>(v.m);
  collect<K>(part, pieces, [&](const C* p, int) { v.s += p[1] * exponential<T>(p[0] - v.base()); });
  v.s = Shared::sum(v.s);
  return v;
}

}  // namespace gg

#define GG_PIECES(name, tag) extern "C" __global__ void __launch_bounds__(512) gg_##name##_##tag

#endif
