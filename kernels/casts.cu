// Many arrays of float32 cast in one launch: the parameters of a block of mixed precision.
//
//   casts(list, y)   y[2048 * first[i] + k] = from[i][k] for k < size[i], for each i < count
//
// list: by value, the addresses of float32 arrays without gaps, their sizes, and the block at which each begins
// (first[count]: how many there are). y: storage type, on a boundary of 16 bytes. Block (256,), grid (first[count],): a
// block has 2048 elements of one array, 8 a thread.
#include "types.cuh"

namespace gg {

constexpr int CastsAtOnce = 96;

struct Casts {
  const float* from[CastsAtOnce];
  unsigned size[CastsAtOnce];
  unsigned first[CastsAtOnce + 1];
  unsigned count;
};

template <class T>
__device__ __forceinline__ void casts(const Casts& list, T* y) {
  constexpr int Each = 8, W = 16 / sizeof(T);
  unsigned low = 0, high = list.count;  // the last array that begins no later than this block
  while (high - low > 1) {
    const unsigned middle = (low + high) / 2;
    if (list.first[middle] <= blockIdx.x) low = middle;
    else high = middle;
  }
  const unsigned at = ((blockIdx.x - list.first[low]) * blockDim.x + threadIdx.x) * Each, size = list.size[low];
  const float* from = list.from[low] + at;
  T* to = y + ((unsigned long long)blockIdx.x * blockDim.x + threadIdx.x) * Each;
  if (at + Each <= size && !((unsigned long long)from & 15)) {
    const Pack<float, 4> given[2] = {Pack<float, 4>(from), Pack<float, 4>(from + 4)};
#pragma unroll
    for (int i = 0; i < Each; i += W) {
      Pack<T, W> pack;
#pragma unroll
      for (int j = 0; j < W; ++j) pack.v[j] = store<T>(given[(i + j) / 4].v[(i + j) % 4]);
      pack.to(to + i);
    }
    return;
  }
  for (int k = 0; k < Each && at + k < size; ++k) to[k] = store<T>(from[k]);
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                            \
  extern "C" __global__ void __launch_bounds__(256) gg_casts_##tag(gg::Casts list, T* y) { gg::casts(list, y); }
#include "instantiate.cuh"
