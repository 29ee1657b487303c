// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// isfinite(x) = isfinite(x)
#include "elementwise.cuh"

struct gg_isfinite_f32_b1 {
  static __device__ __forceinline__ void at(float in_x, float& out_0) {
    const bool t0 = isfinite(in_x);
    out_0 = (float)t0;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_isfinite_f32_b1_contiguous(unsigned n, const float* in_x, bool* out_0) {
  gg::contiguous<gg_isfinite_f32_b1, 4>(n, gg::In<0, float, float>{in_x}, gg::Out<1, bool, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_isfinite_f32_b1_rows(gg::Layout<int, 2> layout, const float* in_x, bool* out_0) {
  gg::strided<gg_isfinite_f32_b1, 4>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, bool, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_isfinite_f32_b1_strided(gg::Layout<int, 2> layout, const float* in_x, bool* out_0) {
  gg::strided<gg_isfinite_f32_b1, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, bool, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_isfinite_f32_b1_strided64(gg::Layout<long long, 2> layout, const float* in_x, bool* out_0) {
  gg::strided<gg_isfinite_f32_b1, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, bool, float>{out_0});
}
