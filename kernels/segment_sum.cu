// Rows added by index, without atomics and in a fixed order: the gradient of rows taken by index.
//
//   segment_sum(g, order, starts, target, y, segments, columns)
//       y[target[s], :] += sum over k in starts[s]..starts[s + 1] of g[order[k], :]
//
// The host sorts the indices once (stable) into `order`, with the places where a new value begins in `starts`
// (segments + 1 of them) and the values in `target` (distinct, not negative). y, g: storage type, C-contiguous rows of
// `columns`; order, starts, target and sizes: long long. Block (m,), grid (ceil(columns / m), segments up to 65535;
// more are looped over).
#include "types.cuh"

namespace gg {

template <class T>
__device__ void segment_sum(const T* g, const long long* order, const long long* starts, const long long* target, T* y,
                            long long segments, long long columns) {
  using C = real<T>;
  const long long c = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= columns) return;
  for (long long s = blockIdx.y; s < segments; s += gridDim.y) {
    const long long first = starts[s], last = starts[s + 1];
    if (first == last) continue;  // most rows of a large table
    C sum = C(0);
    for (long long k = first; k < last; ++k) sum += load<C>(g[order[k] * columns + c]);
    T* to = y + target[s] * columns + c;
    *to = store<T>(load<C>(*to) + sum);
  }
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                           \
  extern "C" __global__ void gg_segment_sum_##tag(const T* g, const long long* order, const long long* starts,       \
                                                  const long long* target, T* y, long long segments,                 \
                                                  long long columns) {                                               \
    gg::segment_sum(g, order, starts, target, y, segments, columns);                                                 \
  }
#include "instantiate.cuh"
