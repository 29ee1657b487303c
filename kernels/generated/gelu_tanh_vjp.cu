// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// gelu_tanh_vjp(g, x) = (g * ((0.5 * (1.0 + tanh((0.7978845608028654 * (x + ((0.044715 * x) * square(x))))))) + (((0.7978845608028654 * (1.0 + ((0.044715 * square(x)) + ((2.0 * x) * (0.044715 * x))))) * (1.0 - square(tanh((0.7978845608028654 * (x + ((0.044715 * x) * square(x)))))))) * (0.5 * x))))
#include "elementwise.cuh"

struct gg_gelu_tanh_vjp_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x, float& out_0) {
    const float t0 = 0.0447149985f * in_x;
    const float t1 = gg::square(in_x);
    const float t2 = t0 * t1;
    const float t3 = in_x + t2;
    const float t4 = 0.797884583f * t3;
    const float t5 = tanh(t4);
    const float t6 = 1.0f + t5;
    const float t7 = 0.5f * t6;
    const float t8 = 0.0447149985f * t1;
    const float t9 = 2.0f * in_x;
    const float t10 = t9 * t0;
    const float t11 = t8 + t10;
    const float t12 = 1.0f + t11;
    const float t13 = 0.797884583f * t12;
    const float t14 = gg::square(t5);
    const float t15 = 1.0f - t14;
    const float t16 = t13 * t15;
    const float t17 = 0.5f * in_x;
    const float t18 = t16 * t17;
    const float t19 = t7 + t18;
    const float t20 = in_g * t19;
    out_0 = t20;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_gelu_tanh_vjp_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x, float* out_0) {
  gg::contiguous<gg_gelu_tanh_vjp_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_tanh_vjp_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_tanh_vjp_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_tanh_vjp_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_tanh_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_tanh_vjp_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_tanh_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
