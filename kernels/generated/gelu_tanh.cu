// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// gelu_tanh(x) = ((0.5 * x) * (1.0 + tanh((0.7978845608028654 * (x + ((0.044715 * x) * square(x)))))))
#include "elementwise.cuh"

struct gg_gelu_tanh_f32_f32 {
  static __device__ __forceinline__ void at(float in_x, float& out_0) {
    const float t0 = 0.5f * in_x;
    const float t1 = 0.0447149985f * in_x;
    const float t2 = gg::square(in_x);
    const float t3 = t1 * t2;
    const float t4 = in_x + t3;
    const float t5 = 0.797884583f * t4;
    const float t6 = tanh(t5);
    const float t7 = 1.0f + t6;
    const float t8 = t0 * t7;
    out_0 = t8;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_gelu_tanh_f32_f32_contiguous(unsigned n, const float* in_x, float* out_0) {
  gg::contiguous<gg_gelu_tanh_f32_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_tanh_f32_f32_rows(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_tanh_f32_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_tanh_f32_f32_strided(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_tanh_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_gelu_tanh_f32_f32_strided64(gg::Layout<long long, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_gelu_tanh_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
