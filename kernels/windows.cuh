// Windows over images of up to three spatial axes: the geometry that the host packs, and how an index becomes a place.
//
// An index of an element is 32 bits and below 2^31 (the host cuts longer batches); only the way from one image to the
// next is 64 bits. Divisions are by numbers that the host knows: a product and a shift each.
#ifndef GG_WINDOWS_CUH
#define GG_WINDOWS_CUH
#include "math.cuh"

namespace gg {

// n / by for n < 2^31 (T. Granlund and P. L. Montgomery, PLDI 1994).
struct Divisor {
  unsigned by, factor, shift;
  __device__ __forceinline__ unsigned of(unsigned n) const {
    return (unsigned)((unsigned long long)n * factor >> 32) + n >> shift;
  }
};

// Axes are three, the missing ones first with one element. `example`, `channel` and `along` are the steps, in
// elements, of the array that is read at other places than where a thread writes; everything else has channels last
// and no gaps. `of_place` divides by `count` where a thread writes at a window, by `size` where it writes at a pixel.
struct Windows {
  long long example;
  int channel, along[3];
  int channels, groups, taps;
  int size[3], count[3], kernel[3], stride[3], low[3], dilation[3];
  Divisor of_row, of_tap, of_group, of_place[3], of_kernel[3], of_stride[3];
};

struct Place {
  unsigned example;
  int at[3];
};

// Where the window or the pixel number `row` is.
__device__ __forceinline__ Place place_of(const Windows& w, unsigned row) {
  Place p;
#pragma unroll
  for (int a = 2; a >= 0; --a) {
    const unsigned next = w.of_place[a].of(row);
    p.at[a] = (int)(row - next * w.of_place[a].by);
    row = next;
  }
  p.example = row;
  return p;
}

// For each element of the window at `p` that lies in the image: f(its number in the window, its offset), in order.
template <class F> __device__ __forceinline__ void each_tap(const Windows& w, const Place& p, F f) {
  const long long start = p.example * w.example;
  int first[3];
#pragma unroll
  for (int a = 0; a < 3; ++a) first[a] = p.at[a] * w.stride[a] - w.low[a];
  for (int i = 0, z = first[0]; i < w.kernel[0]; ++i, z += w.dilation[0]) {
    if ((unsigned)z >= (unsigned)w.size[0]) continue;
    for (int j = 0, y = first[1]; j < w.kernel[1]; ++j, y += w.dilation[1]) {
      if ((unsigned)y >= (unsigned)w.size[1]) continue;
      for (int k = 0, x = first[2]; k < w.kernel[2]; ++k, x += w.dilation[2])
        if ((unsigned)x < (unsigned)w.size[2])
          f((i * w.kernel[1] + j) * w.kernel[2] + k, start + z * w.along[0] + y * w.along[1] + x * w.along[2]);
    }
  }
}

// The window along axis `a` whose element `k` is pixel `i`; negative if there is none.
__device__ __forceinline__ int window_at(const Windows& w, int a, int i, int k) {
  const int q = i + w.low[a] - k * w.dilation[a];
  if (q < 0) return -1;
  const int o = (int)w.of_stride[a].of((unsigned)q);
  return o * w.stride[a] == q && o < w.count[a] ? o : -1;
}

// For each window that the pixel at `p` is in: f(its number in that window, the window's number in the chunk, its
// offset), in the order of the numbers: no atomics, and the same sum every time.
template <class F> __device__ __forceinline__ void each_window(const Windows& w, const Place& p, F f) {
  const long long start = p.example * w.example;
  for (int i = 0; i < w.kernel[0]; ++i) {
    const int z = window_at(w, 0, p.at[0], i);
    if (z < 0) continue;
    for (int j = 0; j < w.kernel[1]; ++j) {
      const int y = window_at(w, 1, p.at[1], j);
      if (y < 0) continue;
      for (int k = 0; k < w.kernel[2]; ++k) {
        const int x = window_at(w, 2, p.at[2], k);
        if (x < 0) continue;
        const unsigned row = ((p.example * w.count[0] + z) * w.count[1] + y) * w.count[2] + x;
        f((i * w.kernel[1] + j) * w.kernel[2] + k, row,
          start + z * w.along[0] + y * w.along[1] + x * w.along[2]);
      }
    }
  }
}

// For each element that a flat grid writes: f(its index, its row, its channel).
template <class F> __device__ __forceinline__ void each_element(const Windows& w, unsigned total, F f) {
  const unsigned threads = gridDim.x * blockDim.x;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < total; i += threads) {
    const unsigned row = w.of_row.of(i);
    f(i, row, (int)(i - row * w.of_row.by));
  }
}

}  // namespace gg

#endif
