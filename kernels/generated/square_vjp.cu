// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// square_vjp(g, x) = (g * (2.0 * x))
#include "elementwise.cuh"

struct gg_square_vjp_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x, float& out_0) {
    const float t0 = 2.0f * in_x;
    const float t1 = in_g * t0;
    out_0 = t1;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_square_vjp_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x, float* out_0) {
  gg::contiguous<gg_square_vjp_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_square_vjp_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_square_vjp_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_square_vjp_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_square_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_square_vjp_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_square_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
