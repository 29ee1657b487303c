// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write
// hardtanh(x, min_val, max_val) = where((x >= max_val), max_val, where((x <= min_val), min_val, x))
#include "elementwise.cuh"

struct gg_hardtanh_f32_s_s_f32 {
  static __device__ __forceinline__ void at(float in_x, float in_min_val, float in_max_val, float& out_0) {
    const bool t0 = in_x >= in_max_val;
    const bool t1 = in_x <= in_min_val;
    const float t2 = t1 ? in_min_val : in_x;
    const float t3 = t0 ? in_max_val : t2;
    out_0 = t3;
  }
};
extern "C" __global__ void __launch_bounds__(256) gg_hardtanh_f32_s_s_f32_contiguous(unsigned n, const float* in_x, float in_min_val, float in_max_val, float* out_0) {
  gg::contiguous<gg_hardtanh_f32_s_s_f32, 4>(n, gg::In<0, float, float>{in_x}, gg::Value<float>{in_min_val}, gg::Value<float>{in_max_val}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_hardtanh_f32_s_s_f32_rows(gg::Layout<int, 2> layout, const float* in_x, float in_min_val, float in_max_val, float* out_0) {
  gg::strided<gg_hardtanh_f32_s_s_f32, 4>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_min_val}, gg::Value<float>{in_max_val}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_hardtanh_f32_s_s_f32_strided(gg::Layout<int, 2> layout, const float* in_x, float in_min_val, float in_max_val, float* out_0) {
  gg::strided<gg_hardtanh_f32_s_s_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_min_val}, gg::Value<float>{in_max_val}, gg::Out<1, float, float>{out_0});
}
extern "C" __global__ void __launch_bounds__(256) gg_hardtanh_f32_s_s_f32_strided64(gg::Layout<long long, 2> layout, const float* in_x, float in_min_val, float in_max_val, float* out_0) {
  gg::strided<gg_hardtanh_f32_s_s_f32, 1>(layout, gg::In<0, float, float>{in_x}, gg::Value<float>{in_min_val}, gg::Value<float>{in_max_val}, gg::Out<1, float, float>{out_0});
}
