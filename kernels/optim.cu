// Optimizer updates of many arrays in one launch, and the norm of all gradients together.
//
// Arrays are given by tables in device memory: table[a * fields + f] is the address of field f of array a, and a block
// works on one chunk: chunk_array[block] says of which array, chunk_start[block] from which element; sizes[a] is the
// array's length. What changes from step to step is read from device memory too, so that a CUDA graph can replay the
// launch: lr[0], step[0] (counted from 1) and, where not null, grad_scale[0], which multiplies every gradient.
//
//   sgd(table, sizes, chunk_array, chunk_start, chunk, lr, step, grad_scale, momentum, dampening, weight_decay, nesterov,
//       found, skipped)
//       fields p, g, buffer (may be null where momentum is 0):
//       d = g + weight_decay p;  buffer = d at step 1, else momentum buffer + (1 - dampening) d;
//       d = nesterov ? d + momentum buffer : buffer;  p -= lr d
//   adam(..., lr, step, grad_scale, beta1, beta2, log_beta1, log_beta2, eps, weight_decay, decoupled, logs,
//        found, skipped)
//       fields p, g, m, v (Kingma and Ba, 2015; decoupled = AdamW, Loshchilov and Hutter, 2019):
//       p -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps);  log_beta: the host's logarithms, because
//       1 - 0.999^t in float32 has four digits; logs: null, or both in device memory, in place of the two
//   rmsprop(..., lr, step, grad_scale, alpha, eps, weight_decay, momentum, found, skipped)
//       fields p, g, v, buffer (may be null where momentum is 0):
//       v = alpha v + (1 - alpha) d^2;  u = d / (sqrt(v) + eps);  buffer = momentum buffer + u;  p -= lr buffer
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
//       part[block] = sum of squares of the block's chunk of `field`; `total` of reduce.cu adds them up
//   scale(table, sizes, chunk_array, chunk_start, chunk, factor)
//       one field, g:  g *= factor[0] (clipping by the norm, taking the loss scale off)
//
// p, g: storage type; all state and all scalars: compute type (float for halves); tables: unsigned long long; sizes,
// chunk_start, step, skipped, good, interval: long long; chunk_array, chunk, fields, field, nesterov, decoupled, found,
// any: int. Block (256,), grid (number of chunks,); judge, count_skip and loss_scale: one thread.
#include "reduce.cuh"

namespace gg {

struct Tables {
  const unsigned long long* table;
  const long long* sizes;
  const int* chunk_array;
  const long long* chunk_start;
  int chunk;
};

// update(array's addresses, element) for every element of this block's chunk.
template <int Fields, class F> __device__ __forceinline__ void each(const Tables& t, F update) {
  const int array = t.chunk_array[blockIdx.x];
  const long long first = t.chunk_start[blockIdx.x], size = t.sizes[array];
  const long long last = first + t.chunk < size ? first + t.chunk : size;
  const unsigned long long* fields = t.table + (long long)array * Fields;
  for (long long i = first + threadIdx.x; i < last; i += blockDim.x) update(fields, i);
}
template <class T> __device__ __forceinline__ T* field(const unsigned long long* fields, int f) {
  return reinterpret_cast<T*>(fields[f]);
}

// What a loss scale says of a step; both pointers may be null.
struct Verdict {
  const int* found;
  const long long* skipped;
  __device__ bool skip() const { return found && found[0]; }
  __device__ long long taken(long long step) const { return skipped ? step - skipped[0] : step; }
};

template <class T, class C>
__device__ void sgd(const Tables& t, const C* lr, const long long* step, const C* grad_scale, C momentum, C dampening,
                    C weight_decay, bool nesterov, Verdict verdict) {
  if (verdict.skip()) return;
  const C rate = lr[0], scale = grad_scale ? grad_scale[0] : C(1);
  const bool first = verdict.taken(step[0]) == 1;
  each<3>(t, [=](const unsigned long long* f, long long i) {
    T* p = field<T>(f, 0);
    const C w = load<C>(p[i]);
    C d = load<C>(field<T>(f, 1)[i]) * scale + weight_decay * w;
    if (momentum != C(0)) {
      C* buffer = field<C>(f, 2);
      const C b = first ? d : momentum * buffer[i] + (C(1) - dampening) * d;
      buffer[i] = b;
      d = nesterov ? d + momentum * b : b;
    }
    p[i] = store<T>(w - rate * d);
  });
}

template <class C> struct Adam { C beta1, beta2, log_beta1, log_beta2, eps, weight_decay; };

template <class T, class C>
__device__ void adam(const Tables& t, const C* lr, const long long* step, const C* grad_scale, Adam<C> a,
                     bool decoupled, const C* logs, Verdict verdict) {
  if (verdict.skip()) return;
  if (logs) a.log_beta1 = logs[0], a.log_beta2 = logs[1];
  const C rate = lr[0], scale = grad_scale ? grad_scale[0] : C(1), count = C(verdict.taken(step[0]));
  const C left1 = -expm1(count * a.log_beta1), left2 = -expm1(count * a.log_beta2);
  const C stride = rate / left1, root = rsqrt(left2);
  each<4>(t, [=](const unsigned long long* f, long long i) {
    T* p = field<T>(f, 0);
    C *m = field<C>(f, 2), *v = field<C>(f, 3);
    C w = load<C>(p[i]), d = load<C>(field<T>(f, 1)[i]) * scale;
    if (decoupled) w -= rate * a.weight_decay * w;
    else d += a.weight_decay * w;
    const C m1 = a.beta1 * m[i] + (C(1) - a.beta1) * d, v1 = a.beta2 * v[i] + (C(1) - a.beta2) * d * d;
    m[i] = m1;
    v[i] = v1;
    p[i] = store<T>(w - stride * m1 / (sqrt(v1) * root + a.eps));
  });
}

template <class T, class C>
__device__ void rmsprop(const Tables& t, const C* lr, const C* grad_scale, C alpha, C eps, C weight_decay, C momentum,
                        Verdict verdict) {
  if (verdict.skip()) return;
  const C rate = lr[0], scale = grad_scale ? grad_scale[0] : C(1);
  each<4>(t, [=](const unsigned long long* f, long long i) {
    T* p = field<T>(f, 0);
    C* v = field<C>(f, 2);
    const C w = load<C>(p[i]), d = load<C>(field<T>(f, 1)[i]) * scale + weight_decay * w;
    const C v1 = alpha * v[i] + (C(1) - alpha) * d * d;
    v[i] = v1;
    C u = d / (sqrt(v1) + eps);
    if (momentum != C(0)) {
      C* buffer = field<C>(f, 3);
      u += momentum * buffer[i];
      buffer[i] = u;
    }
    p[i] = store<T>(w - rate * u);
  });
}

template <class T, class C> __device__ void norm_partials(const Tables& t, int fields, int which, C* part) {
  const int array = t.chunk_array[blockIdx.x];
  const long long first = t.chunk_start[blockIdx.x], size = t.sizes[array];
  const long long last = first + t.chunk < size ? first + t.chunk : size;
  const T* g = field<T>(t.table + (long long)array * fields, which);
  C sum = C(0);
  for (long long i = first + threadIdx.x; i < last; i += blockDim.x) sum += square(load<C>(g[i]));
  sum = Team<true>::sum(sum);
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
  each<1>(t, [=](const unsigned long long* f, long long i) {
    T* g = field<T>(f, 0);
    g[i] = store<T>(load<C>(g[i]) * by);
  });
}

}  // namespace gg

#define GG_TABLES                                                                                                    \
  const unsigned long long *table, const long long *sizes, const int *chunk_array, const long long *chunk_start,     \
      int chunk
#define GG_GIVEN gg::Tables{table, sizes, chunk_array, chunk_start, chunk}
#define GG_ENTRIES(T, tag)                                                                                           \
  extern "C" __global__ void __launch_bounds__(256) gg_sgd_##tag(                                                    \
      GG_TABLES, const gg::real<T>* lr, const long long* step, const gg::real<T>* grad_scale, gg::real<T> momentum,  \
      gg::real<T> dampening, gg::real<T> weight_decay, int nesterov, const int* found, const long long* skipped) {   \
    gg::sgd<T, gg::real<T>>(GG_GIVEN, lr, step, grad_scale, momentum, dampening, weight_decay, nesterov != 0,        \
                            {found, skipped});                                                                       \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_adam_##tag(                                                   \
      GG_TABLES, const gg::real<T>* lr, const long long* step, const gg::real<T>* grad_scale, gg::real<T> beta1,     \
      gg::real<T> beta2, gg::real<T> log_beta1, gg::real<T> log_beta2, gg::real<T> eps, gg::real<T> weight_decay,    \
      int decoupled, const gg::real<T>* logs, const int* found, const long long* skipped) {                          \
    gg::adam<T, gg::real<T>>(GG_GIVEN, lr, step, grad_scale,                                                         \
                             {beta1, beta2, log_beta1, log_beta2, eps, weight_decay}, decoupled != 0, logs,          \
                             {found, skipped});                                                                      \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) gg_rmsprop_##tag(                                                \
      GG_TABLES, const gg::real<T>* lr, const long long* step, const gg::real<T>* grad_scale, gg::real<T> alpha,     \
      gg::real<T> eps, gg::real<T> weight_decay, gg::real<T> momentum, const int* found, const long long* skipped) { \
    gg::rmsprop<T, gg::real<T>>(GG_GIVEN, lr, grad_scale, alpha, eps, weight_decay, momentum, {found, skipped});     \
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
  }
#include "instantiate.cuh"
#undef GG_TABLES
#undef GG_GIVEN
