// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// gelu_erf(x) = ((0.5 * x) * (1.0 + erf((0.7071067811865476 * x))))
#include "elementwise.cuh"

struct gg_gelu_erf_f32_f32 {
  static __device__ __forceinline__ void at(float in_x, float& out_0) {
    const float t0 = 0.5f * in_x;
    const float t1 = 0.707106769f * in_x;
    const float t2 = erf(t1);
    const float t3 = 1.0f + t2;
    const float t4 = t0 * t3;
    out_0 = t4;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_gelu_erf_f32_f32_contiguous(unsigned n, const float* in_x, float* out_0) {
  gg::contiguous<gg_gelu_erf_f32_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_erf_f32_f32_rows(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_erf_f32_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_erf_f32_f32_strided(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_erf_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_erf_f32_f32_strided64(gg::Layout<long long, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_erf_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
