// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// greater(x1, x2) = (x1 > x2)
#include "elementwise.cuh"

struct gg_greater_f32_f32_b1 {
  static __device__ __forceinline__ void at(float in_x1, float in_x2, float& out_0) {
    const bool t0 = in_x1 > in_x2;
    out_0 = (float)t0;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_greater_f32_f32_b1_contiguous(unsigned n, const float* in_x1, const float* in_x2, bool* out_0) {
  gg::contiguous<gg_greater_f32_f32_b1, 4>(n, gg::In<0, float, float>{in_x1}, gg::In<1, float, float>{in_x2}, gg::Out<2, bool, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_greater_f32_f32_b1_rows(gg::Layout<int, 3> layout, const float* in_x1, const float* in_x2, bool* out_0) {
  gg::strided<gg_greater_f32_f32_b1, 4>(layout, gg::In<0, float, float>{in_x1}, gg::In<1, float, float>{in_x2}, gg::Out<2, bool, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_greater_f32_f32_b1_strided(gg::Layout<int, 3> layout, const float* in_x1, const float* in_x2, bool* out_0) {
  gg::strided<gg_greater_f32_f32_b1, 1>(layout, gg::In<0, float, float>{in_x1}, gg::In<1, float, float>{in_x2}, gg::Out<2, bool, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_greater_f32_f32_b1_strided64(gg::Layout<long long, 3> layout, const float* in_x1, const float* in_x2, bool* out_0) {
  gg::strided<gg_greater_f32_f32_b1, 1>(layout, gg::In<0, float, float>{in_x1}, gg::In<1, float, float>{in_x2}, gg::Out<2, bool, float>{out_0});
}
