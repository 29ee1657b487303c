// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// where(condition, x, y) = where(condition, x, y)
#include "elementwise.cuh"

struct gg_where_b1_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_condition, float in_x, float in_y, float& out_0) {
    const bool t0 = gg::truth(in_condition);
    const float t1 = t0 ? in_x : in_y;
    out_0 = t1;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_where_b1_f32_f32_f32_contiguous(unsigned n, const bool* in_condition, const float* in_x, const float* in_y, float* out_0) {
  gg::contiguous<gg_where_b1_f32_f32_f32, 4>(n, gg::In<0, bool, float>{in_condition}, gg::In<1, float, float>{in_x}, gg::In<2, float, float>{in_y}, gg::Out<3, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_where_b1_f32_f32_f32_rows(gg::Layout<int, 4> layout, const bool* in_condition, const float* in_x, const float* in_y, float* out_0) {
  gg::strided<gg_where_b1_f32_f32_f32, 4>(layout, gg::In<0, bool, float>{in_condition}, gg::In<1, float, float>{in_x}, gg::In<2, float, float>{in_y}, gg::Out<3, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_where_b1_f32_f32_f32_strided(gg::Layout<int, 4> layout, const bool* in_condition, const float* in_x, const float* in_y, float* out_0) {
  gg::strided<gg_where_b1_f32_f32_f32, 1>(layout, gg::In<0, bool, float>{in_condition}, gg::In<1, float, float>{in_x}, gg::In<2, float, float>{in_y}, gg::Out<3, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_where_b1_f32_f32_f32_strided64(gg::Layout<long long, 4> layout, const bool* in_condition, const float* in_x, const float* in_y, float* out_0) {
  gg::strided<gg_where_b1_f32_f32_f32, 1>(layout, gg::In<0, bool, float>{in_condition}, gg::In<1, float, float>{in_x}, gg::In<2, float, float>{in_y}, gg::Out<3, float, float>{out_0});
}
