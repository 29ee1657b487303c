// Layer and RMS normalisation of few long rows and the gradients of their input, in pieces: see pieces.cuh for the launch,
// layer_norm.cu and rms_norm.cu for the formulas and the arguments. The gradients of weight and bias are those of
// norm_weights.cu.
//
//   layer_norm_parts(x, part, columns, a_piece)      two numbers a piece: its mean, and the squares of what is off it
//   layer_norm_pieces(x, weight, bias, part, y, mean, rstd, columns, a_piece, eps)
//   layer_norm_vjp_parts(g, x, weight, mean, rstd, part, columns, a_piece)             sum v, sum v h
//   layer_norm_vjp_pieces(g, x, weight, mean, rstd, part, dx, columns, a_piece)
//   rms_norm_parts(x, part, columns, a_piece)        the sum of squares
//   rms_norm_pieces(x, weight, part, y, rstd, columns, a_piece, eps)
//   rms_norm_vjp_parts(g, x, weight, rstd, part, columns, a_piece)                     sum v h
//   rms_norm_vjp_pieces(g, x, weight, rstd, part, dx, columns, a_piece)
#include "pieces.cuh"

namespace gg {

template <class T, class C> __device__ void layer_norm_parts(const T* x, C* part, long long columns, long long a_piece) {
  const Piece piece = piece_of(columns, a_piece);
  Line<Shared, T, 1> line({x}, piece, nullptr);
  C sum = C(0), spread = C(0);
  line.each([&](const C* v, long long, int) { sum += v[0]; });
  const C center = Shared::sum(sum) / C(piece.columns);
  line.each([&](const C* v, long long, int) { spread += square(v[0] - center); });  // from the L2 cache
  leave<2>(part, {center, Shared::sum(spread)});
}

// Pieces' means and spreads become the row's: the spread about another centre is larger by count (shift)^2.
template <class T, class C>
__device__ void layer_norm_pieces(const T* x, const T* weight, const T* bias, const C* part, T* y, C* mean, C* rstd,
                                  long long columns, long long a_piece, C eps) {
  const long long rest = columns - (gridDim.x - 1) * a_piece;
  const int last = gridDim.x - 1;
  C sum = C(0), spread = C(0);
  collect<2>(part, gridDim.x, [&](const C* v, int i) { sum += v[0] * (C(i == last ? rest : a_piece) / C(columns)); });
  const C center = Shared::sum(sum);
  collect<2>(part, gridDim.x, [&](const C* v, int i) {
    spread += v[1] + C(i == last ? rest : a_piece) * square(v[0] - center);
  });
  const C r = rsqrt(Shared::sum(spread) / C(columns) + eps);
  const Piece piece = piece_of(columns, a_piece);
  Line<Shared, T, 1, 0, 2> line({x, weight, bias}, piece, y);
  line.write(y + piece.at, [=](const C* v, long long, int) {
    return (v[0] - center) * r * (weight ? v[1] : C(1)) + v[2];
  });
  if (threadIdx.x || blockIdx.x) return;
  mean[blockIdx.y] = center;
  rstd[blockIdx.y] = r;
}

template <bool Centred, class T, class C>
__device__ void norm_vjp_parts(const T* g, const T* x, const T* weight, const C* mean, const C* rstd, C* part,
                               long long columns, long long a_piece) {
  const C center = Centred ? mean[blockIdx.y] : C(0), r = rstd[blockIdx.y];
  Line<Shared, T, 2, 0, 1> line({g, x, weight}, piece_of(columns, a_piece), nullptr);
  C sum = C(0), dot = C(0);
  line.each([&](const C* a, long long, int) {
    const C v = a[0] * (weight ? a[2] : C(1));
    if (Centred) sum += v;
    dot += v * (a[1] - center) * r;
  });
  leave<2>(part, {Centred ? Shared::sum(sum) : C(0), Shared::sum(dot)});
}

template <bool Centred, class T, class C>
__device__ void norm_vjp_pieces(const T* g, const T* x, const T* weight, const C* mean, const C* rstd, const C* part,
                                T* dx, long long columns, long long a_piece) {
  const C center = Centred ? mean[blockIdx.y] : C(0), r = rstd[blockIdx.y];
  const C sum = Centred ? sum_of_pieces<2>(part, gridDim.x, 0) / C(columns) : C(0);
  const C dot = sum_of_pieces<2>(part, gridDim.x, 1) / C(columns);
  const Piece piece = piece_of(columns, a_piece);
  Line<Shared, T, 2, 0, 1> line({g, x, weight}, piece, dx);
  line.write(dx + piece.at, [=](const C* a, long long, int) {
    return r * (a[0] * (weight ? a[2] : C(1)) - sum - (a[1] - center) * r * dot);
  });
}

template <class T, class C> __device__ void rms_norm_parts(const T* x, C* part, long long columns, long long a_piece) {
  Line<Shared, T, 1> line({x}, piece_of(columns, a_piece), nullptr);
  C sum = C(0);
  line.each([&](const C* v, long long, int) { sum += square(v[0]); });
  leave<1>(part, {Shared::sum(sum)});
}

template <class T, class C>
__device__ void rms_norm_pieces(const T* x, const T* weight, const C* part, T* y, C* rstd, long long columns,
                                long long a_piece, C eps) {
  const C r = rsqrt(sum_of_pieces<1>(part, gridDim.x, 0) / C(columns) + eps);
  const Piece piece = piece_of(columns, a_piece);
  Line<Shared, T, 1, 0, 1> line({x, weight}, piece, y);
  line.write(y + piece.at, [=](const C* v, long long, int) { return v[0] * r * (weight ? v[1] : C(1)); });
  if (threadIdx.x == 0 && blockIdx.x == 0) rstd[blockIdx.y] = r;
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                            \
  GG_PIECES(layer_norm_parts, tag)(const T* x, gg::real<T>* part, long long columns, long long a_piece) {             \
    gg::layer_norm_parts(x, part, columns, a_piece);                                                                  \
  }                                                                                                                   \
  GG_PIECES(layer_norm_pieces, tag)                                                                                   \
  (const T* x, const T* weight, const T* bias, const gg::real<T>* part, T* y, gg::real<T>* mean, gg::real<T>* rstd,   \
   long long columns, long long a_piece, gg::real<T> eps) {                                                           \
    gg::layer_norm_pieces(x, weight, bias, part, y, mean, rstd, columns, a_piece, eps);                               \
  }                                                                                                                   \
  GG_PIECES(layer_norm_vjp_parts, tag)                                                                                \
  (const T* g, const T* x, const T* weight, const gg::real<T>* mean, const gg::real<T>* rstd, gg::real<T>* part,      \
   long long columns, long long a_piece) {                                                                            \
    gg::norm_vjp_parts<true>(g, x, weight, mean, rstd, part, columns, a_piece);                                       \
  }                                                                                                                   \
  GG_PIECES(layer_norm_vjp_pieces, tag)                                                                               \
  (const T* g, const T* x, const T* weight, const gg::real<T>* mean, const gg::real<T>* rstd,                         \
   const gg::real<T>* part, T* dx, long long columns, long long a_piece) {                                            \
    gg::norm_vjp_pieces<true>(g, x, weight, mean, rstd, part, dx, columns, a_piece);                                  \
  }                                                                                                                   \
  GG_PIECES(rms_norm_parts, tag)(const T* x, gg::real<T>* part, long long columns, long long a_piece) {               \
    gg::rms_norm_parts(x, part, columns, a_piece);                                                                    \
  }                                                                                                                   \
  GG_PIECES(rms_norm_pieces, tag)                                                                                     \
  (const T* x, const T* weight, const gg::real<T>* part, T* y, gg::real<T>* rstd, long long columns,                  \
   long long a_piece, gg::real<T> eps) {                                                                              \
    gg::rms_norm_pieces(x, weight, part, y, rstd, columns, a_piece, eps);                                             \
  }                                                                                                                   \
  GG_PIECES(rms_norm_vjp_parts, tag)                                                                                  \
  (const T* g, const T* x, const T* weight, const gg::real<T>* rstd, gg::real<T>* part, long long columns,            \
   long long a_piece) {                                                                                               \
    gg::norm_vjp_parts<false>(g, x, weight, (const gg::real<T>*)nullptr, rstd, part, columns, a_piece);               \
  }                                                                                                                   \
  GG_PIECES(rms_norm_vjp_pieces, tag)                                                                                 \
  (const T* g, const T* x, const T* weight, const gg::real<T>* rstd, const gg::real<T>* part, T* dx,                  \
   long long columns, long long a_piece) {                                                                            \
    gg::norm_vjp_pieces<false>(g, x, weight, (const gg::real<T>*)nullptr, rstd, part, dx, columns, a_piece);          \
  }
#include "instantiate.cuh"
