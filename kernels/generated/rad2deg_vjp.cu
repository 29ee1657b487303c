// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// rad2deg_vjp(g) = (57.29577951308232 * g)
#include "elementwise.cuh"

struct gg_rad2deg_vjp_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float& out_0) {
    const float t0 = 57.2957802f * in_g;
    out_0 = t0;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_rad2deg_vjp_f32_f32_contiguous(unsigned n, const float* in_g, float* out_0) {
  gg::contiguous<gg_rad2deg_vjp_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_rad2deg_vjp_f32_f32_rows(gg::Layout<int, 2> layout, const float* in_g, float* out_0) {
  gg::strided<gg_rad2deg_vjp_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_rad2deg_vjp_f32_f32_strided(gg::Layout<int, 2> layout, const float* in_g, float* out_0) {
  gg::strided<gg_rad2deg_vjp_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_rad2deg_vjp_f32_f32_strided64(gg::Layout<long long, 2> layout, const float* in_g, float* out_0) {
  gg::strided<gg_rad2deg_vjp_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0});
}
