// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// gelu_erf_vjp(g, x) = (g * ((0.5 * (1.0 + erf((0.7071067811865476 * x)))) + ((0.7978845608028654 * exp(-square((0.7071067811865476 * x)))) * (0.5 * x))))
#include "elementwise.cuh"

struct gg_gelu_erf_vjp_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x, float& out_0) {
    const float t0 = 0.707106769f * in_x;
    const float t1 = erf(t0);
    const float t2 = 1.0f + t1;
    const float t3 = 0.5f * t2;
    const float t4 = gg::square(t0);
    const float t5 = -t4;
    const float t6 = exp(t5);
    const float t7 = 0.797884583f * t6;
    const float t8 = 0.5f * in_x;
    const float t9 = t7 * t8;
    const float t10 = t3 + t9;
    const float t11 = in_g * t10;
    out_0 = t11;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_gelu_erf_vjp_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x, float* out_0) {
  gg::contiguous<gg_gelu_erf_vjp_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_erf_vjp_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_erf_vjp_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_erf_vjp_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_erf_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_erf_vjp_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_erf_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
