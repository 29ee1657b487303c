// Softmax, log-softmax and logsumexp of few long rows, and their vector-Jacobian products, in pieces: see pieces.cuh for
// the launch and softmax.cu for the formulas.
//
//   max_sum_parts(x, part, columns, a_piece)              two numbers a piece: maximum, sum of exponentials
//   softmax_pieces(x, part, y, columns, a_piece)          from those
//   log_softmax_pieces(x, part, y, columns, a_piece)      likewise
//   logsumexp_of_parts(part, y, pieces)                   y[row]; grid (1, rows)
//   softmax_vjp_parts(g, y, part, columns, a_piece)       sum g y
//   softmax_vjp_pieces(g, y, part, dx, columns, a_piece)
//   log_softmax_vjp_parts(g, y, part, columns, a_piece)   sum g
//   log_softmax_vjp_pieces(g, y, part, dx, columns, a_piece)
//
// Arrays: the storage type, C-contiguous (rows, columns), or (rows,) where written [row]; part: compute type.
#include "pieces.cuh"

namespace gg {

template <class T, class C> __device__ void max_sum_parts(const T* x, C* part, long long columns, long long a_piece) {
  Line<Shared, T, 1> line({x}, piece_of(columns, a_piece), nullptr);
  const MaxSum<C> v = max_sum<Shared, false>(line);
  leave<2>(part, {v.m, v.s});
}

template <class T, class C>
__device__ void softmax_pieces(const T* x, const C* part, T* y, long long columns, long long a_piece) {
  const MaxSum<C> v = max_sum_of_pieces<T, 2>(part, gridDim.x);
  const C share = C(1) / finite_sum(v);
  const Piece piece = piece_of(columns, a_piece);
  Line<Shared, T, 1> line({x}, piece, y);
  line.write(y + piece.at, [=](const C* x, long long, int) { return exponential<T>(x[0] - v.m) * share; });
}

template <class T, class C>
__device__ void log_softmax_pieces(const T* x, const C* part, T* y, long long columns, long long a_piece) {
  const MaxSum<C> v = max_sum_of_pieces<T, 2>(part, gridDim.x);
  const C log_sum = log(finite_sum(v));
  const Piece piece = piece_of(columns, a_piece);
  Line<Shared, T, 1> line({x}, piece, y);
  line.write(y + piece.at, [=](const C* x, long long, int) { return x[0] - v.m - log_sum; });
}

template <class T, class C> __device__ void logsumexp_of_parts(const C* part, T* y, long long pieces) {
  const MaxSum<C> v = max_sum_of_pieces<T, 2>(part, (int)pieces);
  if (threadIdx.x == 0) y[blockIdx.y] = store<T>(v.m + log(v.s));
}

template <bool Dot, class T, class C>
__device__ void vjp_parts(const T* g, const T* y, C* part, long long columns, long long a_piece) {
  C sum = C(0);
  if constexpr (Dot) {
    Line<Shared, T, 2> line({g, y}, piece_of(columns, a_piece), nullptr);
    line.each([&](const C* v, long long, int) { sum += v[0] * v[1]; });
  } else {
    Line<Shared, T, 1> line({g}, piece_of(columns, a_piece), nullptr);
    line.each([&](const C* v, long long, int) { sum += v[0]; });
  }
  leave<1>(part, {Shared::sum(sum)});
}

template <bool Dot, class T, class C>
__device__ void vjp_pieces(const T* g, const T* y, const C* part, T* dx, long long columns, long long a_piece) {
  const C sum = sum_of_pieces<1>(part, gridDim.x, 0);
  const Piece piece = piece_of(columns, a_piece);
  Line<Shared, T, 2> line({g, y}, piece, dx);
  line.write(dx + piece.at, [=](const C* v, long long, int) {
    return Dot ? v[1] * (v[0] - sum) : v[0] - exponential<T>(v[1]) * sum;
  });
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                            \
  GG_PIECES(max_sum_parts, tag)(const T* x, gg::real<T>* part, long long columns, long long a_piece) {                \
    gg::max_sum_parts(x, part, columns, a_piece);                                                                     \
  }                                                                                                                   \
  GG_PIECES(softmax_pieces, tag)                                                                                      \
  (const T* x, const gg::real<T>* part, T* y, long long columns, long long a_piece) {                                 \
    gg::softmax_pieces(x, part, y, columns, a_piece);                                                                 \
  }                                                                                                                   \
  GG_PIECES(log_softmax_pieces, tag)                                                                                  \
  (const T* x, const gg::real<T>* part, T* y, long long columns, long long a_piece) {                                 \
    gg::log_softmax_pieces(x, part, y, columns, a_piece);                                                             \
  }                                                                                                                   \
  GG_PIECES(logsumexp_of_parts, tag)(const gg::real<T>* part, T* y, long long pieces) {                               \
    gg::logsumexp_of_parts(part, y, pieces);                                                                          \
  }                                                                                                                   \
  GG_PIECES(softmax_vjp_parts, tag)                                                                                   \
  (const T* g, const T* y, gg::real<T>* part, long long columns, long long a_piece) {                                 \
    gg::vjp_parts<true>(g, y, part, columns, a_piece);                                                                \
  }                                                                                                                   \
  GG_PIECES(log_softmax_vjp_parts, tag)                                                                               \
  (const T* g, const T* y, gg::real<T>* part, long long columns, long long a_piece) {                                 \
    gg::vjp_parts<false>(g, y, part, columns, a_piece);                                                               \
  }                                                                                                                   \
  GG_PIECES(softmax_vjp_pieces, tag)                                                                                  \
  (const T* g, const T* y, const gg::real<T>* part, T* dx, long long columns, long long a_piece) {                    \
    gg::vjp_pieces<true>(g, y, part, dx, columns, a_piece);                                                           \
  }                                                                                                                   \
  GG_PIECES(log_softmax_vjp_pieces, tag)                                                                              \
  (const T* g, const T* y, const gg::real<T>* part, T* dx, long long columns, long long a_piece) {                    \
    gg::vjp_pieces<false>(g, y, part, dx, columns, a_piece);                                                          \
  }
#include "instantiate.cuh"
