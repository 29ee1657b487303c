// Last line of each family of row kernels: GG_ENTRIES(type, tag) for every storage type that the build asked for with
// GG_FLOAT, GG_DOUBLE, GG_HALF and GG_BFLOAT16. One type a build keeps a float32 module free of double arithmetic.
#ifdef GG_FLOAT
GG_ENTRIES(float, f32)
#endif
#ifdef GG_DOUBLE
GG_ENTRIES(double, f64)
#endif
#ifdef GG_HALF
GG_ENTRIES(__half, f16)
#endif
#ifdef GG_BFLOAT16
GG_ENTRIES(__nv_bfloat16, bf16)
#endif
#undef GG_ENTRIES
