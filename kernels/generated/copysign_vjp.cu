// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// copysign_vjp(g, x1, x2) = (g * (sign(x1) * copysign(1.0, x2))), 0.0
#include "elementwise.cuh"

struct gg_copysign_vjp_f32_f32_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x1, float in_x2, float& out_0, float& out_1) {
    const float t0 = gg::sign(in_x1);
    const float t1 = copysign(1.0f, in_x2);
    const float t2 = t0 * t1;
    const float t3 = in_g * t2;
    out_0 = t3;
    out_1 = 0.0f;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_copysign_vjp_f32_f32_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::contiguous<gg_copysign_vjp_f32_f32_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_copysign_vjp_f32_f32_f32_f32_f32_rows(gg::Layout<int, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_copysign_vjp_f32_f32_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_copysign_vjp_f32_f32_f32_f32_f32_strided(gg::Layout<int, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_copysign_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_copysign_vjp_f32_f32_f32_f32_f32_strided64(gg::Layout<long long, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_copysign_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
