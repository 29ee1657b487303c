// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// clip_between_vjp(g, a, a_min, a_max) = where((a < a_min), 0.0, where((a > a_max), 0.0, g)), where((a < a_min), g, 0.0), where((a < a_min), 0.0, where((a > a_max), g, 0.0))
#include "elementwise.cuh"

struct gg_clip_between_vjp_f32_f32_f32_f32_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_a, float in_a_min, float in_a_max, float& out_0, float& out_1, float& out_2) {
    const bool t0 = in_a < in_a_min;
    const bool t1 = in_a > in_a_max;
    const float t2 = t1 ? 0.0f : in_g;
    const float t3 = t0 ? 0.0f : t2;
    const float t4 = t0 ? in_g : 0.0f;
    const float t5 = t1 ? in_g : 0.0f;
    const float t6 = t0 ? 0.0f : t5;
    out_0 = t3;
    out_1 = t4;
    out_2 = t6;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_clip_between_vjp_f32_f32_f32_f32_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_a, const float* in_a_min, const float* in_a_max, float* out_0, float* out_1, float* out_2) {
  gg::contiguous<gg_clip_between_vjp_f32_f32_f32_f32_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_a}, gg::In<2, float, float>{in_a_min}, gg::In<3, float, float>{in_a_max}, gg::Out<4, float, float>{out_0}, gg::Out<5, float, float>{out_1}, gg::Out<6, float, float>{out_2});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_between_vjp_f32_f32_f32_f32_f32_f32_f32_rows(gg::Layout<int, 7> layout, const float* in_g, const float* in_a, const float* in_a_min, const float* in_a_max, float* out_0, float* out_1, float* out_2) {
  gg::strided<gg_clip_between_vjp_f32_f32_f32_f32_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_a}, gg::In<2, float, float>{in_a_min}, gg::In<3, float, float>{in_a_max}, gg::Out<4, float, float>{out_0}, gg::Out<5, float, float>{out_1}, gg::Out<6, float, float>{out_2});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_between_vjp_f32_f32_f32_f32_f32_f32_f32_strided(gg::Layout<int, 7> layout, const float* in_g, const float* in_a, const float* in_a_min, const float* in_a_max, float* out_0, float* out_1, float* out_2) {
  gg::strided<gg_clip_between_vjp_f32_f32_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_a}, gg::In<2, float, float>{in_a_min}, gg::In<3, float, float>{in_a_max}, gg::Out<4, float, float>{out_0}, gg::Out<5, float, float>{out_1}, gg::Out<6, float, float>{out_2});
}
extern "C" __global__ void __launch_bounds__(256) gg_clip_between_vjp_f32_f32_f32_f32_f32_f32_f32_strided64(gg::Layout<long long, 7> layout, const float* in_g, const float* in_a, const float* in_a_min, const float* in_a_max, float* out_0, float* out_1, float* out_2) {
  gg::strided<gg_clip_between_vjp_f32_f32_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_a}, gg::In<2, float, float>{in_a_min}, gg::In<3, float, float>{in_a_max}, gg::Out<4, float, float>{out_0}, gg::Out<5, float, float>{out_1}, gg::Out<6, float, float>{out_2});
}
