// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// sinc_vjp(g, x) = (g * where((absolute((3.141592653589793 * x)) < 0.5), (-0.16666666666666666 * (((19.739208802178716 * x) * (1.0 - (0.05 * (square((3.141592653589793 * x)) * (1.0 - (0.023809523809523808 * (square((3.141592653589793 * x)) * (1.0 - (0.013888888888888888 * (square((3.141592653589793 * x)) * (1.0 - (0.00909090909090909 * (square((3.141592653589793 * x)) * (1.0 - (0.00641025641025641 * (square((3.141592653589793 * x)) * (1.0 - (0.004761904761904762 * (square((3.141592653589793 * x)) * (1.0 - (0.003676470588235294 * square((3.141592653589793 * x))))))))))))))))))))))) + ((-0.05 * (((19.739208802178716 * x) * (1.0 - (0.023809523809523808 * (square((3.141592653589793 * x)) * (1.0 - (0.013888888888888888 * (square((3.141592653589793 * x)) * (1.0 - (0.00909090909090909 * (square((3.141592653589793 * x)) * (1.0 - (0.00641025641025641 * (square((3.141592653589793 * x)) * (1.0 - (0.004761904761904762 * (square((3.141592653589793 * x)) * (1.0 - (0.003676470588235294 * square((3.141592653589793 * x)))))))))))))))))))) + ((-0.023809523809523808 * (((19.739208802178716 * x) * (1.0 - (0.013888888888888888 * (square((3.141592653589793 * x)) * (1.0 - (0.00909090909090909 * (square((3.141592653589793 * x)) * (1.0 - (0.00641025641025641 * (square((3.141592653589793 * x)) * (1.0 - (0.004761904761904762 * (square((3.141592653589793 * x)) * (1.0 - (0.003676470588235294 * square((3.141592653589793 * x))))))))))))))))) + ((-0.013888888888888888 * (((19.739208802178716 * x) * (1.0 - (0.00909090909090909 * (square((3.141592653589793 * x)) * (1.0 - (0.00641025641025641 * (square((3.141592653589793 * x)) * (1.0 - (0.004761904761904762 * (square((3.141592653589793 * x)) * (1.0 - (0.003676470588235294 * square((3.141592653589793 * x)))))))))))))) + ((-0.00909090909090909 * (((19.739208802178716 * x) * (1.0 - (0.00641025641025641 * (square((3.141592653589793 * x)) * (1.0 - (0.004761904761904762 * (square((3.141592653589793 * x)) * (1.0 - (0.003676470588235294 * square((3.141592653589793 * x)))))))))...
#include "elementwise.cuh"

struct gg_sinc_vjp_f32_f32_f32 {
  static __device__ __forceinline__ void at(float in_g, float in_x, float& out_0) {
    const float t0 = 3.14159274f * in_x;
    const float t1 = gg::absolute(t0);
    const bool t2 = t1 < 0.5f;
    const float t3 = 19.7392082f * in_x;
    const float t4 = gg::square(t0);
    const float t5 = 0.0036764706f * t4;
    const float t6 = 1.0f - t5;
    const float t7 = t4 * t6;
    const float t8 = 0.00476190494f * t7;
    const float t9 = 1.0f - t8;
    const float t10 = t4 * t9;
    const float t11 = 0.00641025649f * t10;
    const float t12 = 1.0f - t11;
    const float t13 = t4 * t12;
    const float t14 = 0.0090909088f * t13;
    const float t15 = 1.0f - t14;
    const float t16 = t4 * t15;
    const float t17 = 0.013888889f * t16;
    const float t18 = 1.0f - t17;
    const float t19 = t4 * t18;
    const float t20 = 0.0238095243f * t19;
    const float t21 = 1.0f - t20;
    const float t22 = t4 * t21;
    const float t23 = 0.0500000007f * t22;
    const float t24 = 1.0f - t23;
    const float t25 = t3 * t24;
    const float t26 = t3 * t21;
    const float t27 = t3 * t18;
    const float t28 = t3 * t15;
    const float t29 = t3 * t12;
    const float t30 = t3 * t9;
    const float t31 = t3 * t6;
    const float t32 = (-0.072570622f) * in_x;
    const float t33 = t32 * t4;
    const float t34 = t31 + t33;
    const float t35 = (-0.00476190494f) * t34;
    const float t36 = t35 * t4;
    const float t37 = t30 + t36;
    const float t38 = (-0.00641025649f) * t37;
    const float t39 = t38 * t4;
    const float t40 = t29 + t39;
    const float t41 = (-0.0090909088f) * t40;
    const float t42 = t41 * t4;
    const float t43 = t28 + t42;
    const float t44 = (-0.013888889f) * t43;
    const float t45 = t44 * t4;
    const float t46 = t27 + t45;
    const float t47 = (-0.0238095243f) * t46;
    const float t48 = t47 * t4;
    const float t49 = t26 + t48;
    const float t50 = (-0.0500000007f) * t49;
    const float t51 = t50 * t4;
    const float t52 = t25 + t51;
    const float t53 = (-0.166666672f) * t52;
    const float t54 = cos(t0);
    const float t55 = 3.14159274f * t54;
    const float t56 = gg::reciprocal(t0);
    const float t57 = t55 * t56;
    const float t58 = sin(t0);
    const float t59 = t58 / t0;
    const float t60 = t59 / t0;
    const float t61 = (-3.14159274f) * t60;
    const float t62 = t57 + t61;
    const float t63 = t2 ? t53 : t62;
    const float t64 = in_g * t63;
    out_0 = t64;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_sinc_vjp_f32_f32_f32_contiguous(unsigned n, const float* in_g, const float* in_x, float* out_0) {
  gg::contiguous<gg_sinc_vjp_f32_f32_f32, 4>(n, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_sinc_vjp_f32_f32_f32_rows(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_sinc_vjp_f32_f32_f32, 4>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_sinc_vjp_f32_f32_f32_strided(gg::Layout<int, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_sinc_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_sinc_vjp_f32_f32_f32_strided64(gg::Layout<long long, 3> layout, const float* in_g, const float* in_x, float* out_0) {
  gg::strided<gg_sinc_vjp_f32_f32_f32, 1>(layout, gg::In<0, float, float>{in_g}, gg::In<1, float, float>{in_x}, gg::Out<2, float, float>{out_0});
}
