// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// clip_above(a, a_max) = where((a > a_max), a_max, a)
#include "elementwise.cuh"

struct gg_clip_above_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_a, float in_a_max, float& out_0) {
    const bool t0 = in_a > in_a_max;
    const float t1 = t0 ? in_a_max : in_a;
    out_0 = t1;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_clip_above_f32_f32_f32_contiguous(unsigned n, const float* in_a, const float* in_a_max, float* out_0) {
  gg::contiguous<gg_clip_above_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_a}, gg::In<1, float, float>{in_a_max}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_above_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_a, const float* in_a_max, float* out_0) {
  gg::strided<gg_clip_above_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_a}, gg::In<1, float, float>{in_a_max}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_above_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_a, const float* in_a_max, float* out_0) {
  gg::strided<gg_clip_above_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_a}, gg::In<1, float, float>{in_a_max}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_above_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_a, const float* in_a_max, float* out_0) {
  gg::strided<gg_clip_above_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_a}, gg::In<1, float, float>{in_a_max}, gg::Out<2, float, float>{out_0});
}
