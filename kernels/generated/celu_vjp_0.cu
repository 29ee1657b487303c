// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// celu_vjp_0(g, x, alpha) = where((x > 0.0), g, (((reciprocal(alpha) * (expm1((x / alpha)) + 1.0)) * alpha) * g))
#include "elementwise.cuh"

struct gg_celu_vjp_0_f32_f32_s_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x, float in_alpha, float& out_0) {
    const bool t0 = in_x > 0.0f;
    const float t1 = gg::reciprocal(in_alpha);
    const float t2 = in_x / in_alpha;
    const float t3 = expm1(t2);
    const float t4 = t3 + 1.0f;
    const float t5 = t1 * t4;
    const float t6 = t5 * in_alpha;
    const float t7 = t6 * in_g;
    const float t8 = t0 ? in_g : t7;
    out_0 = t8;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_celu_vjp_0_f32_f32_s_f32_contiguous(unsigned n, const float* in_g, const float* in_x, float in_alpha, float* out_0) {
  gg::contiguous<gg_celu_vjp_0_f32_f32_s_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_celu_vjp_0_f32_f32_s_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_celu_vjp_0_f32_f32_s_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_celu_vjp_0_f32_f32_s_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_celu_vjp_0_f32_f32_s_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_celu_vjp_0_f32_f32_s_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_celu_vjp_0_f32_f32_s_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<2, float, float>{out_0});
}
