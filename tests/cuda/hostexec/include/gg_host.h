// Host build of CUDA C++: the part of the language and of its library that the kernels of this project use, with
// every thread of a block as a fibre. A barrier that not all threads reach, or reach on different lines, is an
// error with a message; shared memory starts out poisoned; lanes that take no part in a shuffle read as nan.
// It accepts some programs that NVRTC refuses, so it complements the compile check and never replaces it.
#pragma once
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __host__
#define __device__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__
#define __restrict__ __restrict
#define __align__(n) alignas(n)

struct dim3 { unsigned x, y, z; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;

// ---------------------------------------------------------------------------------------------- scheduling
enum gg_state { GG_FRESH, GG_READY, GG_BLOCK, GG_WARP, GG_DONE };
struct gg_fibre { jmp_buf at; ucontext_t start; char* stack; bool started; };
struct gg_thread { gg_state state; int line, fibre; unsigned mask, turn, synced; unsigned long long slot[2]; unsigned when[2]; };
static const int GG_MOST = 1024;
#ifdef GG_RACES
static const size_t GG_STACK = 512 << 10;
#else
static const size_t GG_STACK = 128 << 10;
#endif
static gg_thread gg_threads[GG_MOST];
static gg_fibre gg_fibres[GG_MOST];
static int gg_idle[GG_MOST], gg_idle_count, gg_fibre_count, gg_now;
static jmp_buf gg_scheduler;
static char gg_message[512];
static void (*gg_body)(void*);
static void* gg_body_argument;

struct gg_shared { const void* tag; char* at; };
static char* gg_arena;
static size_t gg_arena_used;
static const size_t GG_ARENA = 256 << 10;
static char* gg_dynamic;
static size_t gg_dynamic_size;  // what a device has in %dynamic_smem_size
static gg_shared gg_static[64];
static int gg_static_count;

static inline void gg_fail(const char* what, int line, int count, int total) {
  if (!gg_message[0])
    snprintf(gg_message, sizeof gg_message, "%s (line %d of the source; %d of %d threads; block %u,%u,%u)", what, line,
             count, total, blockIdx.x, blockIdx.y, blockIdx.z);
}

#ifdef GG_RACES
#include "gg_races.h"
#endif

static void* gg_take_shared(size_t bytes) {
  size_t from = (gg_arena_used + 15) & ~size_t(15);
  gg_arena_used = from + bytes;
  if (gg_arena_used > GG_ARENA) { fprintf(stderr, "shared memory: more than %zu bytes\n", GG_ARENA); abort(); }
  return gg_arena + from;
}

static inline char* gg_shared_variable(const void* tag, size_t bytes) {
  for (int i = 0; i < gg_static_count; ++i) if (gg_static[i].tag == tag) return gg_static[i].at;
  gg_static[gg_static_count] = {tag, (char*)gg_take_shared(bytes)};
  return gg_static[gg_static_count++].at;
}

__attribute__((noinline)) static void gg_wait(gg_state why, int line, unsigned mask) {
  gg_thread& t = gg_threads[gg_now];
  t.state = why; t.line = line; t.mask = mask;
  if (!_setjmp(gg_fibres[t.fibre].at)) _longjmp(gg_scheduler, 1);
}

static void gg_run_fibre() {
  for (;;) {
    gg_body(gg_body_argument);
    gg_thread& t = gg_threads[gg_now];
    t.state = GG_DONE;
    gg_idle[gg_idle_count++] = t.fibre;
    if (!_setjmp(gg_fibres[t.fibre].at)) _longjmp(gg_scheduler, 1);
  }
}

static void gg_resume(int i) {
  gg_thread& t = gg_threads[i];
  gg_now = i;
  threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
  if (t.state == GG_FRESH) t.fibre = gg_idle_count ? gg_idle[--gg_idle_count] : gg_fibre_count++;
  t.state = GG_READY;
  gg_fibre& f = gg_fibres[t.fibre];
  if (_setjmp(gg_scheduler)) return;
  if (f.started) _longjmp(f.at, 1);
  f.started = true;
  if (!f.stack) f.stack = (char*)malloc(GG_STACK);
  getcontext(&f.start);
  f.start.uc_stack.ss_sp = f.stack;
  f.start.uc_stack.ss_size = GG_STACK;
  f.start.uc_link = nullptr;
  makecontext(&f.start, gg_run_fibre, 0);
  setcontext(&f.start);
}

// Releases the lanes of one warp that wait for each other; false if none could go on.
static bool gg_release_warp(int from, int to) {
  bool any = false;
  for (int i = from; i < to; ++i) {
    gg_thread& t = gg_threads[i];
    if (t.state != GG_WARP) continue;
    bool all = true;
    for (int k = from; k < to && all; ++k)
      if ((t.mask >> (k - from) & 1) && gg_threads[k].state != GG_DONE)
        all = gg_threads[k].state == GG_WARP && gg_threads[k].mask == t.mask;
    if (!all) continue;
    if (!(t.mask >> (i - from) & 1)) gg_fail("a thread waits for a warp mask without itself", t.line, 1, to - from);
    for (int k = from; k < to; ++k)
      if ((t.mask >> (k - from) & 1) && gg_threads[k].state == GG_WARP) {
        if (gg_threads[k].line != t.line) gg_fail("lanes of one warp meet at different places", t.line, 1, to - from);
        if (k != i) gg_threads[k].state = GG_READY;
      }
    t.state = GG_READY;
    any = true;
  }
  return any;
}

static bool gg_run_block(int n, bool backwards) {
  for (int i = 0; i < n; ++i) gg_threads[i] = gg_thread{};
  for (;;) {
    // One warp goes as far as it can before the next begins: what it overwrites too early, the others then read.
    bool ran = false;
    for (int k = 0; k < n; k += 32) {
      int from = backwards ? (n - 1 - k) & ~31 : k, to = from + 32 < n ? from + 32 : n;
      do {
        for (int l = from; l < to; ++l) {
          int i = backwards ? from + to - 1 - l : l;
          if (gg_threads[i].state <= GG_READY) { gg_resume(i); ran = true; }
        }
      } while (gg_release_warp(from, to));
    }
    if (gg_message[0]) return false;
    int waiting = 0, done = 0, line = 0;
    for (int i = 0; i < n; ++i) {
      done += gg_threads[i].state == GG_DONE;
      if (gg_threads[i].state != GG_BLOCK) continue;
      ++waiting;
      line = gg_threads[i].line;
    }
    if (done == n) return true;
    if (waiting && waiting + done == n) {
      for (int i = 0; i < n; ++i) {
        if (gg_threads[i].state != GG_BLOCK) continue;
        if (gg_threads[i].line != line) { gg_fail("threads wait at different __syncthreads", line, waiting, n); return false; }
        gg_threads[i].state = GG_READY;
      }
#ifdef GG_RACES
      ++gg_barriers;
#endif
    } else if (!ran) {
      gg_fail("barrier divergence: some threads wait at a barrier that others never reach", line, waiting, n);
      return false;
    }
  }
}

// One launch; on failure the fibres that are still suspended are abandoned and begin anew at the next one.
static int gg_launch(const unsigned* dims, size_t shared, int order, void (*body)(void*), void* argument) {
  gridDim = {dims[0], dims[1], dims[2]};
  blockDim = {dims[3], dims[4], dims[5]};
  gg_body = body; gg_body_argument = argument; gg_message[0] = 0;
  if (!gg_arena) gg_arena = (char*)aligned_alloc(256, GG_ARENA);
  int n = blockDim.x * blockDim.y * blockDim.z;
#ifdef GG_RACES
  gg_watch();
#endif
  for (unsigned z = 0; z < gridDim.z; ++z) for (unsigned y = 0; y < gridDim.y; ++y) for (unsigned x = 0; x < gridDim.x; ++x) {
    blockIdx = {x, y, z};
#ifdef GG_RACES
    gg_block_number = ((unsigned long long)z * gridDim.y + y) * gridDim.x + x;
    ++gg_barriers;
#endif
    gg_static_count = 0; gg_arena_used = 0;
    gg_dynamic = (char*)gg_take_shared(shared);
    gg_dynamic_size = shared;
    memset(gg_arena, 0xff, 64 << 10 < shared ? GG_ARENA : 64 << 10);  // a float of ones is nan
    if (gg_run_block(n, order != 0)) continue;
    for (int i = 0; i < gg_fibre_count; ++i) gg_fibres[i].started = false;
    gg_idle_count = gg_fibre_count = 0;
    return 1;
  }
  return 0;
}

#define __syncthreads() gg_wait(GG_BLOCK, __LINE__, 0)
#define __syncwarp(...) gg_syncwarp(__LINE__, ##__VA_ARGS__)
static inline void gg_syncwarp(int line, unsigned mask = ~0u) { gg_wait(GG_WARP, line, mask); ++gg_threads[gg_now].synced; }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

template <class T> static inline T gg_exchange(int line, unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= 8, "shuffles carry at most eight bytes");
  int first = gg_now & ~31;
  gg_thread& t = gg_threads[gg_now];
  unsigned turn = ++t.turn;
  memcpy(&t.slot[turn & 1], &value, sizeof(T));
  t.when[turn & 1] = turn;
  gg_wait(GG_WARP, line, mask);
  gg_thread& other = gg_threads[first + (source & 31)];
  T result;
  if (first + (source & 31) < GG_MOST && other.when[turn & 1] == turn) memcpy(&result, &other.slot[turn & 1], sizeof(T));
  else memset(&result, 0xff, sizeof(T));  // undefined on a device
  return result;
}
static inline int gg_lane() { return gg_now & 31; }
template <class T> static inline T gg_shfl_xor(int line, unsigned m, T v, int d, int = 32) { return gg_exchange(line, m, v, gg_lane() ^ d); }
template <class T> static inline T gg_shfl_down(int line, unsigned m, T v, unsigned d, int w = 32) {
  int l = gg_lane(); return gg_exchange(line, m, v, l % w + (int)d < w ? l + (int)d : l); }
template <class T> static inline T gg_shfl_up(int line, unsigned m, T v, unsigned d, int w = 32) {
  int l = gg_lane(); return gg_exchange(line, m, v, l % w >= (int)d ? l - (int)d : l); }
template <class T> static inline T gg_shfl(int line, unsigned m, T v, int s, int w = 32) {
  return gg_exchange(line, m, v, gg_lane() / w * w + s % w); }
static inline unsigned gg_ballot(int line, unsigned m, int p) {
  unsigned bits = 0;
  for (int k = 0; k < 32; ++k) {
    int v = gg_exchange(line, m, p != 0, k);
    if ((m >> k & 1) && v == 1) bits |= 1u << k;
  }
  return bits;
}
#define __shfl_xor_sync(...) gg_shfl_xor(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) gg_shfl_down(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) gg_shfl_up(__LINE__, __VA_ARGS__)
#define __shfl_sync(...) gg_shfl(__LINE__, __VA_ARGS__)
#define __ballot_sync(...) gg_ballot(__LINE__, __VA_ARGS__)
#define __any_sync(m, p) (gg_ballot(__LINE__, m, p) != 0)
#define __all_sync(m, p) (gg_ballot(__LINE__, m, !(p)) == 0)

// ---------------------------------------------------------------------------------------------- the library
#define GG_ONE(name) \
  static inline float name(float x) { return __builtin_##name##f(x); } \
  static inline double name(double x) { return __builtin_##name(x); } \
  static inline float name##f(float x) { return __builtin_##name##f(x); }
#define GG_TWO(name) \
  static inline float name(float x, float y) { return __builtin_##name##f(x, y); } \
  static inline double name(double x, double y) { return __builtin_##name(x, y); } \
  static inline float name##f(float x, float y) { return __builtin_##name##f(x, y); }
GG_ONE(exp) GG_ONE(exp2) GG_ONE(expm1) GG_ONE(log) GG_ONE(log2) GG_ONE(log10) GG_ONE(log1p) GG_ONE(sqrt) GG_ONE(cbrt)
GG_ONE(sin) GG_ONE(cos) GG_ONE(tan) GG_ONE(asin) GG_ONE(acos) GG_ONE(atan) GG_ONE(sinh) GG_ONE(cosh) GG_ONE(tanh)
GG_ONE(asinh) GG_ONE(acosh) GG_ONE(atanh) GG_ONE(floor) GG_ONE(ceil) GG_ONE(trunc) GG_ONE(rint) GG_ONE(round)
GG_ONE(erf) GG_ONE(erfc) GG_ONE(lgamma) GG_ONE(tgamma) GG_ONE(fabs)
GG_TWO(pow) GG_TWO(fmod) GG_TWO(fmax) GG_TWO(fmin) GG_TWO(hypot) GG_TWO(atan2) GG_TWO(copysign)
static inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#define GG_REAL(R) \
  static inline bool isnan(R x) { return __builtin_isnan(x); } \
  static inline bool isinf(R x) { return __builtin_isinf(x); } \
  static inline bool isfinite(R x) { return __builtin_isfinite(x); } \
  static inline bool signbit(R x) { return __builtin_signbit(x); } \
  static inline R rsqrt(R x) { return R(1) / sqrt(x); }
GG_REAL(float) GG_REAL(double)
static inline float rsqrtf(float x) { return rsqrt(x); }
#define __expf(x) __builtin_expf(x)  // glibc declares a function of this name
// erfcx(x) = exp(x^2) erfc(x); beyond 5 by its continued fraction, which is at double precision there.
static inline double erfcx(double x) {
  if (x < 5) return exp(x * x) * erfc(x);
  double tail = x;
  for (int k = 60; k > 0; --k) tail = x + 0.5 * k / tail;
  return 0.56418958354775628695 / tail;
}
static inline float erfcx(float x) { return (float)erfcx((double)x); }
static inline float erfcxf(float x) { return erfcx(x); }
#define GG_ORDER(T) \
  static inline T max(T a, T b) { return a < b ? b : a; } \
  static inline T min(T a, T b) { return b < a ? b : a; }
GG_ORDER(int) GG_ORDER(unsigned) GG_ORDER(long long) GG_ORDER(unsigned long long) GG_ORDER(long)
#define GG_CAST(name, To, From) static inline To name(From x) { To y; memcpy(&y, &x, sizeof y); return y; }
GG_CAST(__int_as_float, float, int) GG_CAST(__float_as_int, int, float)
GG_CAST(__uint_as_float, float, unsigned) GG_CAST(__float_as_uint, unsigned, float)
GG_CAST(__longlong_as_double, double, long long) GG_CAST(__double_as_longlong, long long, double)
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline void __stwb(T* p, T v) { *p = v; }
template <class T> static inline void __stcs(T* p, T v) { *p = v; }
template <class T> static inline T atomicAdd(T* p, T v) { T o = *p; *p = o + v; return o; }
template <class T> static inline T atomicMax(T* p, T v) { T o = *p; *p = o < v ? v : o; return o; }
template <class T> static inline T atomicMin(T* p, T v) { T o = *p; *p = v < o ? v : o; return o; }
template <class T> static inline T atomicExch(T* p, T v) { T o = *p; *p = v; return o; }
template <class T> static inline T atomicCAS(T* p, T c, T v) { T o = *p; if (o == c) *p = v; return o; }

// ---------------------------------------------------------------------------------------------- entry points
template <class T> struct gg_kind { static const int value = 's'; };
template <class T> struct gg_kind<T*> { static const int value = 'p'; };
#define GG_KIND(T, k) template <> struct gg_kind<T> { static const int value = k; };
GG_KIND(float, 'f') GG_KIND(double, 'f') GG_KIND(bool, 'b') GG_KIND(char, 'i') GG_KIND(signed char, 'i')
GG_KIND(unsigned char, 'i') GG_KIND(short, 'i') GG_KIND(unsigned short, 'i') GG_KIND(int, 'i') GG_KIND(unsigned, 'i')
GG_KIND(long, 'i') GG_KIND(unsigned long, 'i') GG_KIND(long long, 'i') GG_KIND(unsigned long long, 'i')
template <class T> struct gg_plain { using type = T; };
template <class T> struct gg_plain<T* __restrict> { using type = T*; };
template <class T> struct gg_plain<const T> { using type = T; };
template <int... I> struct gg_sequence {};

template <class F> struct gg_entry;
template <class... P> struct gg_entry<void (*)(P...)> {
  using Kernel = void (*)(P...);
  struct Call { Kernel kernel; void** args; };
  template <int... I> static void call(const Call& c, gg_sequence<I...>) {
    c.kernel(*(typename gg_plain<P>::type*)c.args[I]...);
  }
  static void body(void* c) { call(*(Call*)c, gg_sequence<__integer_pack((int)sizeof...(P))...>{}); }
  static int run(Kernel k, const unsigned* dims, size_t shared, int order, void** args) {
    Call c{k, args};
    return gg_launch(dims, shared, order, body, &c);
  }
  static const int* signature() {  // count, then kind and size of each parameter
    static const int s[] = {(int)sizeof...(P), gg_kind<typename gg_plain<P>::type>::value..., (int)sizeof(P)..., 0};
    return s;
  }
};
template <class... P> static int gg_run(void (*k)(P...), const unsigned* d, size_t s, int o, void** a) {
  return gg_entry<void (*)(P...)>::run(k, d, s, o, a); }
template <class... P> static const int* gg_signature(void (*)(P...)) { return gg_entry<void (*)(P...)>::signature(); }
#define GG_EXPORT(i, ...) \
  extern "C" int gg_run_##i(const unsigned* d, size_t s, int o, void** a) { return gg_run(__VA_ARGS__, d, s, o, a); } \
  extern "C" const int* gg_signature_##i() { return gg_signature(__VA_ARGS__); }
extern "C" const char* gg_error() { return gg_message; }
