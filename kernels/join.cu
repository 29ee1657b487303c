// Arrays side by side, up to four in a launch: what concatenation and the cotangents of slices are made of.
//
//   join(a, b, c, d, y, rows, length, at, to_b, to_c, to_d, end, la, lb, lc, ld)
//       columns at .. end of y: rows of a up to column to_b, of b up to to_c, of c up to to_d, of d up to end
//   join_wide(...)                                      the same, 16 bytes an access; all numbers count those
//
// y: `rows` rows of `length` elements. The rows of a, b, c and d are la, lb, lc and ld elements apart. What is missing has
// no columns. All numbers are long long. Block (across, down), a row's columns along x; grid (any, any): rows, columns.
// Elements are moved as they are: the type says only how long they are.
#include "types.cuh"

namespace gg {

template <int W, class T>
__device__ __forceinline__ void join(const T* a, const T* b, const T* c, const T* d, T* y, long long rows,
                                     long long length, long long at, long long to_b, long long to_c, long long to_d,
                                     long long end, long long la, long long lb, long long lc, long long ld) {
  const long long first = at + (long long)blockIdx.y * blockDim.x + threadIdx.x;
  for (long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += gridDim.x * blockDim.y)
    for (long long column = first; column < end; column += gridDim.y * blockDim.x) {
      const T* from = column < to_b   ? a + (row * la + column - at) * W
                      : column < to_c ? b + (row * lb + column - to_b) * W
                      : column < to_d ? c + (row * lc + column - to_c) * W
                                      : d + (row * ld + column - to_d) * W;
      Pack<T, W>(from).to(y + (row * length + column) * W);
    }
}

}  // namespace gg

#define GG_JOIN(name, W, T, tag)                                                                                      \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_##tag(                                                \
      const T* a, const T* b, const T* c, const T* d, T* y, long long rows, long long length, long long at,           \
      long long to_b, long long to_c, long long to_d, long long end, long long la, long long lb, long long lc,        \
      long long ld) {                                                                                                 \
    gg::join<W>(a, b, c, d, y, rows, length, at, to_b, to_c, to_d, end, la, lb, lc, ld);                              \
  }
#define GG_ENTRIES(T, tag)                                                                                            \
  GG_JOIN(join, 1, T, tag)                                                                                            \
  GG_JOIN(join_wide, 16 / sizeof(T), T, tag)
#include "instantiate.cuh"
