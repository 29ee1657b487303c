// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// sinc(x) = where((x == 0.0), 1.0, (sin((3.141592653589793 * x)) / (3.141592653589793 * x)))
#include "elementwise.cuh"

struct gg_sinc_f32_f32 {
  static __device__ __forceinline__ void at(float in_x, float& out_0) {
    const bool t0 = in_x == 0.0f;
    const float t1 = 3.14159274f * in_x;
    const float t2 = sin(t1);
    const float t3 = t2 / t1;
    const float t4 = t0 ? 1.0f : t3;
    out_0 = t4;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_sinc_f32_f32_contiguous(long long n, const float* in_x, float* out_0) {
  gg::contiguous<gg_sinc_f32_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_sinc_f32_f32_rows(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_sinc_f32_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_sinc_f32_f32_strided(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_sinc_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_sinc_f32_f32_strided64(gg::Layout<long long, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_sinc_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
