// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// fmax_vjp(g, x1, x2) = where(logical_or((x1 > x2), isnan(x2)), g, where((x1 == x2), (0.5 * g), 0.0)), where(logical_or((x1 > x2), isnan(x2)), 0.0, where((x1 == x2), (0.5 * g), g))
#include "elementwise.cuh"

struct gg_fmax_vjp_f32_f32_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x1, float in_x2, float& out_0, float& out_1) {
    const bool t0 = in_x1 > in_x2;
    const bool t1 = isnan(in_x2);
    const bool t2 = t0 || t1;
    const bool t3 = in_x1 == in_x2;
    const float t4 = 0.5f * in_g;
    const float t5 = t3 ? t4 : 0.0f;
    const float t6 = t2 ? in_g : t5;
    const float t7 = t3 ? t4 : in_g;
    const float t8 = t2 ? 0.0f : t7;
    out_0 = t6;
    out_1 = t8;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_fmax_vjp_f32_f32_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::contiguous<gg_fmax_vjp_f32_f32_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_fmax_vjp_f32_f32_f32_f32_f32_rows(gg::Layout<int, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_fmax_vjp_f32_f32_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_fmax_vjp_f32_f32_f32_f32_f32_strided(gg::Layout<int, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_fmax_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_fmax_vjp_f32_f32_f32_f32_f32_strided64(gg::Layout<long long, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_fmax_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
