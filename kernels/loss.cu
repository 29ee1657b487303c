// The mean of the losses of rows against class indices, as `cross_entropy` leaves them, and what it is divided by: the
// sum of w[target[row]] over rows whose target is not ignore_index (w: 1 where weight is null). nan where there is none.
//
//   loss_mean(loss, target, weight, mean, divisor, rows, columns, ignore_index)          grid 1
//   loss_parts(loss, target, weight, part, rows, columns, ignore_index, rows_a_block)    grid ceil(rows / rows_a_block)
//   loss_of_parts(part, mean, divisor, blocks)                                           grid 1
//
// loss, weight, part (two for each block), divisor: the compute type (float for halves); mean: the type of the logits;
// target: long long. A row whose target is out of range counts as 1: its loss is nan. Blocks of 256 or 1024 threads.
#include "reduce.cuh"

namespace gg {

// The sums of losses and of weights over [first, last), the same for all threads of the block.
template <class C>
__device__ Two<C> loss_sums(const C* loss, const long long* target, const C* weight, long long first, long long last,
                            long long columns, long long ignore_index) {
  C sum = C(0), count = C(0);
  for (long long row = first + threadIdx.x; row < last; row += blockDim.x) {
    const long long t = target[row];
    if (t == ignore_index) continue;
    sum += loss[row];
    count += weight && t >= 0 && t < columns ? weight[t] : C(1);
  }
  return {BlockTeam::sum(sum), BlockTeam::sum(count)};
}

template <class T, class C> __device__ void write_mean(Two<C> sums, T* mean, C* divisor) {
  if (threadIdx.x) return;
  mean[0] = store<T>(sums.a / sums.b);
  divisor[0] = sums.b;
}

}  // namespace gg

#define GG_LABELLED(T) const gg::real<T>*loss, const long long *target, const gg::real<T>*weight
#define GG_ENTRIES(T, tag)                                                                                           \
  extern "C" __global__ void __launch_bounds__(1024) gg_loss_mean_##tag(                                             \
      GG_LABELLED(T), T* mean, gg::real<T>* divisor, long long rows, long long columns, long long ignore_index) {    \
    gg::write_mean<T>(gg::loss_sums(loss, target, weight, 0, rows, columns, ignore_index), mean, divisor);           \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(1024) gg_loss_parts_##tag(                                            \
      GG_LABELLED(T), gg::real<T>* part, long long rows, long long columns, long long ignore_index,                  \
      long long rows_a_block) {                                                                                      \
    const long long first = blockIdx.x * rows_a_block, last = first + rows_a_block;                                  \
    const auto sums =                                                                                                \
        gg::loss_sums(loss, target, weight, first, last < rows ? last : rows, columns, ignore_index);                \
    if (threadIdx.x) return;                                                                                         \
    part[2 * blockIdx.x] = sums.a;                                                                                   \
    part[2 * blockIdx.x + 1] = sums.b;                                                                               \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(1024) gg_loss_of_parts_##tag(                                         \
      const gg::real<T>* part, T* mean, gg::real<T>* divisor, long long blocks) {                                    \
    gg::real<T> sum = 0, count = 0;                                                                                  \
    for (long long b = threadIdx.x; b < blocks; b += blockDim.x) {                                                   \
      sum += part[2 * b];                                                                                            \
      count += part[2 * b + 1];                                                                                      \
    }                                                                                                                \
    sum = gg::BlockTeam::sum(sum);                                                                                   \
    count = gg::BlockTeam::sum(count);                                                                               \
    gg::write_mean<T, gg::real<T>>({sum, count}, mean, divisor);                                                     \
  }
#include "instantiate.cuh"
#undef GG_LABELLED
