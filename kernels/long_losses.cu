// Cross entropy of few long rows and its vector-Jacobian product, in pieces: see pieces.cuh for the launch and
// cross_entropy.cu for the formulas and the arguments.
//
//   cross_entropy_parts(x, weight, part, columns, a_piece, smoothing)
//       four numbers a piece: maximum m, sum of exponentials, and with smoothing the sums of w and of w (x - m)
//   cross_entropy_of_parts(x, target, weight, part, loss, lse, columns, pieces, ignore_index, smoothing)
//       grid (1, rows)
//   cross_entropy_vjp_pieces(g, x, target, weight, lse, dx, columns, a_piece, ignore_index, smoothing, g_step, divisor)
//       on its own: lse is all that a piece must know of the others
#include "pieces.cuh"

namespace gg {

template <class T, class C>
__device__ void cross_entropy_parts(const T* x, const C* weight, C* part, long long columns, long long a_piece,
                                    C smoothing) {
  const Piece piece = piece_of(columns, a_piece);
  Line<Shared, T, 1> line({x}, piece, nullptr);
  const MaxSum<C> seen = max_sum<Shared, false>(line);
  C weights = C(0), weighted = C(0);
  if (smoothing > C(0)) {
    line.each([&](const C* v, long long c, int) {
      const C w = weight ? weight[piece.first + c] : C(1);
      weights += w;
      weighted += w * (v[0] - seen.m);
    });
    weights = Shared::sum(weights);
    weighted = Shared::sum(weighted);
  }
  leave<4>(part, {seen.m, seen.s, weights, weighted});
}

template <class T, class C>
__device__ void cross_entropy_of_parts(const T* x, const long long* target, const C* weight, const C* part, C* loss,
                                       C* lse, long long columns, long long pieces, long long ignore_index,
                                       C smoothing) {
  const MaxSum<C> seen = max_sum_of_pieces<T, 4>(part, (int)pieces);
  const C log_sum = log(seen.s);
  C weights = C(0), weighted = C(0);
  if (smoothing > C(0)) {
    collect<4>(part, (int)pieces, [&](const C* v, int) {
      weights += v[2];
      weighted += v[3] + v[2] * (v[0] - seen.m);
    });
    weights = Shared::sum(weights);
    weighted = Shared::sum(weighted);
  }
  if (threadIdx.x) return;
  const long long row = blockIdx.y, t = target[row];
  lse[row] = seen.m + log_sum;
  if (t == ignore_index) {
    loss[row] = C(0);
  } else if (t < 0 || t >= columns) {
    loss[row] = quiet_nan<C>();
  } else {
    C v = (C(1) - smoothing) * (weight ? weight[t] : C(1)) * (log_sum - (load<C>(x[row * columns + t]) - seen.m));
    if (smoothing > C(0)) v += smoothing / C(columns) * (weights * log_sum - weighted);
    loss[row] = v;
  }
}

template <class T, class C>
__device__ void cross_entropy_vjp_pieces(const C* g, const T* x, const long long* target, const C* weight, const C* lse,
                                         T* dx, long long columns, long long a_piece, long long ignore_index,
                                         C smoothing, long long g_step, const C* divisor) {
  C weights = C(columns);
  if (weight && smoothing > C(0)) {
    weights = C(0);
    for (long long c = threadIdx.x; c < columns; c += blockDim.x) weights += weight[c];
    weights = Shared::sum(weights);
  }
  const Piece piece = piece_of(columns, a_piece);
  Line<Shared, T, 1> line({x}, piece, dx);
  const long long row = blockIdx.y, t = target[row], hit_at = t - piece.first;
  const bool inside = t >= 0 && t < columns;
  const C slope = t == ignore_index ? C(0)
                  : inside          ? g[row * g_step] / (divisor ? divisor[0] : C(1))
                                    : quiet_nan<C>();
  const C hit = (C(1) - smoothing) * (weight && inside ? weight[t] : C(1));
  const C share = smoothing / C(columns), level = lse[row], both = hit + share * weights;
  line.write(dx + piece.at, [=](const C* v, long long c, int) {
    if (t == ignore_index) return C(0);
    const C p = exponential<T>(v[0] - level);
    return slope * (both * p - (c == hit_at ? hit : C(0)) - share * (weight ? weight[piece.first + c] : C(1)));
  });
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                            \
  GG_PIECES(cross_entropy_parts, tag)                                                                                 \
  (const T* x, const gg::real<T>* weight, gg::real<T>* part, long long columns, long long a_piece,                    \
   gg::real<T> smoothing) {                                                                                           \
    gg::cross_entropy_parts(x, weight, part, columns, a_piece, smoothing);                                            \
  }                                                                                                                   \
  GG_PIECES(cross_entropy_of_parts, tag)                                                                              \
  (const T* x, const long long* target, const gg::real<T>* weight, const gg::real<T>* part, gg::real<T>* loss,        \
   gg::real<T>* lse, long long columns, long long pieces, long long ignore_index, gg::real<T> smoothing) {            \
    gg::cross_entropy_of_parts(x, target, weight, part, loss, lse, columns, pieces, ignore_index, smoothing);         \
  }                                                                                                                   \
  GG_PIECES(cross_entropy_vjp_pieces, tag)                                                                            \
  (const gg::real<T>* g, const T* x, const long long* target, const gg::real<T>* weight, const gg::real<T>* lse,      \
   T* dx, long long columns, long long a_piece, long long ignore_index, gg::real<T> smoothing, long long g_step,      \
   const gg::real<T>* divisor) {                                                                                      \
    gg::cross_entropy_vjp_pieces(g, x, target, weight, lse, dx, columns, a_piece, ignore_index, smoothing, g_step,    \
                                 divisor);                                                                            \
  }
#include "instantiate.cuh"
