// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// selu(x) = (1.0507009873554805 * where((x > 0.0), x, (1.6732632423543772 * expm1(x))))
#include "elementwise.cuh"

struct gg_selu_f32_f32 {
  static __device__ __forceinline__ void at(float in_x, float& out_0) {
    const bool t0 = in_x > 0.0f;
    const float t1 = expm1(in_x);
    const float t2 = 1.67326319f * t1;
    const float t3 = t0 ? in_x : t2;
    const float t4 = 1.05070102f * t3;
    out_0 = t4;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_selu_f32_f32_contiguous(unsigned n, const float* in_x, float* out_0) {
  gg::contiguous<gg_selu_f32_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_selu_f32_f32_rows(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_selu_f32_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_selu_f32_f32_strided(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_selu_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_selu_f32_f32_strided64(gg::Layout<long long, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_selu_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
