// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// softplus_vjp_0(g, x, beta, threshold) = where(((beta * x) > threshold), g, (((beta * sigmoid((beta * x))) * reciprocal(beta)) * g))
#include "elementwise.cuh"

struct gg_softplus_vjp_0_f32_f32_s_s_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x, float in_beta, float in_threshold, float& out_0) {
    const float t0 = in_beta * in_x;
    const bool t1 = t0 > in_threshold;
    const float t2 = gg::sigmoid(t0);
    const float t3 = in_beta * t2;
    const float t4 = gg::reciprocal(in_beta);
    const float t5 = t3 * t4;
    const float t6 = t5 * in_g;
    const float t7 = t1 ? in_g : t6;
    out_0 = t7;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_softplus_vjp_0_f32_f32_s_s_f32_contiguous(unsigned n, const float* in_g, const float* in_x, float in_beta, float in_threshold, float* out_0) {
  gg::contiguous<gg_softplus_vjp_0_f32_f32_s_s_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_beta}, gg::Value<float>{in_threshold}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_softplus_vjp_0_f32_f32_s_s_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float in_beta, float in_threshold, float* out_0) {
  gg::strided<gg_softplus_vjp_0_f32_f32_s_s_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_beta}, gg::Value<float>{in_threshold}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_softplus_vjp_0_f32_f32_s_s_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float in_beta, float in_threshold, float* out_0) {
  gg::strided<gg_softplus_vjp_0_f32_f32_s_s_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_beta}, gg::Value<float>{in_threshold}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_softplus_vjp_0_f32_f32_s_s_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_x, float in_beta, float in_threshold, float* out_0) {
  gg::strided<gg_softplus_vjp_0_f32_f32_s_s_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Value<float>{in_beta}, gg::Value<float>{in_threshold}, gg::Out<2, float, float>{out_0});
}
