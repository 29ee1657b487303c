// The skeleton of every elementwise kernel. A kernel is a functor F with `static void at(operands...)` for one
// element, and operands that know how they are stored: In and Out (arrays, each with a slot number in the layout)
// and Value (a number passed by value). Three ways through the data:
//   contiguous: every array dense in the same order; W elements (at most 16 bytes) an access, two in flight; indices
//               of 32 bits: a fifth fewer instructions in a short kernel, and fewer registers;
//   rows:       innermost stride 1 or 0 in every array, the same wide accesses; bias and row broadcasts;
//   strided:    any strides, one element at a time.
// Input and output may be the same array: a thread loads what it needs before it stores, and nobody else's.
#ifndef GG_ELEMENTWISE_CUH
#define GG_ELEMENTWISE_CUH
#include "math.cuh"

namespace gg {

template <int S, class T, class C> struct In {
  const T* at;
  template <int W, int U> struct Lane {
    Pack<T, W> v[U];
    template <class I> __device__ __forceinline__ Lane(In in, I first, unsigned gap, bool advance) {
#pragma unroll
      for (int u = 0; u < U; ++u) {
        const T* from = in.at + first + u * gap;
        if (W == 1 || advance) {
          v[u] = Pack<T, W>(from);
        } else {
          const T one = *from;
#pragma unroll
          for (int k = 0; k < W; ++k) v[u].v[k] = one;
        }
      }
    }
    __device__ __forceinline__ C get(int k) { return load<C>(v[k / W].v[k % W]); }
    __device__ __forceinline__ void finish() {}
  };
  static const int slot = S;
};

template <int S, class T, class C> struct Out {
  T* at;
  template <int W, int U> struct Lane {
    T* to;
    unsigned gap;
    C v[W * U];
    template <class I>
    __device__ __forceinline__ Lane(Out out, I first, unsigned gap, bool) : to(out.at + first), gap(gap) {}
    __device__ __forceinline__ C& get(int k) { return v[k]; }
    __device__ __forceinline__ void finish() {
#pragma unroll
      for (int u = 0; u < U; ++u) {
        Pack<T, W> p;
#pragma unroll
        for (int k = 0; k < W; ++k) p.v[k] = store<T>(v[u * W + k]);
        p.to(to + u * gap);
      }
    }
  };
  static const int slot = S;
};

template <class C> struct Value {
  C value;
  template <int W, int U> struct Lane {
    C v;
    template <class I> __device__ __forceinline__ Lane(Value in, I, unsigned, bool) : v(in.value) {}
    __device__ __forceinline__ C get(int) { return v; }
    __device__ __forceinline__ void finish() {}
  };
  static const int slot = -1;
};

template <class F, int N, class... Lanes> __device__ __forceinline__ void work(Lanes&&... lanes) {
#pragma unroll
  for (int k = 0; k < N; ++k) F::at(lanes.get(k)...);
  (lanes.finish(), ...);
}

// W elements from element `first`, and U - 1 times again `gap` elements further on.
template <class F, int W, int U, class... Ops>
__device__ __forceinline__ void dense(unsigned first, unsigned gap, Ops... ops) {
  work<F, W * U>(typename Ops::template Lane<W, U>(ops, first, gap, true)...);
}

// At most 2^31 elements, so that no index of a step beyond the end overflows: the host cuts longer arrays.
template <class F, int W, class... Ops> __device__ __forceinline__ void contiguous(unsigned n, Ops... ops) {
  const unsigned threads = gridDim.x * blockDim.x, packs = n / W;
  const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned i = thread;
#pragma unroll 1
  for (; i + threads < packs; i += 2 * threads) dense<F, W, 2>(i * W, threads * W, ops...);
  if (i < packs) dense<F, W, 1>(i * W, 0, ops...);
  if (W > 1 && thread < n - packs * W) dense<F, 1, 1>(packs * W + thread, 0, ops...);
}

// What the host computes about strided operands. `outer` runs over the dimensions but the innermost, the fastest of
// them first; strides are in elements and may be zero or negative. Every field has the index type I, so that the
// host packs it as a plain array of integers.
template <class I, int N> struct Layout {
  I inner, outer, dims;
  I shape[7];
  I strides[N][8];
};

template <class I> struct Unsigned { using type = unsigned; };
template <> struct Unsigned<long long> { using type = unsigned long long; };

template <class I, int N> __device__ __forceinline__ void locate(const Layout<I, N>& at, I row, I (&offset)[N]) {
  using Index = typename Unsigned<I>::type;
  Index rest = row;
#pragma unroll
  for (int s = 0; s < N; ++s) offset[s] = 0;
#pragma unroll 1
  for (int d = 0; d < at.dims; ++d) {
    const Index size = at.shape[d], next = rest / size;
    const I here = rest - next * size;
    rest = next;
#pragma unroll
    for (int s = 0; s < N; ++s) offset[s] += here * at.strides[s][d + 1];
  }
}

template <class Op, int W, class I, int N>
__device__ __forceinline__ typename Op::template Lane<W, 1> place(Op op, const Layout<I, N>& at, I (&offset)[N], I i) {
  const int s = Op::slot < 0 ? 0 : Op::slot;
  const I step = at.strides[s][0];
  return typename Op::template Lane<W, 1>(op, offset[s] + i * step, 0u, step != 0);
}

// Threads along x share a row, threads along y take different rows. W > 1 needs what `rows` promises.
template <class F, int W, class I, int N, class... Ops>
__device__ __forceinline__ void strided(const Layout<I, N>& layout, Ops... ops) {
  const I across = (I)gridDim.x * blockDim.x, down = (I)gridDim.y * blockDim.y, packs = layout.inner / W;
#pragma unroll 1
  for (I row = (I)blockIdx.y * blockDim.y + threadIdx.y; row < layout.outer; row += down) {
    I offset[N];
    locate(layout, row, offset);
#pragma unroll 1
    for (I c = (I)blockIdx.x * blockDim.x + threadIdx.x; c < packs; c += across)
      work<F, W>(place<Ops, W>(ops, layout, offset, c * W)...);
    const I last = packs * W + blockIdx.x * blockDim.x + threadIdx.x;
    if (W > 1 && last < layout.inner) work<F, 1>(place<Ops, 1>(ops, layout, offset, last)...);
  }
}

}  // namespace gg

#endif
