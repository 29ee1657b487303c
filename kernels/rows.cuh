// Rows as a team of threads works on them: read once, 16 bytes at a time, and kept in registers for further passes.
#ifndef GG_ROWS_CUH
#define GG_ROWS_CUH
#include "reduce.cuh"

namespace gg {

// What a thread keeps of a row: 1024 columns a warp, 8192 a block of 256 threads; half of that in double.
template <class T> constexpr int held_elements = sizeof(T) == 8 ? 16 : 32;

// One row of N arrays of one shape, beside M vectors that all rows share (weights of columns; 0 where null). Passes:
//
//   each(f)          f(values, column, k) for every element of this thread's: the N + M values, k its number here
//   write(y, f)      y[column] = f(values, column, k); y: the row of an output, which may be an input
//
// Where the arrays begin on 16 bytes, 16 bytes are moved at a time, but for what a row has before its first boundary
// and behind its last one. Short rows are in registers once the line is made (`held`), and k tells their elements apart
// where rows begin on a boundary. Others are read again by each pass.
template <class By, class T, int N, int M = 0> struct Line {
  using C = real<T>;
  static constexpr int W = 16 / sizeof(T), Held = held_elements<T>, Packs = Held / W;
  const T* at[N + M];
  long long columns, packs;
  int head;  // elements before the first boundary
  bool wide, held;
  C kept[N][Held];

  __device__ __forceinline__ Line(const T* const (&given)[N + M], long long row, long long columns, const T* out)
      : columns(columns) {
    unsigned long long low = (unsigned long long)out;
#pragma unroll
    for (int a = 0; a < N + M; ++a) {
      low |= (unsigned long long)given[a];
      at[a] = a < N ? given[a] + row * columns : given[a];
    }
    wide = !(low & 15);
    head = (int)(-(row * columns) & (W - 1));
    if (head > columns) head = (int)columns;
    packs = (columns - head) / W;
    held = wide && packs <= (long long)Packs * By::size();
    if (!held) return;
#pragma unroll
    for (int k = 0; k < Packs; ++k) {
      const int p = k * By::size() + By::rank();
      if (p >= packs) break;
#pragma unroll
      for (int a = 0; a < N; ++a) {
        const Pack<T, W> pack(at[a] + head + p * W);
#pragma unroll
        for (int j = 0; j < W; ++j) kept[a][k * W + j] = load<C>(pack.v[j]);
      }
    }
  }

  template <class F> __device__ __forceinline__ void each(F f) { pass<false>(nullptr, f); }
  template <class F> __device__ __forceinline__ void write(T* y, F f) { pass<true>(y, f); }

  template <bool Store, class F> __device__ __forceinline__ void pass(T* y, F f) {
    if (held) {
#pragma unroll
      for (int k = 0; k < Packs; ++k) {
        const int p = k * By::size() + By::rank();
        if (p >= packs) break;
        pack<Store, true>(y, f, head + p * W, k);
      }
    } else if (wide) {
      for (long long p = By::rank(); p < packs; p += By::size()) pack<Store, false>(y, f, head + p * W, 0);
    }
    // All of a row without packs; else what is left at both ends, at most 2 (W - 1) elements.
    const long long skip = wide ? packs * W : 0;
    for (long long i = By::rank(); i < columns - skip; i += By::size())
      one<Store>(y, f, i < head || !wide ? i : i + skip);
  }

  template <bool Store, class F> __device__ __forceinline__ void one(T* y, F f, long long c) {
    C values[N + M];
#pragma unroll
    for (int a = 0; a < N + M; ++a) values[a] = at[a] ? load<C>(at[a][c]) : C(0);
    if constexpr (Store) y[c] = store<T>(f(values, c, 0));
    else f(values, c, 0);
  }

  // The W elements from column c on, the k-th ones of this thread.
  template <bool Store, bool Kept, class F>
  __device__ __forceinline__ void pack(T* y, F f, long long c, int k) {
    Pack<T, W> from[N + M], to;
#pragma unroll
    for (int a = Kept ? N : 0; a < N + M; ++a)
      if (at[a] && (a < N || !head)) from[a] = Pack<T, W>(at[a] + c);
#pragma unroll
    for (int j = 0; j < W; ++j) {
      C values[N + M];
#pragma unroll
      for (int a = 0; a < N + M; ++a) {
        if (Kept && a < N) values[a] = kept[a][k * W + j];
        else if (a >= N && head) values[a] = at[a] ? load<C>(at[a][c + j]) : C(0);  // on another boundary than rows
        else values[a] = at[a] ? load<C>(from[a].v[j]) : C(0);
      }
      if constexpr (Store) to.v[j] = store<T>(f(values, c + j, k * W + j));
      else f(values, c + j, k * W + j);
    }
    if constexpr (Store) to.to(y + c);
  }
};

// The maximum m of what was seen and the sum of exp(x - m).
template <class C> struct MaxSum {
  C m, s;
  __device__ __forceinline__ void add(C x) {
    if (x > m) {
      s = s * exp(m - x) + C(1);
      m = x;
    } else {
      s += x == m ? C(1) : exp(x - m);  // equal infinities have no difference
    }
  }
};
template <class C> __device__ __forceinline__ MaxSum<C> exchange(MaxSum<C> v, int lanes) {
  return {exchange(v.m, lanes), exchange(v.s, lanes)};
}
struct MergeMaxSum {
  template <class C> static __device__ __forceinline__ MaxSum<C> combine(MaxSum<C> a, MaxSum<C> b) {
    const C m = maximum(a.m, b.m);
    return {m, a.s * (a.m == m ? C(1) : exp(a.m - m)) + b.s * (b.m == m ? C(1) : exp(b.m - m))};
  }
};

// Both of a line's first array. What registers hold is looked at twice, with one exponential each; anything else is
// read once, rescaling as it goes.
template <class By, class T, int N, int M> __device__ __forceinline__ MaxSum<real<T>> max_sum(Line<By, T, N, M>& line) {
  using C = real<T>;
  MaxSum<C> v = {-infinity<C>(), C(0)};
  if (!line.held) {
    line.each([&](const C* x, long long, int) { v.add(x[0]); });
    return By::template reduce<MergeMaxSum, MaxSum<C>>(v);
  }
  line.each([&](const C* x, long long, int) { v.m = maximum(v.m, x[0]); });
  v.m = By::template reduce<Maximum, C>(v.m);
  line.each([&](const C* x, long long, int) { v.s += x[0] == v.m ? C(1) : exp(x[0] - v.m); });
  v.s = By::sum(v.s);
  return v;
}

// What a thread has summed up for each element that lines hold, to y[column]: y has the compute type, and no boundary.
template <class By, class T, class C>
__device__ __forceinline__ void put_held(const C (&sums)[held_elements<T>], C* y, long long columns) {
  constexpr int W = 16 / sizeof(T);
#pragma unroll
  for (int k = 0; k < held_elements<T>; ++k) {
    const int c = (k / W * By::size() + By::rank()) * W + k % W;
    if (c < columns) y[c] = sums[k];
  }
}

}  // namespace gg

#endif
