// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// divide_vjp(g, x1, x2) = (g * reciprocal(x2)), -(((x1 / x2) / x2) * g)
#include "elementwise.cuh"

struct gg_divide_vjp_f32_f32_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x1, float in_x2, float& out_0, float& out_1) {
    const float t0 = gg::reciprocal(in_x2);
    const float t1 = in_g * t0;
    const float t2 = in_x1 / in_x2;
    const float t3 = t2 / in_x2;
    const float t4 = t3 * in_g;
    const float t5 = -t4;
    out_0 = t1;
    out_1 = t5;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_divide_vjp_f32_f32_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::contiguous<gg_divide_vjp_f32_f32_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_divide_vjp_f32_f32_f32_f32_f32_rows(gg::Layout<int, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_divide_vjp_f32_f32_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_divide_vjp_f32_f32_f32_f32_f32_strided(gg::Layout<int, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_divide_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_divide_vjp_f32_f32_f32_f32_f32_strided64(gg::Layout<long long, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_divide_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
