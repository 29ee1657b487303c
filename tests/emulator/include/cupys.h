// What the sources that CuPy writes use of CUDA's library, beside what `hostexec` has for ours.
#pragma once
#include <stddef.h>

#define assert(x) ((void)0)
typedef unsigned int uint;
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline long long llrint(double x) { return __builtin_llrint(x); }
#define EMULATOR_MIXED(name) \
  static inline double name(double a, float b) { return name(a, double(b)); } \
  static inline double name(float a, double b) { return name(double(a), b); }
EMULATOR_MIXED(pow) EMULATOR_MIXED(fmax) EMULATOR_MIXED(fmin)
#define EMULATOR_NEVER(T) static inline bool isnan(T) { return false; }
EMULATOR_NEVER(bool) EMULATOR_NEVER(int) EMULATOR_NEVER(unsigned) EMULATOR_NEVER(long) EMULATOR_NEVER(unsigned long)
EMULATOR_NEVER(long long) EMULATOR_NEVER(unsigned long long)
static inline float max(float a, float b) { return fmax(a, b); }
static inline float min(float a, float b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
