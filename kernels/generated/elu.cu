// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// elu(x, alpha) = where((x > 0.0), x, (alpha * expm1(x)))
#include "elementwise.cuh"

struct gg_elu_f32_s_f32 {
  static __device__ __forceinline__ void at(float in_x, float in_alpha, float& out_0) {
    const bool t0 = in_x > 0.0f;
    const float t1 = expm1(in_x);
    const float t2 = in_alpha * t1;
    const float t3 = t0 ? in_x : t2;
    out_0 = t3;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_elu_f32_s_f32_contiguous(unsigned n, const float* in_x, float in_alpha, float* out_0) {
  gg::contiguous<gg_elu_f32_s_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_elu_f32_s_f32_rows(gg::Layout<int, 2> layout, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_elu_f32_s_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_elu_f32_s_f32_strided(gg::Layout<int, 2> layout, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_elu_f32_s_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_elu_f32_s_f32_strided64(gg::Layout<long long, 2> layout, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_elu_f32_s_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<1, float, float>{out_0});
}
