// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// leaky_relu(x, negative_slope) = where((x > 0.0), x, (negative_slope * x))
#include "elementwise.cuh"

struct gg_leaky_relu_f32_s_f32 {
  static __device__ __forceinline__ void at(float in_x, float in_negative_slope, float& out_0) {
    const bool t0 = in_x > 0.0f;
    const float t1 = in_negative_slope * in_x;
    const float t2 = t0 ? in_x : t1;
    out_0 = t2;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_leaky_relu_f32_s_f32_contiguous(unsigned n, const float* in_x, float in_negative_slope, float* out_0) {
  gg::contiguous<gg_leaky_relu_f32_s_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::Value<float>{in_negative_slope}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_leaky_relu_f32_s_f32_rows(gg::Layout<int, 2> layout, const float* in_x, float in_negative_slope, float* out_0) {
  gg::strided<gg_leaky_relu_f32_s_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_negative_slope}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_leaky_relu_f32_s_f32_strided(gg::Layout<int, 2> layout, const float* in_x, float in_negative_slope, float* out_0) {
  gg::strided<gg_leaky_relu_f32_s_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_negative_slope}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_leaky_relu_f32_s_f32_strided64(gg::Layout<long long, 2> layout, const float* in_x, float in_negative_slope, float* out_0) {
  gg::strided<gg_leaky_relu_f32_s_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_negative_slope}, gg::Out<1, float, float>{out_0});
}
