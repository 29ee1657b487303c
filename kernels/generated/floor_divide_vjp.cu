// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// floor_divide_vjp(g) = 0.0, 0.0
#include "elementwise.cuh"

struct gg_floor_divide_vjp_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float& out_0, float& out_1) {
    out_0 = 0.0f;
    out_1 = 0.0f;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_floor_divide_vjp_f32_f32_f32_contiguous(unsigned n, const float* in_g, float* out_0, float* out_1) {
  gg::contiguous<gg_floor_divide_vjp_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0}, gg::Out<2, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_floor_divide_vjp_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_g, float* out_0, float* out_1) {
  gg::strided<gg_floor_divide_vjp_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0}, gg::Out<2, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_floor_divide_vjp_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_g, float* out_0, float* out_1) {
  gg::strided<gg_floor_divide_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0}, gg::Out<2, float, float>{out_1});
}
extern "C" __global__ void __launch_bounds__(256) gg_floor_divide_vjp_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, float* out_0, float* out_1) {
  gg::strided<gg_floor_divide_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::Out<1, float, float>{out_0}, gg::Out<2, float, float>{out_1});
}
