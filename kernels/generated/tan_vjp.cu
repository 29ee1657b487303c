// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// tan_vjp(g, y) = (g * (1.0 + square(y)))
#include "elementwise.cuh"

struct gg_tan_vjp_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_y, float& out_0) {
    const float t0 = gg::square(in_y);
    const float t1 = 1.0f + t0;
    const float t2 = in_g * t1;
    out_0 = t2;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_tan_vjp_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_y, float* out_0) {
  gg::contiguous<gg_tan_vjp_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_y}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_tan_vjp_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_y, float* out_0) {
  gg::strided<gg_tan_vjp_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_y}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_tan_vjp_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_y, float* out_0) {
  gg::strided<gg_tan_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_y}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_tan_vjp_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_y, float* out_0) {
  gg::strided<gg_tan_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_y}, gg::Out<2, float, float>{out_0});
}
