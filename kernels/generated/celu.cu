// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// celu(x, alpha) = where((x > 0.0), x, (alpha * expm1((x / alpha))))
#include "elementwise.cuh"

struct gg_celu_f32_s_f32 {
  static __device__ __forceinline__ void at(float in_x, float in_alpha, float& out_0) {
    const bool t0 = in_x > 0.0f;
    const float t1 = in_x / in_alpha;
    const float t2 = expm1(t1);
    const float t3 = in_alpha * t2;
    const float t4 = t0 ? in_x : t3;
    out_0 = t4;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_celu_f32_s_f32_contiguous(unsigned n, const float* in_x, float in_alpha, float* out_0) {
  gg::contiguous<gg_celu_f32_s_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_celu_f32_s_f32_rows(gg::Layout<int, 2> layout, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_celu_f32_s_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_celu_f32_s_f32_strided(gg::Layout<int, 2> layout, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_celu_f32_s_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_celu_f32_s_f32_strided64(gg::Layout<long long, 2> layout, const float* in_x, float in_alpha, float* out_0) {
  gg::strided<gg_celu_f32_s_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_alpha}, gg::Out<1, float, float>{out_0});
}
