// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// prelu(x, weight) = where((x > 0.0), x, (weight * x))
#include "elementwise.cuh"

struct gg_prelu_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_x, float in_weight, float& out_0) {
    const bool t0 = in_x > 0.0f;
    const float t1 = in_weight * in_x;
    const float t2 = t0 ? in_x : t1;
    out_0 = t2;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_prelu_f32_f32_f32_contiguous(unsigned n, const float* in_x, const float* in_weight, float* out_0) {
  gg::contiguous<gg_prelu_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::In<1, float, float>{in_weight}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_prelu_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_x, const float* in_weight, float* out_0) {
  gg::strided<gg_prelu_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::In<1, float, float>{in_weight}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_prelu_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_x, const float* in_weight, float* out_0) {
  gg::strided<gg_prelu_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::In<1, float, float>{in_weight}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_prelu_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_x, const float* in_weight, float* out_0) {
  gg::strided<gg_prelu_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::In<1, float, float>{in_weight}, gg::Out<2, float, float>{out_0});
}
