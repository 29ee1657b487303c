// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// clip_above_vjp(g, a, a_max) = where((a > a_max), 0.0, g), where((a > a_max), g, 0.0)
#include "elementwise.cuh"

struct gg_clip_above_vjp_f32_f32_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_a, float in_a_max, float& out_0, float& out_1) {
    const bool t0 = in_a > in_a_max;
    const float t1 = t0 ? 0.0f : in_g;
    const float t2 = t0 ? in_g : 0.0f;
    out_0 = t1;
    out_1 = t2;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_clip_above_vjp_f32_f32_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_a, const float* in_a_max, float* out_0, float* out_1) {
  gg::contiguous<gg_clip_above_vjp_f32_f32_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_a}, gg::In<2, float, float>{in_a_max}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_above_vjp_f32_f32_f32_f32_f32_rows(gg::Layout<int, 5> layout, const float* in_g, const float* in_a, const float* in_a_max, float* out_0, float* out_1) {
  gg::strided<gg_clip_above_vjp_f32_f32_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_a}, gg::In<2, float, float>{in_a_max}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_above_vjp_f32_f32_f32_f32_f32_strided(gg::Layout<int, 5> layout, const float* in_g, const float* in_a, const float* in_a_max, float* out_0, float* out_1) {
  gg::strided<gg_clip_above_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_a}, gg::In<2, float, float>{in_a_max}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_above_vjp_f32_f32_f32_f32_f32_strided64(gg::Layout<long long, 5> layout, const float* in_g, const float* in_a, const float* in_a_max, float* out_0, float* out_1) {
  gg::strided<gg_clip_above_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_a}, gg::In<2, float, float>{in_a_max}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
