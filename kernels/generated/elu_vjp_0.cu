// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// elu_vjp_0(g, x, alpha) = where((x > 0.0), g, (((expm1(x) + 1.0) * alpha) * g))
#include "elementwise.cuh"

struct gg_elu_vjp_0_f32_f32_s_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x, float in_alpha, float& out_0) {
    const bool t0 = in_x > 0.0f;
    const float t1 = expm1(in_x);
    const float t2 = t1 + 1.0f;
    const float t3 = t2 * in_alpha;
    const float t4 = t3 * in_g;
    const float t5 = t0 ? in_g : t4;
    out_0 = t5;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_elu_vjp_0_f32_f32_s_f32_contiguous(unsigned n, const float* in_g, const float* in_x, float in_alpha, float* out_0) {
  gg::contiguous<gg_elu_vjp_0_f32_f32_s_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_elu_vjp_0_f32_f32_s_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_elu_vjp_0_f32_f32_s_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_elu_vjp_0_f32_f32_s_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_elu_vjp_0_f32_f32_s_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_elu_vjp_0_f32_f32_s_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_elu_vjp_0_f32_f32_s_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<2, float, float>{out_0});
}
