// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// hardsigmoid(x) = where((x >= 3.0), 1.0, where((x <= -3.0), 0.0, ((0.16666666666666666 * x) + 0.5)))
#include "elementwise.cuh"

struct gg_hardsigmoid_f32_f32 {
  static __device__ __forceinline__ void at(float in_x, float& out_0) {
    const bool t0 = in_x >= 3.0f;
    const bool t1 = in_x <= (-3.0f);
    const float t2 = 0.166666672f * in_x;
    const float t3 = t2 + 0.5f;
    const float t4 = t1 ? 0.0f : t3;
    const float t5 = t0 ? 1.0f : t4;
    out_0 = t5;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_hardsigmoid_f32_f32_contiguous(unsigned n, const float* in_x, float* out_0) {
  gg::contiguous<gg_hardsigmoid_f32_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_hardsigmoid_f32_f32_rows(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_hardsigmoid_f32_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_hardsigmoid_f32_f32_strided(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_hardsigmoid_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_hardsigmoid_f32_f32_strided64(gg::Layout<long long, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_hardsigmoid_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
