// How many elements of each slice are its extreme, which is where the gradient of a maximum or minimum goes, in equal
// shares: see axes.cuh for the forms and for `axes`. Counted in the compute type; a nan is the extreme of its slice.
//
//   ties_rows(x, extremes, count, axes)           rows, `_warp` or `_block`
//   ties_columns(x, extremes, count, axes)        columns and axes in the middle
//   ties_columns_wide(x, extremes, count, axes)   the same, 16 bytes an access
//
// extremes[output]; count[chunk, output], which `sum_finish` (reduce.cu) adds up where there are several chunks.
#include "axes.cuh"

#define GG_TIES(form, call, T, tag)                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_ties_##form##_##tag(                          \
      const T* x, const T* extremes, gg::real<T>* count, gg::Axes axes) {                            \
    call(x, (T*)nullptr, count, axes, gg::real<T>(1), extremes);                                     \
  }

#define GG_ENTRIES(T, tag)                                                                           \
  GG_TIES(rows_warp, (gg::reduce_rows<gg::Sum, false, gg::IsExtreme>), T, tag)                       \
  GG_TIES(rows_block, (gg::reduce_rows<gg::Sum, true, gg::IsExtreme>), T, tag)                       \
  GG_TIES(columns, (gg::reduce_columns<gg::Sum, 1, gg::IsExtreme>), T, tag)                          \
  GG_TIES(columns_wide, (gg::reduce_columns<gg::Sum, 16 / sizeof(T), gg::IsExtreme>), T, tag)
#include "instantiate.cuh"
