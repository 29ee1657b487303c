// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// where_vjp_1_2(g, condition) = where(condition, g, 0.0), where(condition, 0.0, g)
#include "elementwise.cuh"

struct gg_where_vjp_1_2_f32_b1_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_condition, float& out_0, float& out_1) {
    const bool t0 = gg::truth(in_condition);
    const float t1 = t0 ? in_g : 0.0f;
    const float t2 = t0 ? 0.0f : in_g;
    out_0 = t1;
    out_1 = t2;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_where_vjp_1_2_f32_b1_f32_f32_contiguous(unsigned n, const float* in_g, const bool* in_condition, float* out_0, float* out_1) {
  gg::contiguous<gg_where_vjp_1_2_f32_b1_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, bool, float>{in_condition}, gg::Out<2, float, float>{out_0}, gg::Out<3, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_where_vjp_1_2_f32_b1_f32_f32_rows(gg::Layout<int, 4> layout, const float* in_g, const bool* in_condition, float* out_0, float* out_1) {
  gg::strided<gg_where_vjp_1_2_f32_b1_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, bool, float>{in_condition}, gg::Out<2, float, float>{out_0}, gg::Out<3, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_where_vjp_1_2_f32_b1_f32_f32_strided(gg::Layout<int, 4> layout, const float* in_g, const bool* in_condition, float* out_0, float* out_1) {
  gg::strided<gg_where_vjp_1_2_f32_b1_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, bool, float>{in_condition}, gg::Out<2, float, float>{out_0}, gg::Out<3, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_where_vjp_1_2_f32_b1_f32_f32_strided64(gg::Layout<long long, 4> layout, const float* in_g, const bool* in_condition, float* out_0, float* out_1) {
  gg::strided<gg_where_vjp_1_2_f32_b1_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, bool, float>{in_condition}, gg::Out<2, float, float>{out_0}, gg::Out<3, float, float>{out_1});
}
