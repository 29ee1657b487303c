// Maxima, minima and products over axes of an array: see axes.cuh for the forms and their arguments. A nan wins in
// maxima and minima. A source of their own, so that whoever only needs sums does not compile them.
//
//   max_rows(x, y, part, axes, divisor)           rows, `_warp` or `_block`; divisor: 1
//   max_columns(x, y, part, axes, divisor)        columns and axes in the middle
//   max_columns_wide(x, y, part, axes, divisor)   the same, 16 bytes an access
//   max_finish(part, y, null, axes, divisor)      the second stage
//   min_rows(...), min_columns(...), min_columns_wide(...), min_finish(...)          likewise
//   prod_rows(...), prod_columns(...), prod_columns_wide(...), prod_finish(...)      likewise
#include "axes.cuh"

#define GG_ENTRIES(T, tag)               \
  GG_REDUCTION(gg::Maximum, max, T, tag) \
  GG_REDUCTION(gg::Minimum, min, T, tag) \
  GG_REDUCTION(gg::Product, prod, T, tag)
#include "instantiate.cuh"
