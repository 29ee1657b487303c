// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// sinc(x) = where((absolute((3.141592653589793 * x)) < 0.5), (1.0 - (0.16666666666666666 * (square((3.141592653589793 * x)) * (1.0 - (0.05 * (square((3.141592653589793 * x)) * (1.0 - (0.023809523809523808 * (square((3.141592653589793 * x)) * (1.0 - (0.013888888888888888 * (square((3.141592653589793 * x)) * (1.0 - (0.00909090909090909 * (square((3.141592653589793 * x)) * (1.0 - (0.00641025641025641 * (square((3.141592653589793 * x)) * (1.0 - (0.004761904761904762 * (square((3.141592653589793 * x)) * (1.0 - (0.003676470588235294 * square((3.141592653589793 * x))))))))))))))))))))))))), (sin((3.141592653589793 * x)) / (3.141592653589793 * x)))
#include "elementwise.cuh"

struct gg_sinc_f32_f32 {
  static __device__ __forceinline__ void at(float in_x, float& out_0) {
    const float t0 = 3.14159274f * in_x;
    const float t1 = gg::absolute(t0);
    const bool t2 = t1 < 0.5f;
    const float t3 = gg::square(t0);
    const float t4 = 0.0036764706f * t3;
    const float t5 = 1.0f - t4;
    const float t6 = t3 * t5;
    const float t7 = 0.00476190494f * t6;
    const float t8 = 1.0f - t7;
    const float t9 = t3 * t8;
    const float t10 = 0.00641025649f * t9;
    const float t11 = 1.0f - t10;
    const float t12 = t3 * t11;
    const float t13 = 0.0090909088f * t12;
    const float t14 = 1.0f - t13;
    const float t15 = t3 * t14;
    const float t16 = 0.013888889f * t15;
    const float t17 = 1.0f - t16;
    const float t18 = t3 * t17;
    const float t19 = 0.0238095243f * t18;
    const float t20 = 1.0f - t19;
    const float t21 = t3 * t20;
    const float t22 = 0.0500000007f * t21;
    const float t23 = 1.0f - t22;
    const float t24 = t3 * t23;
    const float t25 = 0.166666672f * t24;
    const float t26 = 1.0f - t25;
    const float t27 = sin(t0);
    const float t28 = t27 / t0;
    const float t29 = t2 ? t26 : t28;
    out_0 = t29;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_sinc_f32_f32_contiguous(unsigned n, const float* in_x, float* out_0) {
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
