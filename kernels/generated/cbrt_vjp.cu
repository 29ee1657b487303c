// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// cbrt_vjp(g, y) = (g * reciprocal((3.0 * square(y))))
#include "elementwise.cuh"

struct gg_cbrt_vjp_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_y, float& out_0) {
    const float t0 = gg::square(in_y);
    const float t1 = 3.0f * t0;
    const float t2 = gg::reciprocal(t1);
    const float t3 = in_g * t2;
    out_0 = t3;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_cbrt_vjp_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_y, float* out_0) {
  gg::contiguous<gg_cbrt_vjp_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_y}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_cbrt_vjp_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_y, float* out_0) {
  gg::strided<gg_cbrt_vjp_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_y}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_cbrt_vjp_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_y, float* out_0) {
  gg::strided<gg_cbrt_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_y}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_cbrt_vjp_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_y, float* out_0) {
  gg::strided<gg_cbrt_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_y}, gg::Out<2, float, float>{out_0});
}
