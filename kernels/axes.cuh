// Reductions over one group of neighbouring axes of an array: sums, products, extremes.
//
// The array is seen as (outer, count, inner), element (o, r, i) at x[o * outer_step + r * step + i * inner_step], and
// `count` is what goes. An operation gives two forms and the second stage of both, all with these arguments:
//
//   rows_warp(x, y, part, axes, divisor)    inner = 1. 2^lanes threads, at most 32, share a row;
//                                           block (256,), grid (ceil(outer * 2^lanes / 256), chunks)
//   rows_block(x, y, part, axes, divisor)   inner = 1. A block for each row; block (256,), grid (outer, chunks)
//   columns(x, y, part, axes, divisor)      any inner, one element an access; `columns_wide`: 16 bytes an access
//   finish(part, y, null, axes, divisor)    columns of the compute type: the second stage
//
// Columns have two ways. `flat` = 0: block (across, down), a thread has a pack of W neighbouring columns and every
// down-th row of a chunk; grid (ceil(outer * inner / W / across), chunks). `flat` = n: the rows of a matrix lie side by
// side, and n threads of a block, a multiple of the columns' period in packs, go through them as through one line, so
// that each of them stays on its columns whatever their number; grid (outer, chunks), block of n threads or more.
//
// A chunk is `a_chunk` of the count, of less than 2^31 accesses: what a thread counts is 32 bits, addresses are 64. With
// one chunk the results go to y, divided by `divisor`; with several each chunk's go to part[chunk, output] and `finish`
// reduces those over the chunks. Every order of combination follows from shapes, strides and the low bits of addresses
// alone. x: the storage type; y likewise (null where part is written); part and divisor: the compute type.
#ifndef GG_AXES_CUH
#define GG_AXES_CUH
#include "reduce.cuh"

namespace gg {

struct Axes {
  long long outer, count, inner, outer_step, step, inner_step, a_chunk, flat, lanes;
};

struct Product {
  template <class C> static __device__ __forceinline__ C combine(C a, C b) { return a * b; }
};
struct Minimum {
  template <class C> static __device__ __forceinline__ C combine(C a, C b) { return minimum(a, b); }
};

// What changes nothing that it is combined with.
template <class C> __device__ __forceinline__ C neutral(Sum) { return C(0); }
template <class C> __device__ __forceinline__ C neutral(Product) { return C(1); }
template <class C> __device__ __forceinline__ C neutral(Maximum) { return -infinity<C>(); }
template <class C> __device__ __forceinline__ C neutral(Minimum) { return infinity<C>(); }

// What is reduced: the elements themselves, or 1 for each that is the extreme of its slice (a nan is), else 0. A thread
// looks up the extremes of its N outputs once.
template <class T, int N> struct Itself {
  __device__ __forceinline__ explicit Itself(const T*) {}
  __device__ __forceinline__ void look(int, long long) {}
  template <class C> __device__ __forceinline__ C operator()(C x, int) const { return x; }
};
template <class T, int N> struct IsExtreme {
  const T* extremes;
  real<T> extreme[N];
  __device__ __forceinline__ explicit IsExtreme(const T* extremes) : extremes(extremes) {}
  __device__ __forceinline__ void look(int j, long long output) { extreme[j] = load<real<T>>(extremes[output]); }
  template <class C> __device__ __forceinline__ C operator()(C x, int j) const {
    return x == extreme[N == 1 ? 0 : j] || x != x ? C(1) : C(0);
  }
};

// W running results: packs at[k * stride] for k = from, from + gap, ... below `stop`.
template <class Op, int W, class T, class C, class Map>
__device__ __forceinline__ void gather(C (&v)[W], const T* at, long long stride, unsigned from, unsigned stop,
                                       unsigned gap, const Map& map) {
  constexpr int reading = W * sizeof(T) == 16 ? 4 : 8;  // accesses that a thread has in flight
  unsigned k = from;
#pragma unroll 1
  for (; k + (reading - 1) * gap < stop; k += reading * gap) {
    Pack<T, W> pack[reading];
#pragma unroll
    for (int u = 0; u < reading; ++u) pack[u] = Pack<T, W>(at + (k + u * gap) * stride);
#pragma unroll
    for (int u = 0; u < reading; ++u)
#pragma unroll
      for (int j = 0; j < W; ++j) v[j] = Op::combine(v[j], map(load<C>(pack[u].v[j]), j));
  }
#pragma unroll 1
  for (; k < stop; k += gap) {
    const Pack<T, W> pack(at + k * stride);
#pragma unroll
    for (int j = 0; j < W; ++j) v[j] = Op::combine(v[j], map(load<C>(pack.v[j]), j));
  }
}

template <class T, class C>
__device__ __forceinline__ void put(T* y, C* part, long long at, long long outputs, C v, C divisor) {
  if (y) y[at] = store<T>(v / divisor);
  else part[blockIdx.y * outputs + at] = v;
}

template <class Op, bool IsBlock, template <class, int> class Map = Itself, class T, class C>
__device__ void reduce_rows(const T* x, T* y, C* part, const Axes& a, C divisor, const T* extremes = nullptr) {
  constexpr int W = 16 / sizeof(T);
  const int shift = (int)a.lanes, lanes = IsBlock ? blockDim.x : 1 << shift, rank = threadIdx.x & (lanes - 1);
  const long long row =
      IsBlock ? blockIdx.x : (long long)blockIdx.x * (blockDim.x >> shift) + (threadIdx.x >> shift);
  const long long first = blockIdx.y * a.a_chunk, left = a.count - first;
  C v = neutral<C>(Op{});
  if (row < a.outer) {
    Map<T, 1> map(extremes);
    map.look(0, row);
    const T* at = x + row * a.outer_step + first * a.step;
    const unsigned n = (unsigned)(left < a.a_chunk ? left : a.a_chunk);
    C packed[W];
#pragma unroll
    for (int j = 0; j < W; ++j) packed[j] = v;
    if (a.step == 1) {
      // Elements before the first boundary of 16 bytes, packs, and what is left at both ends.
      unsigned head = (16 - ((unsigned)(unsigned long long)at & 15) & 15) / sizeof(T);
      if (head > n) head = n;
      const unsigned packs = (n - head) / W;
      gather<Op, W>(packed, at + head, W, rank, packs, lanes, map);
#pragma unroll 1
      for (unsigned i = rank; i < n - packs * W; i += lanes)
        v = Op::combine(v, map(load<C>(at[i < head ? i : i + packs * W]), 0));
    } else {
      C one[1] = {v};
      gather<Op, 1>(one, at, a.step, rank, n, lanes, map);
      v = one[0];
    }
#pragma unroll
    for (int d = W / 2; d; d /= 2)
#pragma unroll
      for (int j = 0; j < d; ++j) packed[j] = Op::combine(packed[j], packed[j + d]);
    v = Op::combine(packed[0], v);
  }
  if constexpr (IsBlock) v = BlockTeam::reduce<Op, C>(v);
  else
    for (int d = lanes >> 1; d; d >>= 1) v = Op::combine(v, exchange(v, d));
  if (rank == 0 && row < a.outer) put(y, part, row, a.outer, v, divisor);
}

template <class Op, int W, template <class, int> class Map = Itself, class T, class R, class C>
__device__ void reduce_columns(const T* x, R* y, C* part, const Axes& a, C divisor, const T* extremes = nullptr) {
  __shared__ C held[256 * W];
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
  const long long first = blockIdx.y * a.a_chunk, left = a.count - first;
  const unsigned count = (unsigned)(left < a.a_chunk ? left : a.a_chunk);
  const long long packs = a.inner / W, outputs = a.outer * a.inner;
  const int period = a.flat ? (int)a.inner : (int)blockDim.x * W;  // columns of this block
  C v[W];
#pragma unroll
  for (int j = 0; j < W; ++j) v[j] = neutral<C>(Op{});
  Map<T, W> map(extremes);
  if (a.flat) {
    const T* at = x + blockIdx.x * a.outer_step + first * a.inner;
    const unsigned n = count * (unsigned)a.inner, whole = n / W, active = (unsigned)a.flat;
    if (thread < active) {
#pragma unroll
      for (int j = 0; j < W; ++j) map.look(j, blockIdx.x * a.inner + (thread * W + j) % (int)a.inner);
      gather<Op, W>(v, at, W, thread, whole, active, map);
      if (whole % active == thread) {  // whose turn it is at what is less than a pack
#pragma unroll
        for (int j = 0; j < W; ++j)
          if (whole * W + j < n) v[j] = Op::combine(v[j], map(load<C>(at[whole * W + j]), j));
      }
    }
  } else {
    const long long q = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (q < a.outer * packs) {
      long long o = 0;
      if (a.outer > 1) o = (q | packs) >> 32 ? q / packs : (unsigned)q / (unsigned)packs;  // 32 bits are far cheaper
      const T* at = x + o * a.outer_step + (q - o * packs) * W * a.inner_step + first * a.step;
#pragma unroll
      for (int j = 0; j < W; ++j) map.look(j, q * W + j);
      gather<Op, W>(v, at, a.step, threadIdx.y, count, blockDim.y, map);
    }
  }
  // What the block's threads have of the same column, folded in halves.
#pragma unroll
  for (int j = 0; j < W; ++j) held[thread * W + j] = v[j];
  __syncthreads();
  for (int rows = (int)(a.flat ? a.flat * W / a.inner : blockDim.y); rows > 1;) {
    const int half = (rows + 1) >> 1;
    for (int e = thread; e < (rows - half) * period; e += threads)
      held[e] = Op::combine(held[e], held[e + half * period]);
    __syncthreads();
    rows = half;
  }
  const long long start = (long long)blockIdx.x * period;
  for (int e = thread; e < period && start + e < outputs; e += threads)
    put(y, part, start + e, outputs, held[e], divisor);
}

}  // namespace gg

#define GG_REDUCTION(Op, name, T, tag)                                                                               \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_rows_warp_##tag(                                     \
      const T* x, T* y, gg::real<T>* part, gg::Axes axes, gg::real<T> divisor) {                                     \
    gg::reduce_rows<Op, false>(x, y, part, axes, divisor);                                                           \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_rows_block_##tag(                                    \
      const T* x, T* y, gg::real<T>* part, gg::Axes axes, gg::real<T> divisor) {                                     \
    gg::reduce_rows<Op, true>(x, y, part, axes, divisor);                                                            \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_columns_##tag(                                       \
      const T* x, T* y, gg::real<T>* part, gg::Axes axes, gg::real<T> divisor) {                                     \
    gg::reduce_columns<Op, 1>(x, y, part, axes, divisor);                                                            \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_columns_wide_##tag(                                  \
      const T* x, T* y, gg::real<T>* part, gg::Axes axes, gg::real<T> divisor) {                                     \
    gg::reduce_columns<Op, 16 / sizeof(T)>(x, y, part, axes, divisor);                                               \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_finish_##tag(                                        \
      const gg::real<T>* x, T* y, gg::real<T>* part, gg::Axes axes, gg::real<T> divisor) {                           \
    gg::reduce_columns<Op, 1>(x, y, part, axes, divisor);                                                            \
  }

#endif
