// Optimizer updates of many arrays in one launch, and the norm of all gradients together.
//
// Arrays are given by tables in device memory: table[a * fields + f] is the address of field f of array a, and a block
// works on one chunk: chunk_array[block] says of which array, chunk_start[block] from which element; sizes[a] is the
// array's length. What changes from step to step is read from device memory too, so that a CUDA graph can replay the
// launch: the rate lr[0], momentum or beta1 lr[1], step[0] (counted from 1) and, where not null, grad_scale[0], which
// multiplies every gradient.
//
//   sgd(table, sizes, chunk_array, chunk_start, chunk, lr, step, grad_scale, dampening, weight_decay, nesterov, found,
//       skipped)
//       fields p, g, buffer (may be null where momentum is 0):
//       d = g + weight_decay p;  buffer = d at step 1, else momentum buffer + (1 - dampening) d;
//       d = nesterov ? d + momentum buffer : buffer;  p -= lr d
//   adam(..., lr, step, grad_scale, beta2, log_beta1, log_beta2, eps, weight_decay, decoupled, logs, found, skipped)
//       fields p, g, m, v, top (null, or the largest v so far: AMSGrad, Reddi et al., 2018)
//       (Kingma and Ba, 2015; decoupled = AdamW, Loshchilov and Hutter, 2019):
//       p -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps), with top in v's place where there is one;
//       log_beta: the host's logarithms, because 1 - 0.999^t in float32 has four digits; logs: null, or both in device
//       memory, in place of the two
//   rmsprop(..., lr, step, grad_scale, alpha, eps, weight_decay, found, skipped)
//       fields p, g, v, buffer (may be null where momentum is 0), mean (null, or the mean of d: Graves, 2013):
//       v = alpha v + (1 - alpha) d^2;  mean = alpha mean + (1 - alpha) d;  u = d / (sqrt(v - mean^2) + eps);
//       buffer = momentum buffer + u;  p -= lr buffer
//   adagrad(...), adadelta(...), adamax(...), moments(..., lr, step, grad_scale, beta2, eps, weight_decay, decoupled,
//        own, past, root, shift, held, found, skipped)
//       fields p, g, s, t; held: null, or own, past, root and shift in device memory, in place of the four
//       adagrad (Duchi et al., 2011): s += d^2;  p -= lr own d / (sqrt(s) + eps)
//       adadelta (Zeiler, 2012): s = beta2 s + (1 - beta2) d^2;  u = sqrt(t + eps) / sqrt(s + eps) d;
//       t = beta2 t + (1 - beta2) u^2;  p -= lr u
//       adamax (Kingma and Ba, 2015): s = beta1 s + (1 - beta1) d;  t = max(beta2 t, |d| + eps);  p -= lr own s / t
//       moments (NAdam: Dozat, 2016; RAdam: Liu et al., 2020): s likewise;  t = beta2 t + (1 - beta2) d^2;
//       p -= lr (own d + past s) / (root sqrt(t) + shift); only here the decay may be decoupled
//   step_sizes(rule, a, b, c, eps, step, skipped, wide, narrow)
//       own, past, root and shift of step[0] - skipped[0], as `backend/step_sizes.py` says; written to wide[4] and, as
//       floats, to narrow[4], where these are not null
//   found, skipped: null, or what a loss scale says: where found[0] is not 0 the update is left out; skipped[0] of the
//       steps so far were, which `step` counts and the optimizer must not
//   judge(total, found, any)
//       found[0] = any[0] = 1 where total[0] is no finite number
//   count_skip(found, skipped)
//       skipped[0] += found[0]
//   loss_scale(factors, good, any, growth, backoff, interval)
//       the scale factors[0] and 1 / scale = factors[1] after a step: times backoff where any[0], which starts anew; times
//       growth after `interval` good steps, below the largest that a scaled loss may have
//   norm_partials(table, sizes, chunk_array, chunk_start, chunk, fields, field, part)
//       part[block] = sum of squares of the block's chunk of `field`; `sum_finish` of reduce.cu adds them up
//   scale(table, sizes, chunk_array, chunk_start, chunk, factor)
//       one field, g:  g *= factor[0] (clipping by the norm, taking the loss scale off)
//   clip(table, sizes, chunk_array, chunk_start, chunk, most)
//       one field, g:  g cut to [-most, most]; a nan stays
//
// All fields of an array have the storage type, and are computed with in the compute type (float for halves), as all
// scalars are given; tables: unsigned long long; sizes, chunk_start, step, skipped, good, interval: long long;
// chunk_array, chunk, fields, field, nesterov, decoupled, rule, found, any: int. chunk: a multiple of 8, so that chunks of
// arrays on 16-byte boundaries begin on such. Block (256,), grid (number of chunks,); judge, count_skip and loss_scale:
// one thread.
#include "reduce.cuh"

namespace gg {

struct Tables {
  const unsigned long long* table;
  const long long* sizes;
  const int* chunk_array;
  const long long* chunk_start;
  int chunk;
};

// update(values) for every element of this block's chunk: the fields' values (0 for a null field), which it changes in
// place; all are written back but the second, the gradient. Arrays on 16-byte boundaries move 16 bytes at a time.
template <int Fields, class T, class F> __device__ __forceinline__ void each(const Tables& t, F update) {
  using C = real<T>;
  constexpr int W = 16 / sizeof(T);
  const int array = t.chunk_array[blockIdx.x];
  const long long first = t.chunk_start[blockIdx.x], size = t.sizes[array];
  const long long last = first + t.chunk < size ? first + t.chunk : size;
  T* at[Fields];
  unsigned long long low = 0;
#pragma unroll
  for (int f = 0; f < Fields; ++f) {
    const unsigned long long address = t.table[(long long)array * Fields + f];
    at[f] = reinterpret_cast<T*>(address);
    low |= address;
  }
  const long long wide = low & 15 ? first : first + (last - first) / W * W;
  for (long long i = first + threadIdx.x * W; i < wide; i += blockDim.x * W) {
    Pack<T, W> packs[Fields];
#pragma unroll
    for (int f = 0; f < Fields; ++f)
      if (at[f]) packs[f] = Pack<T, W>(at[f] + i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      C values[Fields];
#pragma unroll
      for (int f = 0; f < Fields; ++f) values[f] = at[f] ? load<C>(packs[f].v[k]) : C(0);
      update(values);
#pragma unroll
      for (int f = 0; f < Fields; ++f) packs[f].v[k] = store<T>(values[f]);
    }
#pragma unroll
    for (int f = 0; f < Fields; ++f)
      if (at[f] && f != 1) packs[f].to(at[f] + i);
  }
  for (long long i = wide + threadIdx.x; i < last; i += blockDim.x) {
    C values[Fields];
#pragma unroll
    for (int f = 0; f < Fields; ++f) values[f] = at[f] ? load<C>(at[f][i]) : C(0);
    update(values);
#pragma unroll
    for (int f = 0; f < Fields; ++f)
      if (at[f] && f != 1) at[f][i] = store<T>(values[f]);
  }
}

// What a loss scale says of a step; both pointers may be null.
struct Verdict {
  const int* found;
  const long long* skipped;
  __device__ bool skip() const { return found && found[0]; }
  __device__ long long taken(long long step) const { return skipped ? step - skipped[0] : step; }
};

template <class T, class C>
__device__ void sgd(const Tables& t, const C* lr, const long long* step, const C* grad_scale, C dampening,
                    C weight_decay, bool nesterov, Verdict verdict) {
  if (verdict.skip()) return;
  const C rate = lr[0], momentum = lr[1], scale = grad_scale ? grad_scale[0] : C(1);
  const bool first = verdict.taken(step[0]) == 1;
  each<3, T>(t, [=](C* field) {
    const C w = field[0];
    C d = field[1] * scale + weight_decay * w;
    if (momentum != C(0)) {
      const C b = first ? d : momentum * field[2] + (C(1) - dampening) * d;
      field[2] = b;
      d = nesterov ? d + momentum * b : b;
    }
    field[0] = w - rate * d;
  });
}

template <class C> struct Adam { C beta1, beta2, log_beta1, log_beta2, eps, weight_decay; };

template <class T, class C>
__device__ void adam(const Tables& t, const C* lr, const long long* step, const C* grad_scale, Adam<C> a,
                     bool decoupled, const C* logs, Verdict verdict) {
  if (verdict.skip()) return;
  a.beta1 = lr[1];
  if (logs) a.log_beta1 = logs[0], a.log_beta2 = logs[1];
  const C rate = lr[0], scale = grad_scale ? grad_scale[0] : C(1), count = C(verdict.taken(step[0]));
  const C left1 = -expm1(count * a.log_beta1), left2 = -expm1(count * a.log_beta2);
  const C stride = rate / left1, root = rsqrt(left2);
  const bool largest = t.table[(long long)t.chunk_array[blockIdx.x] * 5 + 4] != 0;
  each<5, T>(t, [=](C* field) {
    C w = field[0], d = field[1] * scale;
    if (decoupled) w -= rate * a.weight_decay * w;
    else d += a.weight_decay * w;
    const C m = a.beta1 * field[2] + (C(1) - a.beta1) * d, v = a.beta2 * field[3] + (C(1) - a.beta2) * d * d;
    const C top = largest ? maximum(field[4], v) : v;
    field[2] = m;
    field[3] = v;
    field[4] = top;
    field[0] = w - stride * m / (sqrt(top) * root + a.eps);
  });
}

template <class T, class C>
__device__ void rmsprop(const Tables& t, const C* lr, const C* grad_scale, C alpha, C eps, C weight_decay,
                        Verdict verdict) {
  if (verdict.skip()) return;
  const C rate = lr[0], momentum = lr[1], scale = grad_scale ? grad_scale[0] : C(1);
  const bool centred = t.table[(long long)t.chunk_array[blockIdx.x] * 5 + 4] != 0;
  each<5, T>(t, [=](C* field) {
    const C w = field[0], d = field[1] * scale + weight_decay * w;
    const C v = alpha * field[2] + (C(1) - alpha) * d * d;
    field[2] = v;
    C left = v;
    if (centred) {
      const C mean = alpha * field[4] + (C(1) - alpha) * d;
      field[4] = mean;
      left = maximum(v - mean * mean, C(0));  // rounding may leave less than nothing
    }
    C u = d / (sqrt(left) + eps);
    if (momentum != C(0)) {
      u += momentum * field[3];
      field[3] = u;
    }
    field[0] = w - rate * u;
  });
}

template <class C> struct Adaptive {
  C beta1, beta2, eps, weight_decay;
  bool decoupled;
  C own, past, root, shift;
};

// update(a, rate, scale, fields) for every element, with the step sizes wherever they are.
template <class T, class C, class F>
__device__ __forceinline__ void adaptive(const Tables& t, const C* lr, const C* grad_scale, Adaptive<C> a,
                                         const C* held, Verdict verdict, F update) {
  if (verdict.skip()) return;
  a.beta1 = lr[1];
  if (held) a.own = held[0], a.past = held[1], a.root = held[2], a.shift = held[3];
  const C rate = lr[0], scale = grad_scale ? grad_scale[0] : C(1);
  each<4, T>(t, [=](C* field) { update(a, rate, scale, field); });
}

struct adagrad {
  template <class C> __device__ void operator()(const Adaptive<C>& a, C rate, C scale, C* field) const {
    const C w = field[0], d = field[1] * scale + a.weight_decay * w, sum = field[2] + d * d;
    field[2] = sum;
    field[0] = w - rate * a.own * d / (sqrt(sum) + a.eps);
  }
};

struct adadelta {
  template <class C> __device__ void operator()(const Adaptive<C>& a, C rate, C scale, C* field) const {
    const C w = field[0], d = field[1] * scale + a.weight_decay * w, moved = field[3];
    const C v = a.beta2 * field[2] + (C(1) - a.beta2) * d * d;
    const C u = sqrt(moved + a.eps) / sqrt(v + a.eps) * d;
    field[2] = v;
    field[3] = a.beta2 * moved + (C(1) - a.beta2) * u * u;
    field[0] = w - rate * u;
  }
};

struct adamax {
  template <class C> __device__ void operator()(const Adaptive<C>& a, C rate, C scale, C* field) const {
    const C w = field[0], d = field[1] * scale + a.weight_decay * w;
    const C m = a.beta1 * field[2] + (C(1) - a.beta1) * d, top = maximum(a.beta2 * field[3], absolute(d) + a.eps);
    field[2] = m;
    field[3] = top;
    field[0] = w - rate * a.own * m / top;
  }
};

struct moments {
  template <class C> __device__ void operator()(const Adaptive<C>& a, C rate, C scale, C* field) const {
    C w = field[0], d = field[1] * scale;
    if (a.decoupled) w -= rate * a.weight_decay * w;
    else d += a.weight_decay * w;
    const C m = a.beta1 * field[2] + (C(1) - a.beta1) * d, v = a.beta2 * field[3] + (C(1) - a.beta2) * d * d;
    field[2] = m;
    field[3] = v;
    field[0] = w - rate * (a.own * d + a.past * m) / (a.root * sqrt(v) + a.shift);
  }
};

// As `Schedule.at` of backend/step_sizes.py; the host asks for it in double whatever the parameters are.
template <class C> __device__ void step_sizes(int rule, C a, C b, C c, C eps, C t, C* size) {
  size[0] = C(1);
  size[1] = size[2] = size[3] = C(0);
  const C left1 = -expm1(t * log(a)), left2 = -expm1(t * log(b));
  if (rule == 0) {
    size[0] = C(1) / (C(1) + (t - C(1)) * a);
  } else if (rule == 1) {
    size[0] = C(1) / left1;
  } else if (rule == 2) {
    const C fade = c * log(C(0.96));
    C product = C(1);
    for (C i = C(1); i <= t && product >= C(1e-17); i += C(1)) product *= a * (C(1) - C(0.5) * exp(i * fade));
    const C now = a * (C(1) - C(0.5) * exp(t * fade)), then = a * (C(1) - C(0.5) * exp((t + C(1)) * fade));
    size[0] = (C(1) - now) / (C(1) - product);
    size[1] = then / (C(1) - product * then);
    size[2] = C(1) / sqrt(left2);
    size[3] = eps;
  } else {
    const C most = C(2) / (C(1) - b) - C(1), length = most - C(2) * t * (C(1) - left2) / left2;
    size[0] = C(0);
    size[1] = C(1) / left1;
    size[3] = C(1);
    if (length > C(5)) {
      const C rectified = (length - C(4)) * (length - C(2)) * most / ((most - C(4)) * (most - C(2)) * length);
      size[1] *= sqrt(rectified * left2);
      size[2] = C(1);
      size[3] = eps;
    }
  }
}

template <class T, class C> __device__ void norm_partials(const Tables& t, int fields, int which, C* part) {
  constexpr int W = 16 / sizeof(T);
  const int array = t.chunk_array[blockIdx.x];
  const long long first = t.chunk_start[blockIdx.x], size = t.sizes[array];
  const long long last = first + t.chunk < size ? first + t.chunk : size;
  const unsigned long long address = t.table[(long long)array * fields + which];
  const T* g = reinterpret_cast<const T*>(address);
  const long long wide = address & 15 ? first : first + (last - first) / W * W;
  C sum = C(0);
  for (long long i = first + threadIdx.x * W; i < wide; i += blockDim.x * W) {
    const Pack<T, W> pack(g + i);
#pragma unroll
    for (int k = 0; k < W; ++k) sum += square(load<C>(pack.v[k]));
  }
  for (long long i = wide + threadIdx.x; i < last; i += blockDim.x) sum += square(load<C>(g[i]));
  sum = BlockTeam::sum(sum);
  if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

template <class C> __device__ void judge(const C* total, int* found, int* any) {
  if (!isfinite(total[0])) found[0] = any[0] = 1;
}

template <class C>
__device__ void loss_scale(C* factors, long long* good, int* any, C growth, C backoff, long long interval) {
  C scale = factors[0];
  long long steps = good[0] + 1;
  if (any[0]) {
    scale *= backoff;
    steps = 0;
  } else if (steps == interval) {
    const C grown = scale * growth;
    if (grown < C(1e38f)) scale = grown;
    steps = 0;
  }
  factors[0] = scale;
  factors[1] = C(1) / scale;
  good[0] = steps;
  any[0] = 0;
}

template <class T, class C> __device__ void scale(const Tables& t, const C* factor) {
  const C by = factor[0];
  each<1, T>(t, [=](C* field) { field[0] *= by; });
}

template <class T, class C> __device__ void clip(const Tables& t, C most) {
  each<1, T>(t, [=](C* field) { field[0] = field[0] > most ? most : field[0] < -most ? -most : field[0]; });
}

}  // namespace gg

#define GG_TABLES                                                                                                    \
  const unsigned long long *table, const long long *sizes, const int *chunk_array, const long long *chunk_start,     \
      int chunk
#define GG_GIVEN gg::Tables{table, sizes, chunk_array, chunk_start, chunk}
#define GG_ADAPTIVE(T, tag, name)                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) gg_##name##_##tag(                                               \
      GG_TABLES, const gg::real<T>* lr, const long long* step, const gg::real<T>* grad_scale, gg::real<T> beta2,     \
      gg::real<T> eps, gg::real<T> weight_decay, int decoupled, gg::real<T> own, gg::real<T> past,                   \
      gg::real<T> root, gg::real<T> shift, const gg::real<T>* held, const int* found,                                \
      const long long* skipped) {                                                                                    \
    gg::adaptive<T, gg::real<T>>(GG_GIVEN, lr, grad_scale,                                                           \
                                 {0, beta2, eps, weight_decay, decoupled != 0, own, past, root, shift}, held,        \
                                 {found, skipped}, gg::name());                                                      \
  }
#define GG_ENTRIES(T, tag)                                                                                           \
  extern "C" __global__ void __launch_bounds__(256) gg_sgd_##tag(                                                    \
      GG_TABLES, const gg::real<T>* lr, const long long* step, const gg::real<T>* grad_scale,                        \
      gg::real<T> dampening, gg::real<T> weight_decay, int nesterov, const int* found, const long long* skipped) {   \
    gg::sgd<T, gg::real<T>>(GG_GIVEN, lr, step, grad_scale, dampening, weight_decay, nesterov != 0,                  \
                            {found, skipped});                                                                       \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_adam_##tag(                                                   \
      GG_TABLES, const gg::real<T>* lr, const long long* step, const gg::real<T>* grad_scale, gg::real<T> beta2,     \
      gg::real<T> log_beta1, gg::real<T> log_beta2, gg::real<T> eps, gg::real<T> weight_decay,                       \
      int decoupled, const gg::real<T>* logs, const int* found, const long long* skipped) {                          \
    gg::adam<T, gg::real<T>>(GG_GIVEN, lr, step, grad_scale,                                                         \
                             {0, beta2, log_beta1, log_beta2, eps, weight_decay}, decoupled != 0, logs,              \
                             {found, skipped});                                                                      \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_rmsprop_##tag(                                                \
      GG_TABLES, const gg::real<T>* lr, const long long* step, const gg::real<T>* grad_scale, gg::real<T> alpha,     \
      gg::real<T> eps, gg::real<T> weight_decay, const int* found, const long long* skipped) {                       \
    gg::rmsprop<T, gg::real<T>>(GG_GIVEN, lr, grad_scale, alpha, eps, weight_decay, {found, skipped});               \
  }                                                                                                                  \
  GG_ADAPTIVE(T, tag, adagrad)                                                                                       \
  GG_ADAPTIVE(T, tag, adadelta)                                                                                      \
  GG_ADAPTIVE(T, tag, adamax)                                                                                        \
  GG_ADAPTIVE(T, tag, moments)                                                                                       \
  extern "C" __global__ void gg_step_sizes_##tag(int rule, gg::real<T> a, gg::real<T> b, gg::real<T> c,              \
                                                 gg::real<T> eps, const long long* step, const long long* skipped,   \
                                                 gg::real<T>* wide, float* narrow) {                                 \
    gg::real<T> size[4];                                                                                             \
    gg::step_sizes<gg::real<T>>(rule, a, b, c, eps, gg::real<T>(step[0] - skipped[0]), size);                        \
    for (int k = 0; k < 4; ++k) {                                                                                    \
      if (wide) wide[k] = size[k];                                                                                   \
      if (narrow) narrow[k] = float(size[k]);                                                                        \
    }                                                                                                                \
  }                                                                                                                  \
  extern "C" __global__ void gg_judge_##tag(const gg::real<T>* total, int* found, int* any) {                        \
    gg::judge<gg::real<T>>(total, found, any);                                                                       \
  }                                                                                                                  \
  extern "C" __global__ void gg_count_skip_##tag(const int* found, long long* skipped) { skipped[0] += found[0]; }   \
  extern "C" __global__ void gg_loss_scale_##tag(gg::real<T>* factors, long long* good, int* any,                    \
                                                 gg::real<T> growth, gg::real<T> backoff, long long interval) {      \
    gg::loss_scale<gg::real<T>>(factors, good, any, growth, backoff, interval);                                      \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_norm_partials_##tag(GG_TABLES, int fields, int field,         \
                                                                           gg::real<T>* part) {                      \
    gg::norm_partials<T, gg::real<T>>(GG_GIVEN, fields, field, part);                                                \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_scale_##tag(GG_TABLES, const gg::real<T>* factor) {           \
    gg::scale<T, gg::real<T>>(GG_GIVEN, factor);                                                                     \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_clip_##tag(GG_TABLES, gg::real<T> most) {                     \
    gg::clip<T, gg::real<T>>(GG_GIVEN, most);                                                                        \
  }
#include "instantiate.cuh"
#undef GG_TABLES
#undef GG_GIVEN
#undef GG_ADAPTIVE
