// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// relu6_vjp(g, x) = where((x >= 6.0), 0.0, where((relu(x) > 0.0), g, 0.0))
#include "elementwise.cuh"

struct gg_relu6_vjp_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x, float& out_0) {
    const bool t0 = in_x >= 6.0f;
    const float t1 = gg::relu(in_x);
    const bool t2 = t1 > 0.0f;
    const float t3 = t2 ? in_g : 0.0f;
    const float t4 = t0 ? 0.0f : t3;
    out_0 = t4;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_relu6_vjp_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x, float* out_0) {
  gg::contiguous<gg_relu6_vjp_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_relu6_vjp_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_relu6_vjp_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_relu6_vjp_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_relu6_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_relu6_vjp_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_relu6_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
