// Convolutions: patches laid side by side for a matrix product, the way back, and depthwise ones directly.
//
//   im2col(x, patches, first, total, w)       patches[group, row, tap, channel] = the element of window first + row
//   im2col_wide(x, patches, first, total, w)  the same by 16 bytes at a time: channels are neighbours, aligned, and
//                                             those of a group a multiple; `w` counts channels in such packs
//   col2im(columns, y, total, rows, w)        y[pixel, channel] = sum of columns[group, row, tap, channel] over the
//                                             windows that the pixel is in; columns: compute type
//   depthwise(x, kernels, y, total, w)        y[window, c] = sum over taps of x kernels[c, tap]
//   depthwise_input(g, kernels, y, total, w)  its gradient by the images: y[pixel, c]
//   depthwise_weight(x, g, part, rows, rows_a_chunk, w)   first stage of that by the kernels: part[chunk, tap, c];
//                                             block (p, q), at most 256 threads, q a power of two, grid
//                                             (ceil(channels / p), chunks, taps), or packs in place of channels
//   depthwise_weight_wide(...)                the same by 16 bytes at a time: channels are neighbours, aligned, and a
//                                             multiple
//
// `w`: Windows, by value; first, total (elements written), rows: unsigned; of depthwise_weight long long. Others: block
// (m,), any grid. Halves add up in float; every sum has one order.
#include "reduce.cuh"
#include "windows.cuh"

namespace gg {

template <int W, class T>
__device__ void im2col(const T* x, T* patches, unsigned first, unsigned total, const Windows& w) {
  const unsigned rows = w.of_row.of(total), own = w.of_group.by;
  each_element(w, total, [=](unsigned, unsigned row, int column) {
    const unsigned tap = w.of_tap.of(column);
    unsigned c = column - tap * w.of_tap.by;
    const unsigned y = w.of_kernel[2].of(tap), z = w.of_kernel[1].of(y);
    const int k[3] = {(int)z, (int)(y - z * w.of_kernel[1].by), (int)(tap - y * w.of_kernel[2].by)};
    const Place p = place_of(w, first + row);
    long long offset = p.example * w.example + (long long)(c * W) * w.channel;
    bool inside = true;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      const int q = p.at[a] * w.stride[a] - w.low[a] + k[a] * w.dilation[a];
      inside = inside && (unsigned)q < (unsigned)w.size[a];
      offset += (long long)q * w.along[a];
    }
    const unsigned group = w.groups > 1 ? w.of_group.of(c) : 0;
    T* to = patches + (long long)(((group * rows + row) * w.taps + tap) * own + c - group * own) * W;
    if (W == 1) {
      *to = inside ? x[offset] : store<T>(real<T>(0));
    } else {
      Pack<T, W> v;
      v.word = decltype(v.word){};
      if (inside) v = Pack<T, W>(x + offset);
      v.to(to);
    }
  });
}

template <class T, class C>
__device__ void col2im(const C* columns, T* y, unsigned total, unsigned rows, const Windows& w) {
  const unsigned own = w.of_group.by;
  each_element(w, total, [=](unsigned i, unsigned row, int c) {
    const unsigned group = w.groups > 1 ? w.of_group.of(c) : 0, channel = c - group * own;
    C sum = C(0);
    each_window(w, place_of(w, row), [&](unsigned tap, unsigned from, long long) {
      sum += columns[((group * rows + from) * w.taps + tap) * own + channel];
    });
    y[i] = store<T>(sum);
  });
}

template <class T> __device__ void depthwise(const T* x, const T* kernels, T* y, unsigned total, const Windows& w) {
  using C = real<T>;
  each_element(w, total, [=](unsigned i, unsigned row, int c) {
    const T *image = x + (long long)c * w.channel, *kernel = kernels + c * w.taps;
    C sum = C(0);
    each_tap(w, place_of(w, row),
             [&](int tap, long long at) { sum += load<C>(image[at]) * load<C>(kernel[tap]); });
    y[i] = store<T>(sum);
  });
}

template <class T>
__device__ void depthwise_input(const T* g, const T* kernels, T* y, unsigned total, const Windows& w) {
  using C = real<T>;
  each_element(w, total, [=](unsigned i, unsigned row, int c) {
    const T *given = g + (long long)c * w.channel, *kernel = kernels + c * w.taps;
    C sum = C(0);
    each_window(w, place_of(w, row), [&](int tap, unsigned, long long at) {
      sum += load<C>(given[at]) * load<C>(kernel[tap]);
    });
    y[i] = store<T>(sum);
  });
}

template <int W, class T, class C>
__device__ void depthwise_weight(const T* x, const T* g, C* part, long long rows, long long rows_a_chunk,
                                 const Windows& w) {
  const long long c = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * W;
  const unsigned tap = blockIdx.z, row_of_tap = w.of_kernel[2].of(tap), plane = w.of_kernel[1].of(row_of_tap);
  const int k[3] = {(int)plane, (int)(row_of_tap - plane * w.of_kernel[1].by),
                    (int)(tap - row_of_tap * w.of_kernel[2].by)};
  C sums[W];
  column_packs<W>(sums, rows, rows_a_chunk, c < w.channels, [&](long long row, C(&v)[W]) {
    const Place p = place_of(w, (unsigned)row);
    long long offset = p.example * w.example + c * w.channel;
    bool inside = true;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      const int q = p.at[a] * w.stride[a] - w.low[a] + k[a] * w.dilation[a];
      inside = inside && (unsigned)q < (unsigned)w.size[a];
      offset += (long long)q * w.along[a];
    }
    if (!inside) return;
    const Pack<T, W> from(x + offset), given(g + row * w.channels + c);
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] += load<C>(from.v[i]) * load<C>(given.v[i]);
  });
  if (threadIdx.y || c >= w.channels) return;
#pragma unroll
  for (int i = 0; i < W; ++i) part[((long long)blockIdx.y * w.taps + tap) * w.channels + c + i] = sums[i];
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                            \
  extern "C" __global__ void gg_im2col_##tag(const T* x, T* patches, unsigned first, unsigned total, gg::Windows w) { \
    gg::im2col<1>(x, patches, first, total, w);                                                                       \
  }                                                                                                                   \
  extern "C" __global__ void gg_im2col_wide_##tag(const T* x, T* patches, unsigned first, unsigned total,             \
                                                  gg::Windows w) {                                                    \
    gg::im2col<16 / sizeof(T)>(x, patches, first, total, w);                                                          \
  }                                                                                                                   \
  extern "C" __global__ void gg_col2im_##tag(const gg::real<T>* columns, T* y, unsigned total, unsigned rows,         \
                                             gg::Windows w) {                                                         \
    gg::col2im(columns, y, total, rows, w);                                                                           \
  }                                                                                                                   \
  extern "C" __global__ void gg_depthwise_##tag(const T* x, const T* kernels, T* y, unsigned total, gg::Windows w) {  \
    gg::depthwise(x, kernels, y, total, w);                                                                           \
  }                                                                                                                   \
  extern "C" __global__ void gg_depthwise_input_##tag(const T* g, const T* kernels, T* y, unsigned total,             \
                                                      gg::Windows w) {                                                \
    gg::depthwise_input(g, kernels, y, total, w);                                                                     \
  }                                                                                                                   \
  GG_WEIGHT(depthwise_weight, T, tag, 1)                                                                              \
  GG_WEIGHT(depthwise_weight_wide, T, tag, 16 / sizeof(T))
#define GG_WEIGHT(name, T, tag, W)                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_##tag(                                                \
      const T* x, const T* g, gg::real<T>* part, long long rows, long long rows_a_chunk, gg::Windows w) {             \
    gg::depthwise_weight<W>(x, g, part, rows, rows_a_chunk, w);                                                       \
  }
#include "instantiate.cuh"
#undef GG_WEIGHT
