// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// minimum(x1, x2) = minimum(x1, x2)
#include "elementwise.cuh"

struct gg_minimum_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_x1, float in_x2, float& out_0) {
    const float t0 = gg::minimum(in_x1, in_x2);
    out_0 = t0;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_minimum_f32_f32_f32_contiguous(unsigned n, const float* in_x1, const float* in_x2, float* out_0) {
  gg::contiguous<gg_minimum_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_x1}, gg::In<1, float, float>{in_x2}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_minimum_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_x1, const float* in_x2, float* out_0) {
  gg::strided<gg_minimum_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_x1}, gg::In<1, float, float>{in_x2}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_minimum_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_x1, const float* in_x2, float* out_0) {
  gg::strided<gg_minimum_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_x1}, gg::In<1, float, float>{in_x2}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_minimum_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_x1, const float* in_x2, float* out_0) {
  gg::strided<gg_minimum_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_x1}, gg::In<1, float, float>{in_x2}, gg::Out<2, float, float>{out_0});
}
