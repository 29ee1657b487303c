// Pooling over windows: the largest element and where it was, sums, and the ways back, each as a gather.
//
//   max_pool(x, y, won, total, w)       y[window, c] = the largest element, won its number in the window (unsigned
//                                       char); a nan is largest, of equals the first; -inf and 0 for an empty window
//   window_put(g, won, y, total, w)     y[pixel, c] = sum of g over the windows whose `won` is this pixel
//   window_sum(x, y, total, w)          y[window, c] = the sum of the window
//   window_spread(g, y, total, w)       y[pixel, c] = sum of g over the windows that it is in
//
// `w`: Windows, by value; total: the elements of y, unsigned. Block (m,), any grid. Halves add up in float; every sum
// has one order.
#include "windows.cuh"

namespace gg {

template <class T> __device__ void max_pool(const T* x, T* y, unsigned char* won, unsigned total, const Windows& w) {
  using C = real<T>;
  each_element(w, total, [=](unsigned i, unsigned row, int c) {
    const T* image = x + (long long)c * w.channel;
    C best = -infinity<C>();
    int which = -1;
    each_tap(w, place_of(w, row), [&](int tap, long long at) {
      const C v = load<C>(image[at]);
      if (which >= 0 && !(v > best) && v == v) return;
      best = v;
      which = tap;
    });
    y[i] = store<T>(best);
    won[i] = (unsigned char)(which < 0 ? 0 : which);
  });
}

template <class T>
__device__ void window_put(const T* g, const unsigned char* won, T* y, unsigned total, const Windows& w) {
  using C = real<T>;
  each_element(w, total, [=](unsigned i, unsigned row, int c) {
    const T* given = g + (long long)c * w.channel;
    C sum = C(0);
    each_window(w, place_of(w, row), [&](int tap, unsigned window, long long at) {
      if (won[(long long)window * w.channels + c] == tap) sum += load<C>(given[at]);
    });
    y[i] = store<T>(sum);
  });
}

template <class T> __device__ void window_sum(const T* x, T* y, unsigned total, const Windows& w) {
  using C = real<T>;
  each_element(w, total, [=](unsigned i, unsigned row, int c) {
    const T* image = x + (long long)c * w.channel;
    C sum = C(0);
    each_tap(w, place_of(w, row), [&](int, long long at) { sum += load<C>(image[at]); });
    y[i] = store<T>(sum);
  });
}

template <class T> __device__ void window_spread(const T* g, T* y, unsigned total, const Windows& w) {
  using C = real<T>;
  each_element(w, total, [=](unsigned i, unsigned row, int c) {
    const T* given = g + (long long)c * w.channel;
    C sum = C(0);
    each_window(w, place_of(w, row), [&](int, unsigned, long long at) { sum += load<C>(given[at]); });
    y[i] = store<T>(sum);
  });
}

}  // namespace gg

#define GG_ENTRIES(T, tag)                                                                                            \
  extern "C" __global__ void gg_max_pool_##tag(const T* x, T* y, unsigned char* won, unsigned total, gg::Windows w) { \
    gg::max_pool(x, y, won, total, w);                                                                                \
  }                                                                                                                   \
  extern "C" __global__ void gg_window_put_##tag(const T* g, const unsigned char* won, T* y, unsigned total,          \
                                                 gg::Windows w) {                                                     \
    gg::window_put(g, won, y, total, w);                                                                              \
  }                                                                                                                   \
  extern "C" __global__ void gg_window_sum_##tag(const T* x, T* y, unsigned total, gg::Windows w) {                   \
    gg::window_sum(x, y, total, w);                                                                                   \
  }                                                                                                                   \
  extern "C" __global__ void gg_window_spread_##tag(const T* g, T* y, unsigned total, gg::Windows w) {                \
    gg::window_spread(g, y, total, w);                                                                                \
  }
#include "instantiate.cuh"
