// Sums and means over axes of an array, in a fixed order: see axes.cuh for the forms and their arguments.
//
//   sum_rows(x, y, part, axes, divisor)           rows, `_warp` or `_block`; a mean's divisor is the count
//   sum_columns(x, y, part, axes, divisor)        columns and axes in the middle
//   sum_columns_wide(x, y, part, axes, divisor)   the same, 16 bytes an access
//   sum_finish(part, y, null, axes, divisor)      the second stage
//
// What row kernels have summed up by lines (the gradients of a normalisation's weights) ends in `sum_finish`, too.
#include "axes.cuh"

#define GG_ENTRIES(T, tag) GG_REDUCTION(gg::Sum, sum, T, tag)
#include "instantiate.cuh"
