// Rows as a team of threads works on them: read from device memory once, 16 bytes at a time, and kept for further
// passes, in registers or in shared memory. Which team, says the form of a kernel; the host chooses it by the columns:
//
//   form     a row's threads   rows of up to           blocks and grid
//   four     4                 64 elements             (32 k,), any grid
//   sixteen  16                256                     (32 k,), any grid
//   warp     32                1024                    (32 k,), any grid
//   block64  64                2048                    (64,), grid (rows,)
//   block128 128               4096                    (128,), grid (rows,)
//   block256 256               8192                    (256,), grid (rows,)
//   shared   the block         any                     (32 2^k,), grid (rows,), dynamic shared memory
//
// in double half as many elements. The forms by registers need no shared memory of the launch, and a row that they do
// not hold is a mistake. The shared form keeps as much of a row as the launch gave memory for, none included; the rest
// is read again by each pass, the last part first, which is what a cache still has.
#ifndef GG_ROWS_CUH
#define GG_ROWS_CUH
#include "reduce.cuh"

namespace gg {

// A line is one row of N + L arrays of one shape, beside M vectors that all rows share (weights of columns; 0 where
// null). A row at or behind `rows` has no elements. Passes:
//
//   each(f)          f(values, column, k) for every element of this thread's: N + L + M values, k its number here
//   write(y, f)      y[column] = f(values, column, k); y: the row of an output, which may be an input
//
// The last argument says how much of the block's shared memory is taken by something else, in bytes from its start.
// `each` of the shared form does not read the L arrays, and k is 0 there. In registers, what f changes of the N + L
// values stays changed.
template <class By, class T, int N, int L = 0, int M = 0> using Line = typename By::template Line<T, N, L, M>;

// Whether these addresses are on a boundary: none of the low bits is set.
template <class T, int A>
__device__ __forceinline__ unsigned long long low_bits(const T* const (&given)[A], const T* out) {
  unsigned long long bits = (unsigned long long)out;
#pragma unroll
  for (int a = 0; a < A; ++a) bits |= (unsigned long long)given[a];
  return bits;
}

// How a row is shared out where registers hold it: the k-th element of this thread is in column(k), for k < mine.
// Rows of whole packs in arrays that begin on 16 bytes move as packs; any others by elements.
template <class By, class T> struct Split {
  static constexpr int W = 16 / sizeof(T);
  int mine;
  bool wide;
  __device__ __forceinline__ Split(unsigned long long addresses, int columns) {
    wide = !((addresses | columns * sizeof(T)) & 15);
    mine = ((wide ? columns / W : columns) - By::rank() + By::size() - 1) / By::size() * (wide ? W : 1);
  }
  __device__ __forceinline__ int column(int k) const {
    return wide ? (k / W * By::size() + By::rank()) * W + k % W : k * By::size() + By::rank();
  }
};

template <class By, class T, int A, int M> struct RegisterLine {
  using Stored = T;
  using C = real<T>;
  static constexpr int W = 16 / sizeof(T), Held = By::template held<T>;
  const T* at[A + M];
  Split<By, T> split;
  C kept[A][Held];

  __device__ __forceinline__ RegisterLine(const T* const (&given)[A + M], long long row, long long rows,
                                          long long columns, const T* out, unsigned = 0)
      : split(low_bits(given, out), row < rows ? (int)columns : 0) {
#pragma unroll
    for (int a = 0; a < A + M; ++a) at[a] = a < A ? given[a] + row * columns : given[a];
    if (split.wide) {
#pragma unroll
      for (int k = 0; k < Held; k += W) {
        if (k >= split.mine) break;
#pragma unroll
        for (int a = 0; a < A; ++a) {
          const Pack<T, W> pack(at[a] + split.column(k));
#pragma unroll
          for (int j = 0; j < W; ++j) kept[a][k + j] = load<C>(pack.v[j]);
        }
      }
    } else {
#pragma unroll
      for (int k = 0; k < Held; ++k)
#pragma unroll
        for (int a = 0; a < A; ++a)
          if (k < split.mine) kept[a][k] = load<C>(at[a][split.column(k)]);
    }
  }

  template <class F> __device__ __forceinline__ void each(F f) {
    if (split.wide) packs<false>(nullptr, f);
    else elements<false>(nullptr, f);
  }
  template <class F> __device__ __forceinline__ void write(T* y, F f) {
    if (split.wide) packs<true>(y, f);
    else elements<true>(y, f);
  }

  template <bool Store, class F> __device__ __forceinline__ void packs(T* y, F f) {
#pragma unroll
    for (int k = 0; k < Held; k += W) {
      if (k >= split.mine) break;
      const int c = (k / W * By::size() + By::rank()) * W;
      Pack<T, W> shared[M + 1], to;
#pragma unroll
      for (int m = 0; m < M; ++m)
        if (at[A + m]) shared[m] = Pack<T, W>(at[A + m] + c);
#pragma unroll
      for (int j = 0; j < W; ++j) {
        C v[A + M];
#pragma unroll
        for (int m = 0; m < M; ++m) v[A + m] = at[A + m] ? load<C>(shared[m].v[j]) : C(0);
        to.v[j] = one<Store>(f, v, c + j, k + j);
      }
      if constexpr (Store) to.to(y + c);
    }
  }

  template <bool Store, class F> __device__ __forceinline__ void elements(T* y, F f) {
#pragma unroll
    for (int k = 0; k < Held; ++k) {
      if (k >= split.mine) continue;
      const int c = k * By::size() + By::rank();
      C v[A + M];
#pragma unroll
      for (int m = 0; m < M; ++m) v[A + m] = at[A + m] ? load<C>(at[A + m][c]) : C(0);
      const T out = one<Store>(f, v, c, k);
      if constexpr (Store) y[c] = out;
    }
  }

  // f of the k-th element, whose shared values are in v; what it gives where that is stored.
  template <bool Store, class F> __device__ __forceinline__ T one(F f, C (&v)[A + M], int c, int k) {
#pragma unroll
    for (int a = 0; a < A; ++a) v[a] = kept[a][k];
    if constexpr (Store) {
      return store<T>(f(v, c, k));
    } else {
      f(v, c, k);
#pragma unroll
      for (int a = 0; a < A; ++a) kept[a][k] = v[a];
      return T();
    }
  }
};

// A part of a row: where it begins, in its array and in its row, and how long it is. In shared memory a line may be such
// a part; its columns count from there.
struct Piece {
  long long at, first;
  unsigned columns;
};

// The dynamic shared memory of a block, and its size in bytes.
__device__ __forceinline__ uint4* block_memory() {
  extern __shared__ uint4 gg_block_memory[];
  return gg_block_memory;
}
__device__ __forceinline__ unsigned block_memory_size() {
#ifdef __CUDA_ARCH__
  unsigned bytes;
  asm("mov.u32 %0, %%dynamic_smem_size;" : "=r"(bytes));
  return bytes;
#else
  return gg_dynamic_size;  // on the host, where tests execute kernels
#endif
}

// Each thread comes back to its own elements only, so shared memory needs no barriers here. Where arrays begin on 16
// bytes a unit is a pack, and what a row has before its first boundary and behind its last one is read again by each
// pass: at most 2 (W - 1) elements. Elsewhere a unit is an element.
template <class By, class T, int N, int L, int M> struct SharedLine {
  using Stored = T;
  using C = real<T>;
  static constexpr int W = 16 / sizeof(T), A = N + L, Held = 0;
  static constexpr int AtOnce = A == 1 ? 4 : 2;  // units of each array that a thread asks for before it uses them
  const T* at[A + M];
  unsigned columns, units, room, head, taken;  // a row has less than 2^31 elements: the host sees to it
  bool wide, read, turned;

  __device__ __forceinline__ SharedLine(const T* const (&given)[A + M], long long row, long long rows, long long columns,
                                        const T* out, unsigned taken = 0)
      : SharedLine(given, Piece{row * columns, 0, row < rows ? (unsigned)columns : 0}, out, taken) {}
  __device__ __forceinline__ SharedLine(const T* const (&given)[A + M], const Piece& piece, const T* out,
                                        unsigned taken = 0)
      : columns(piece.columns), taken(taken), read(false), turned(false) {
    wide = !(low_bits(given, out) & 15);
#pragma unroll
    for (int a = 0; a < A + M; ++a) at[a] = a >= A && !given[a] ? nullptr : given[a] + (a < A ? piece.at : piece.first);
    head = wide ? (unsigned)-piece.at & (W - 1) : 0;
    if (head > this->columns) head = this->columns;
    units = wide ? (this->columns - head) / W : this->columns;
    room = (block_memory_size() - taken) / (N * (wide ? 16 : sizeof(T)));
  }

  template <class F> __device__ __forceinline__ void each(F f) {
    walk<false>([&](auto unit, unsigned c) {
#pragma unroll
      for (int j = 0; j < unit.width; ++j) {
        C v[A + M];
        unit.get(v, j);
        f(v, c + j, 0);
      }
    });
  }
  template <class F> __device__ __forceinline__ void write(T* y, F f) {
    walk<true>([&](auto unit, unsigned c) {
      Pack<T, unit.width> to;
#pragma unroll
      for (int j = 0; j < unit.width; ++j) {
        C v[A + M];
        unit.get(v, j);
        to.v[j] = store<T>(f(v, c + j, 0));
      }
      to.last_to(y + c);
    });
  }
  // f(x): the elements of the first array, an array of several or of one.
  template <class F> __device__ __forceinline__ void groups(F f) {
    walk<false>([&](auto unit, unsigned) {
      C x[unit.width];
#pragma unroll
      for (int j = 0; j < unit.width; ++j) x[j] = load<C>(unit.from[0].v[j]);
      f(x);
    });
  }

  template <int V> struct Unit {
    static constexpr int width = V;
    Pack<T, V> from[A + M];
    __device__ __forceinline__ void get(C (&values)[A + M], int j) const {
#pragma unroll
      for (int a = 0; a < A + M; ++a) values[a] = load<C>(from[a].v[j]);
    }
  };

  template <bool Late, class F> __device__ __forceinline__ void walk(F f) {
    if (!wide) {
      walk_units<1, Late>(f);
    } else {
      walk_units<W, Late>(f);
      const unsigned inside = units * W;
      for (unsigned i = By::rank(); i < columns - inside; i += By::size()) {
        const unsigned c = i < head ? i : i + inside;
        Unit<1> unit;
#pragma unroll
        for (int a = 0; a < A; ++a)
          if (a < N || Late) unit.from[a] = Pack<T, 1>(at[a] + c);
        use<Late>(f, unit, c);
      }
    }
    read = true;
    turned = !turned;
  }

  // The units of this thread's, forwards and backwards by turns. The first time they come from device memory, and go
  // into shared memory as far as there is room.
  template <int V, bool Late, class F> __device__ __forceinline__ void walk_units(F f) {
    const unsigned rank = By::rank(), size = By::size();
    if (rank >= units) return;
    const unsigned last = (units - 1 - rank) & -size;
    for (unsigned i = 0; i <= last; i += AtOnce * size) {
      Unit<V> unit[AtOnce];
#pragma unroll
      for (int u = 0; u < AtOnce; ++u) {
        const unsigned there = i + u * size, p = rank + (turned ? last - there : there);
        if (there > last) break;
        const unsigned c = head + p * V;
#pragma unroll
        for (int a = 0; a < A; ++a) {
          if (a < N && read && p < room) unit[u].from[a].word = *memory<V>(a, p);
          else if (a < N || Late) unit[u].from[a] = Pack<T, V>(at[a] + c);
        }
      }
#pragma unroll
      for (int u = 0; u < AtOnce; ++u) {
        const unsigned there = i + u * size, p = rank + (turned ? last - there : there);
        if (there > last) break;
        if (!read && p < room)
#pragma unroll
          for (int a = 0; a < N; ++a) *memory<V>(a, p) = unit[u].from[a].word;
        use<Late>(f, unit[u], head + p * V);
      }
    }
  }

  template <int V> __device__ __forceinline__ typename Word<V * sizeof(T)>::type* memory(int a, unsigned p) {
    using Unit = typename Word<V * sizeof(T)>::type;
    return reinterpret_cast<Unit*>(block_memory() + taken / 16) + (a * room + p);
  }

  template <bool Late, class F, int V> __device__ __forceinline__ void use(F f, Unit<V>& unit, unsigned c) {
#pragma unroll
    for (int a = Late ? A : N; a < A + M; ++a) {
      Pack<T, V>& pack = unit.from[a];
      pack.word = {};
      if (a < A || !at[a]) continue;
      if (!head) pack = Pack<T, V>(at[a] + c);
      else
#pragma unroll
        for (int j = 0; j < V; ++j) pack.v[j] = at[a][c + j];  // on another boundary than rows
    }
    f(unit, c);
  }
};

// `Count` sums for each column over the rows that a unit walks through, which are as lines find them: add(i, column, k,
// value), where k is what a line says. `put` writes them as `Count` rows. Here in registers.
template <class By, class T, int Count> struct RegisterSums {
  using C = real<T>;
  static constexpr int Held = By::template held<T>;
  static constexpr unsigned taken = 0;
  Split<By, T> split;
  C sums[Count][Held] = {};
  __device__ __forceinline__ RegisterSums(unsigned long long addresses, long long columns)
      : split(addresses, (int)columns) {}
  __device__ __forceinline__ void add(int i, long long, int k, C v) { sums[i][k] += v; }
  __device__ __forceinline__ void put(C* y, long long columns) {
#pragma unroll
    for (int i = 0; i < Count; ++i)
#pragma unroll
      for (int k = 0; k < Held; ++k) {
        const C sum = By::across(sums[i][k]);
        if (By::team() == 0 && k < split.mine) y[i * columns + split.column(k)] = sum;
      }
  }
};

// The same at the start of the block's shared memory. Columns that are W apart are neighbours there, so that threads
// with a pack each do not meet in a bank. Another thread may have a column in the next row, and has made its zeros: the
// barriers of a row's reduction are between.
template <class By, class T, int Count> struct SharedSums {
  using C = real<T>;
  static constexpr int W = 16 / sizeof(T);
  long long packs;
  unsigned taken;
  __device__ __forceinline__ SharedSums(unsigned long long, long long columns) : packs((columns + W - 1) / W) {
    taken = Count * W * packs * sizeof(C);
    for (long long i = threadIdx.x; i < Count * W * packs; i += blockDim.x) memory()[i] = C(0);
  }
  __device__ __forceinline__ C* memory() { return reinterpret_cast<C*>(block_memory()); }
  __device__ __forceinline__ C& at(int i, long long c) { return memory()[(i * W + (c & (W - 1))) * packs + c / W]; }
  __device__ __forceinline__ void add(int i, long long c, int, C v) { at(i, c) += v; }
  __device__ __forceinline__ void put(C* y, long long columns) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < Count; ++i)
      for (long long c = threadIdx.x; c < columns; c += blockDim.x) y[i * columns + c] = at(i, c);
  }
};

// The threads that share a row. `any` is the same for all threads that wait for each other, so that lanes without a
// row go along; `row() + apart()` is a team's next row. A unit (a warp, a block) has `Teams` teams, and `across` adds
// what they have.
template <int Size, int Most> struct Lanes {
  static constexpr int Teams = 32 / Size, Threads = 256;
  template <class T> static constexpr int held = sizeof(T) == 8 ? Most / 2 : Most;
  template <class T, int N, int L, int M> using Line = RegisterLine<Lanes, T, N + L, M>;
  template <class T, int Count> using Sums = RegisterSums<Lanes, T, Count>;
  static __device__ __forceinline__ int rank() { return threadIdx.x & (Size - 1); }
  static __device__ __forceinline__ int size() { return Size; }
  static __device__ __forceinline__ int team() { return (threadIdx.x & 31) / Size; }
  static __device__ __forceinline__ long long unit() {
    return (long long)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
  }
  static __device__ __forceinline__ long long row() { return unit() * Teams + team(); }
  static __device__ __forceinline__ bool any(long long row, long long rows) { return row - team() < rows; }
  static __device__ __forceinline__ long long apart() { return (long long)gridDim.x * (blockDim.x / Size); }
  template <class Op, class V> static __device__ __forceinline__ V reduce(V v) {
#pragma unroll
    for (int d = Size / 2; d; d >>= 1) v = Op::combine(v, exchange(v, d));
    return v;
  }
  template <class V> static __device__ __forceinline__ V sum(V v) { return reduce<Sum, V>(v); }
  template <class V> static __device__ __forceinline__ V across(V v) {
#pragma unroll
    for (int d = 16; d >= Size; d >>= 1) v += exchange(v, d);
    return v;
  }
};

struct AllOfBlock : BlockTeam {
  static constexpr int Teams = 1;
  static __device__ __forceinline__ int team() { return 0; }
  static __device__ __forceinline__ long long unit() { return blockIdx.x; }
  static __device__ __forceinline__ bool any(long long row, long long rows) { return row < rows; }
  static __device__ __forceinline__ long long apart() { return gridDim.x; }
  template <class V> static __device__ __forceinline__ V across(V v) { return v; }
};

using Four = Lanes<4, 16>;
using Sixteen = Lanes<16, 16>;
using Warp = Lanes<32, 32>;
template <int Size> struct Block : AllOfBlock {
  static constexpr int Threads = Size;
  template <class T> static constexpr int held = sizeof(T) == 8 ? 16 : 32;
  template <class T, int N, int L, int M> using Line = RegisterLine<Block, T, N + L, M>;
  template <class T, int Count> using Sums = RegisterSums<Block, T, Count>;
  static __device__ __forceinline__ int size() { return Size; }
};
struct Shared : AllOfBlock {
  static constexpr int Threads = 1024;
  template <class T, int N, int L, int M> using Line = SharedLine<Shared, T, N, L, M>;
  template <class T, int Count> using Sums = SharedSums<Shared, T, Count>;
};

template <class C> __device__ __forceinline__ bool finite(C x) { return absolute(x) < infinity<C>(); }

// The exponential for rows of T: where results are rounded to halves, the device's own of about 2^-22 is enough.
template <class T, class C> __device__ __forceinline__ C exponential(C x) {
  if constexpr (sizeof(T) == 2) return __expf(x);
  else return exp(x);
}

// One instruction, unlike `maximum`: it forgets a nan, which the sum of exponentials keeps.
struct Largest {
  template <class C> static __device__ __forceinline__ C combine(C a, C b) { return fmax(a, b); }
};

// The maximum m of what was seen, nans aside, and the sum of exp(x - m). Where m is infinite the sum is 0 for -inf, inf
// for inf; with a nan it is nan.
template <class C> struct MaxSum {
  C m, s;
  // What exponents are taken relative to: equal infinities have no difference.
  __device__ __forceinline__ C base() const { return finite(m) ? m : C(0); }
  template <class T, int V> __device__ __forceinline__ void add(const C (&x)[V]) {
    const C before = m;
#pragma unroll
    for (int j = 0; j < V; ++j) m = fmax(m, x[j]);
    const C b = base();
    s *= exponential<T>(before - b);
#pragma unroll
    for (int j = 0; j < V; ++j) s += exponential<T>(x[j] - b);
  }
};

// The sum of a row's softmax, nan where there is none: an infinite maximum counts for logsumexp only.
template <class C> __device__ __forceinline__ C finite_sum(MaxSum<C> v) {
  return v.m == infinity<C>() ? quiet_nan<C>() : v.s;
}

// Both of a line's first array. What registers hold is looked at twice, with one exponential each, and replaced by
// exp(x - m) where that is what the caller writes; anything else is read once, rescaling as it goes.
template <class By, bool Replace, class Row> __device__ __forceinline__ auto max_sum(Row& line) {
  using C = typename Row::C;
  using T = typename Row::Stored;
  MaxSum<C> v = {-infinity<C>(), C(0)};
  if constexpr (Row::Held == 0) {
    line.groups([&](const auto& x) { v.template add<T>(x); });
    const MaxSum<C> mine = v;
    v.m = By::template reduce<Largest, C>(v.m);
    v.s = By::sum(mine.s * exponential<T>(mine.m - v.base()));
  } else {
    line.each([&](C* x, long long, int) { v.m = fmax(v.m, x[0]); });
    v.m = By::template reduce<Largest, C>(v.m);
    const C b = v.base();
    line.each([&](C* x, long long, int) {
      const C e = exponential<T>(x[0] - b);
      if (Replace) x[0] = e;
      v.s += e;
    });
    v.s = By::sum(v.s);
  }
  return v;
}

}  // namespace gg

#endif
