// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// minimum_vjp(g, x1, x2) = where((x1 < x2), g, where((x1 == x2), (0.5 * g), 0.0)), where((x1 < x2), 0.0, where((x1 == x2), (0.5 * g), g))
#include "elementwise.cuh"

struct gg_minimum_vjp_f32_f32_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x1, float in_x2, float& out_0, float& out_1) {
    const bool t0 = in_x1 < in_x2;
    const bool t1 = in_x1 == in_x2;
    const float t2 = 0.5f * in_g;
    const float t3 = t1 ? t2 : 0.0f;
    const float t4 = t0 ? in_g : t3;
    const float t5 = t1 ? t2 : in_g;
    const float t6 = t0 ? 0.0f : t5;
    out_0 = t4;
    out_1 = t6;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_minimum_vjp_f32_f32_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::contiguous<gg_minimum_vjp_f32_f32_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_minimum_vjp_f32_f32_f32_f32_f32_rows(gg::Layout<int, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_minimum_vjp_f32_f32_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_minimum_vjp_f32_f32_f32_f32_f32_strided(gg::Layout<int, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_minimum_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_minimum_vjp_f32_f32_f32_f32_f32_strided64(gg::Layout<long long, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_minimum_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
