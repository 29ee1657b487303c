// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// logaddexp_vjp(g, x1, x2) = (g * exp((x1 - logaddexp(x1, x2)))), (g * exp((x2 - logaddexp(x1, x2))))
#include "elementwise.cuh"

struct gg_logaddexp_vjp_f32_f32_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x1, float in_x2, float& out_0, float& out_1) {
    const float t0 = gg::logaddexp(in_x1, in_x2);
    const float t1 = in_x1 - t0;
    const float t2 = exp(t1);
    const float t3 = in_g * t2;
    const float t4 = in_x2 - t0;
    const float t5 = exp(t4);
    const float t6 = in_g * t5;
    out_0 = t3;
    out_1 = t6;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_logaddexp_vjp_f32_f32_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::contiguous<gg_logaddexp_vjp_f32_f32_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_logaddexp_vjp_f32_f32_f32_f32_f32_rows(gg::Layout<int, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_logaddexp_vjp_f32_f32_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_logaddexp_vjp_f32_f32_f32_f32_f32_strided(gg::Layout<int, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_logaddexp_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_logaddexp_vjp_f32_f32_f32_f32_f32_strided64(gg::Layout<long long, 5> layout, const float* in_g, const float* in_x1, const float* in_x2, float* out_0, float* out_1) {
  gg::strided<gg_logaddexp_vjp_f32_f32_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x1}, gg::In<2, float, float>{in_x2}, gg::Out<3, float, float>{out_0}, gg::Out<4, float, float>{out_1});
}
