// Last line of each family of kernels over rows. The build asks for forms (rows.cuh) with GG_FORM_FOUR,
// GG_FORM_SIXTEEN and so on: one at a time, because each takes its time to compile. A family defines
//
//   GG_ONE(form, By, T, tag)     its entry points in one form
//   GG_LONG(T, tag)              those in the shared form, where they are more
#ifndef GG_LONG
#define GG_LONG(T, tag) GG_ONE(shared, gg::Shared, T, tag)
#endif
#ifdef GG_FORM_FOUR
#define GG_IN_FOUR(T, tag) GG_ONE(four, gg::Four, T, tag)
#else
#define GG_IN_FOUR(T, tag)
#endif
#ifdef GG_FORM_SIXTEEN
#define GG_IN_SIXTEEN(T, tag) GG_ONE(sixteen, gg::Sixteen, T, tag)
#else
#define GG_IN_SIXTEEN(T, tag)
#endif
#ifdef GG_FORM_WARP
#define GG_IN_WARP(T, tag) GG_ONE(warp, gg::Warp, T, tag)
#else
#define GG_IN_WARP(T, tag)
#endif
#ifdef GG_FORM_BLOCK64
#define GG_IN_BLOCK64(T, tag) GG_ONE(block64, gg::Block<64>, T, tag)
#else
#define GG_IN_BLOCK64(T, tag)
#endif
#ifdef GG_FORM_BLOCK128
#define GG_IN_BLOCK128(T, tag) GG_ONE(block128, gg::Block<128>, T, tag)
#else
#define GG_IN_BLOCK128(T, tag)
#endif
#ifdef GG_FORM_BLOCK256
#define GG_IN_BLOCK256(T, tag) GG_ONE(block256, gg::Block<256>, T, tag)
#else
#define GG_IN_BLOCK256(T, tag)
#endif
#ifdef GG_FORM_SHARED
#define GG_IN_SHARED(T, tag) GG_LONG(T, tag)
#else
#define GG_IN_SHARED(T, tag)
#endif
#define GG_ENTRIES(T, tag) \
  GG_IN_FOUR(T, tag) GG_IN_SIXTEEN(T, tag) GG_IN_WARP(T, tag) GG_IN_BLOCK64(T, tag) GG_IN_BLOCK128(T, tag) \
  GG_IN_BLOCK256(T, tag) GG_IN_SHARED(T, tag)
#include "instantiate.cuh"
#undef GG_ONE
#undef GG_LONG
#undef GG_IN_FOUR
#undef GG_IN_SIXTEEN
#undef GG_IN_WARP
#undef GG_IN_BLOCK64
#undef GG_IN_BLOCK128
#undef GG_IN_BLOCK256
#undef GG_IN_SHARED
