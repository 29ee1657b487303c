// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// hardswish(x) = where((x >= 3.0), x, where((x <= -3.0), 0.0, (0.16666666666666666 * (x * (x + 3.0)))))
#include "elementwise.cuh"

struct gg_hardswish_f32_f32 {
  static __device__ __forceinline__ void at(float in_x, float& out_0) {
    const bool t0 = in_x >= 3.0f;
    const bool t1 = in_x <= (-3.0f);
    const float t2 = in_x + 3.0f;
    const float t3 = in_x * t2;
    const float t4 = 0.166666672f * t3;
    const float t5 = t1 ? 0.0f : t4;
    const float t6 = t0 ? in_x : t5;
    out_0 = t6;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_hardswish_f32_f32_contiguous(unsigned n, const float* in_x, float* out_0) {
  gg::contiguous<gg_hardswish_f32_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_hardswish_f32_f32_rows(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_hardswish_f32_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_hardswish_f32_f32_strided(gg::Layout<int, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_hardswish_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_hardswish_f32_f32_strided64(gg::Layout<long long, 2> layout, const float* in_x, float* out_0) {
  gg::strided<gg_hardswish_f32_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Out<1, float, float>{out_0});
}
