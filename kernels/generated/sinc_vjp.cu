// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// sinc_vjp(g, x) = where((x == 0.0), 0.0, ((((3.141592653589793 * cos((3.141592653589793 * x))) * reciprocal((3.141592653589793 * x))) + (-3.141592653589793 * ((sin((3.141592653589793 * x)) / (3.141592653589793 * x)) / (3.141592653589793 * x)))) * g))
#include "elementwise.cuh"

struct gg_sinc_vjp_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x, float& out_0) {
    const bool t0 = in_x == 0.0f;
    const float t1 = 3.14159274f * in_x;
    const float t2 = cos(t1);
    const float t3 = 3.14159274f * t2;
    const float t4 = gg::reciprocal(t1);
    const float t5 = t3 * t4;
    const float t6 = sin(t1);
    const float t7 = t6 / t1;
    const float t8 = t7 / t1;
    const float t9 = (-3.14159274f) * t8;
    const float t10 = t5 + t9;
    const float t11 = t10 * in_g;
    const float t12 = t0 ? 0.0f : t11;
    out_0 = t12;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_sinc_vjp_f32_f32_f32_contiguous(long long n, const float* in_g, const float* in_x, float* out_0) {
  gg::contiguous<gg_sinc_vjp_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_sinc_vjp_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_sinc_vjp_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_sinc_vjp_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_sinc_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_sinc_vjp_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_sinc_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
