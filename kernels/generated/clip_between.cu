// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// clip_between(a, a_min, a_max) = where((a < a_min), a_min, where((a > a_max), a_max, a))
#include "elementwise.cuh"

struct gg_clip_between_f32_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_a, float in_a_min, float in_a_max, float& out_0) {
    const bool t0 = in_a < in_a_min;
    const bool t1 = in_a > in_a_max;
    const float t2 = t1 ? in_a_max : in_a;
    const float t3 = t0 ? in_a_min : t2;
    out_0 = t3;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_clip_between_f32_f32_f32_f32_contiguous(unsigned n, const float* in_a, const float* in_a_min, const float* in_a_max, float* out_0) {
  gg::contiguous<gg_clip_between_f32_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_a}, gg::In<1, float, float>{in_a_min}, gg::In<2, float, float>{in_a_max}, gg::Out<3, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_between_f32_f32_f32_f32_rows(gg::Layout<int, 4> layout, const float* in_a, const float* in_a_min, const float* in_a_max, float* out_0) {
  gg::strided<gg_clip_between_f32_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_a}, gg::In<1, float, float>{in_a_min}, gg::In<2, float, float>{in_a_max}, gg::Out<3, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_between_f32_f32_f32_f32_strided(gg::Layout<int, 4> layout, const float* in_a, const float* in_a_min, const float* in_a_max, float* out_0) {
  gg::strided<gg_clip_between_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_a}, gg::In<1, float, float>{in_a_min}, gg::In<2, float, float>{in_a_max}, gg::Out<3, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_between_f32_f32_f32_f32_strided64(gg::Layout<long long, 4> layout, const float* in_a, const float* in_a_min, const float* in_a_max, float* out_0) {
  gg::strided<gg_clip_between_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_a}, gg::In<1, float, float>{in_a_min}, gg::In<2, float, float>{in_a_max}, gg::Out<3, float, float>{out_0});
}
