// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// prelu_vjp(g, x, weight) = where((x > 0.0), g, (weight * g)), where((x > 0.0), 0.0, (x * g))
#include "elementwise.cuh"

struct gg_prelu_vjp_f32_f32_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x, float in_weight, float& out_0, float& out_1) {
    const bool t0 = in_x > 0.0f;
    const float t1 = in_weight * in_g;
    const float t2 = t0 ? in_g : t1;
    const float t3 = in_x * in_g;
    const float t4 = t0 ? 0.0f : t3;
    out_0 = t2;
    out_1 = t4;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_prelu_vjp_f32_f32_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x, const float* in_weight, float* out_0, float* out_1) {
  gg::contiguous<gg_prelu_vjp_f32_f32_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::In<2, float, float>{in_weight}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_prelu_vjp_f32_f32_f32_f32_f32_rows(gg::Layout<int, 5> layout, const float* in_g, const float* in_x, const float* in_weight, float* out_0, float* out_1) {
  gg::strided<gg_prelu_vjp_f32_f32_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::In<2, float, float>{in_weight}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_prelu_vjp_f32_f32_f32_f32_f32_strided(gg::Layout<int, 5> layout, const float* in_g, const float* in_x, const float* in_weight, float* out_0, float* out_1) {
  gg::strided<gg_prelu_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::In<2, float, float>{in_weight}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_prelu_vjp_f32_f32_f32_f32_f32_strided64(gg::Layout<long long, 5> layout, const float* in_g, const float* in_x, const float* in_weight, float* out_0, float* out_1) {
  gg::strided<gg_prelu_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::In<2, float, float>{in_weight}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
