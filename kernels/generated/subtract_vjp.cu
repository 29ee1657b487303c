// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// subtract_vjp(g) = g, -g
#include "elementwise.cuh"

struct gg_subtract_vjp_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float& out_0, float& out_1) {
    const float t0 = -in_g;
    out_0 = in_g;
    out_1 = t0;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_subtract_vjp_f32_f32_f32_contiguous(unsigned n, const float* in_g, float* out_0, float* out_1) {
  gg::contiguous<gg_subtract_vjp_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0}, gg::Out<2, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_subtract_vjp_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_g, float* out_0, float* out_1) {
  gg::strided<gg_subtract_vjp_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0}, gg::Out<2, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_subtract_vjp_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_g, float* out_0, float* out_1) {
  gg::strided<gg_subtract_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0}, gg::Out<2, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_subtract_vjp_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, float* out_0, float* out_1) {
  gg::strided<gg_subtract_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0}, gg::Out<2, float, float>{out_1});
}
