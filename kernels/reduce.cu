// Reductions in a fixed order: sum, sum of squares, product, maximum, minimum (nan propagates in the last two), and
// argmax/argmin. OP below is one of sum, sum_squares, prod, max, min.
//
//   reduce_rows_OP(x, y, rows, columns, scale)          y[row] = scale OP over the row; `_warp`, `_block` as in softmax.cu
//   reduce_all_OP(x, part, n)                           first stage over n elements: part[block]; block (256,), grid any
//   finish_OP(part, y, n, scale)                        y[0] = scale OP over part[0..n); block (256,), grid (1,)
//   reduce_columns_OP(x, part, rows, columns, rows_a_chunk)   first stage over the first axis: part[chunk, column];
//                                                       block (32, 8), grid (ceil(columns / 32), chunks)
//   finish_columns_OP(part, y, chunks, columns, scale)  y[column] = scale OP over the chunks; block (k,), grid any
//   argmax(x, y, rows, columns), argmin                 y[row]: long long, the first of equals, a nan before all else
//
// x, y: the storage type, x C-contiguous; part: the compute type (float for halves), as `scale`; sizes: long long.
// A mean is a sum with scale = 1 / n.
#include "reduce.cuh"

namespace gg {

template <class Op, class By, class T, class C>
__device__ void reduce_rows(const T* x, T* y, long long rows, long long columns, C scale) {
  const long long row = By::row();
  if (row >= rows) return;
  x += row * columns;
  C v = Op::template identity<C>();
  for (long long c = By::rank(); c < columns; c += By::size()) v = Op::combine(v, Op::map(load<C>(x[c])));
  v = By::template reduce<Op, C>(v);
  if (By::rank() == 0) y[row] = store<T>(v * scale);
}

template <class Op, class T, class C> __device__ void reduce_all(const T* x, C* part, long long n) {
  const long long threads = (long long)gridDim.x * blockDim.x;
  C v = Op::template identity<C>();
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += threads)
    v = Op::combine(v, Op::map(load<C>(x[i])));
  v = Team<true>::reduce<Op, C>(v);
  if (threadIdx.x == 0) part[blockIdx.x] = v;
}

template <class Op, class T, class C> __device__ void finish(const C* part, T* y, long long n, C scale) {
  C v = Op::template identity<C>();
  for (long long i = threadIdx.x; i < n; i += blockDim.x) v = Op::combine(v, part[i]);
  v = Team<true>::reduce<Op, C>(v);
  if (threadIdx.x == 0) y[0] = store<T>(v * scale);
}

template <class Op, class T, class C>
__device__ void reduce_columns(const T* x, C* part, long long rows, long long columns, long long rows_a_chunk) {
  const long long c = (long long)blockIdx.x * 32 + threadIdx.x;
  const C v = column_chunk<Op, C>(rows, rows_a_chunk, c < columns,
                                  [=](long long r) { return Op::map(load<C>(x[r * columns + c])); });
  if (threadIdx.y == 0 && c < columns) part[blockIdx.y * columns + c] = v;
}

template <class Op, class T, class C>
__device__ void finish_columns(const C* part, T* y, long long chunks, long long columns, C scale) {
  const long long threads = (long long)gridDim.x * blockDim.x;
  for (long long c = (long long)blockIdx.x * blockDim.x + threadIdx.x; c < columns; c += threads) {
    C v = Op::template identity<C>();
    for (long long k = 0; k < chunks; ++k) v = Op::combine(v, part[k * columns + c]);
    y[c] = store<T>(v * scale);
  }
}

template <class C> struct Place {
  C value;
  long long at;
};
template <class C> __device__ __forceinline__ Place<C> exchange(Place<C> v, int lanes) {
  return {exchange(v.value, lanes), exchange(v.at, lanes)};
}
// at < 0: nothing seen yet. Among nans, as among equals, the first.
template <bool Largest> struct First {
  template <class C> static __device__ __forceinline__ Place<C> combine(Place<C> a, Place<C> b) {
    if (a.at < 0 || b.at < 0) return a.at < 0 ? b : a;
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan) return a_nan ? a : b;
    if (a_nan || a.value == b.value) return a.at < b.at ? a : b;
    return (a.value > b.value) == Largest ? a : b;
  }
};

template <bool Largest, class By, class T>
__device__ void arg(const T* x, long long* y, long long rows, long long columns) {
  using C = real<T>;
  const long long row = By::row();
  if (row >= rows) return;
  x += row * columns;
  Place<C> best = {C(0), -1};
  for (long long c = By::rank(); c < columns; c += By::size())
    best = First<Largest>::combine(best, Place<C>{load<C>(x[c]), c});
  best = By::template reduce<First<Largest>, Place<C>>(best);
  if (By::rank() == 0) y[row] = best.at;
}

}  // namespace gg

#define GG_ONE(op, Op, T, tag)                                                                                       \
  extern "C" __global__ void gg_reduce_rows_##op##_warp_##tag(const T* x, T* y, long long rows, long long columns,   \
                                                              gg::real<T> scale) {                                   \
    gg::reduce_rows<Op, gg::Team<false>>(x, y, rows, columns, scale);                                                \
  }                                                                                                                  \
  extern "C" __global__ void gg_reduce_rows_##op##_block_##tag(const T* x, T* y, long long rows, long long columns,  \
                                                               gg::real<T> scale) {                                  \
    gg::reduce_rows<Op, gg::Team<true>>(x, y, rows, columns, scale);                                                 \
  }                                                                                                                  \
  extern "C" __global__ void gg_reduce_all_##op##_##tag(const T* x, gg::real<T>* part, long long n) {                \
    gg::reduce_all<Op>(x, part, n);                                                                                  \
  }                                                                                                                  \
  extern "C" __global__ void gg_finish_##op##_##tag(const gg::real<T>* part, T* y, long long n, gg::real<T> scale) { \
    gg::finish<Op>(part, y, n, scale);                                                                               \
  }                                                                                                                  \
  extern "C" __global__ void gg_reduce_columns_##op##_##tag(const T* x, gg::real<T>* part, long long rows,           \
                                                            long long columns, long long rows_a_chunk) {             \
    gg::reduce_columns<Op>(x, part, rows, columns, rows_a_chunk);                                                    \
  }                                                                                                                  \
  extern "C" __global__ void gg_finish_columns_##op##_##tag(const gg::real<T>* part, T* y, long long chunks,         \
                                                            long long columns, gg::real<T> scale) {                  \
    gg::finish_columns<Op>(part, y, chunks, columns, scale);                                                         \
  }
#define GG_ARG(way, By, T, tag)                                                                                      \
  extern "C" __global__ void gg_argmax_##way##_##tag(const T* x, long long* y, long long rows, long long columns) {  \
    gg::arg<true, By>(x, y, rows, columns);                                                                          \
  }                                                                                                                  \
  extern "C" __global__ void gg_argmin_##way##_##tag(const T* x, long long* y, long long rows, long long columns) {  \
    gg::arg<false, By>(x, y, rows, columns);                                                                         \
  }
#define GG_ENTRIES(T, tag)                     \
  GG_ONE(sum, gg::Sum, T, tag)                 \
  GG_ONE(sum_squares, gg::SumSquares, T, tag)  \
  GG_ONE(prod, gg::Product, T, tag)            \
  GG_ONE(max, gg::Maximum, T, tag)             \
  GG_ONE(min, gg::Minimum, T, tag)             \
  GG_ARG(warp, gg::Team<false>, T, tag)        \
  GG_ARG(block, gg::Team<true>, T, tag)
#include "instantiate.cuh"
#undef GG_ONE
#undef GG_ARG
