// The CUDA runtime and driver, as far as CuPy calls them, on a machine without a GPU. "Device memory" is the host's,
// streams do their work at once, and a kernel's launch is handed to whoever executes it on the host (`kernels.py`).
// What CUDA's documentation forbids is refused: work on the legacy stream, allocations and waiting while a stream
// captures, handles that are gone, grids and shared memory beyond a device's limits, times of events without times.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace {

const size_t TOTAL = size_t(8) << 30;
const int SHARED = 48 << 10, SHARED_OPTIN = 227 << 10, MULTIPROCESSORS = 132;

struct Node {  // of a graph: a launch (token >= 0), a copy or a fill
  int token;
  void* to;
  const void* from;
  size_t bytes;
  int value;
};
enum { COPY = -1, FILL = -2 };
struct Graph { std::vector<Node> nodes; };
struct Stream {
  unsigned flags;
  bool capturing, invalid;
  int mode;  // of the capture: cudaStreamCaptureModeGlobal, ThreadLocal or Relaxed
  std::vector<Node> nodes;
};
struct Event {
  bool timed, recorded;
  double at;
};
struct Function {
  std::string name;
  void* module;
  int shared;
};

// What launches are handed to: returns a token for a launch that is recorded (0 otherwise), or -1.
using Launch = int (*)(const char* name, const unsigned* dims, unsigned shared, void** arguments, void* module, int note);
using Again = void (*)(int token);
Launch launch;
Again again;

std::recursive_mutex lock;
std::map<void*, size_t> memory;
std::set<Stream*> streams;
std::set<Event*> events;
std::map<std::pair<void*, std::string>, Function*> functions;
size_t used;
int device, devices = 1, last;

#define LOCKED std::lock_guard<std::recursive_mutex> held(lock)

cudaError_t result(int error) {
  if (error) last = error;
  return cudaError_t(error);
}

bool legacy(void* s) { return s == nullptr || s == (void*)1; }
Stream* own(void* s) { return legacy(s) || s == (void*)2 ? nullptr : static_cast<Stream*>(s); }
bool gone(void* s) { return own(s) && !streams.count(own(s)); }
bool captures(void* s) { return own(s) && own(s)->capturing; }

// The error of a call that no thread may make while a stream captures in the global mode.
int unsafe() {
  for (Stream* s : streams)
    if (s->capturing && s->mode == cudaStreamCaptureModeGlobal) {
      s->invalid = true;
      return cudaErrorStreamCaptureUnsupported;
    }
  return 0;
}

// The error of giving work to a stream: the legacy one would wait for a capturing stream that is not non-blocking.
int refused(void* s) {
  if (gone(s)) return cudaErrorInvalidResourceHandle;
  if (!legacy(s)) return 0;
  for (Stream* other : streams)
    if (other->capturing && !(other->flags & cudaStreamNonBlocking)) {
      other->invalid = true;
      return cudaErrorStreamCaptureImplicit;
    }
  return unsafe();
}

int waited() {  // for everything
  for (Stream* s : streams)
    if (s->capturing) {
      s->invalid = true;
      return cudaErrorStreamCaptureUnsupported;
    }
  return 0;
}

void work(const Node& n) {
  if (n.token == COPY) memmove(n.to, n.from, n.bytes);
  else if (n.token == FILL) memset(n.to, n.value, n.bytes);
  else if (again) again(n.token);
}

cudaError_t give(void* s, const Node& n) {
  LOCKED;
  if (int error = refused(s)) return result(error);
  if (captures(s)) own(s)->nodes.push_back(n);
  else work(n);
  return cudaSuccess;
}

cudaError_t take(void** at, size_t bytes) {
  LOCKED;
  if (int error = unsafe()) return result(error);
  if (used + bytes > TOTAL) return result(cudaErrorMemoryAllocation);
  *at = aligned_alloc(512, (bytes + 511) / 512 * 512);
  memset(*at, 0xff, bytes);  // a float of ones is nan
  memory[*at] = bytes;
  used += bytes;
  return cudaSuccess;
}

int attribute(int which) {
  switch (which) {
    case cudaDevAttrMaxThreadsPerBlock: return 1024;
    case cudaDevAttrMaxSharedMemoryPerBlock: return SHARED;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return SHARED_OPTIN;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return 228 << 10;
    case cudaDevAttrWarpSize: return 32;
    case cudaDevAttrMultiProcessorCount: return MULTIPROCESSORS;
    case cudaDevAttrL2CacheSize: return 50 << 20;
    case cudaDevAttrMaxThreadsPerMultiProcessor: return 2048;
    case cudaDevAttrComputeCapabilityMajor: return 9;
    case cudaDevAttrComputeCapabilityMinor: return 0;
    default: return 1;
  }
}

}  // namespace

extern "C" {

// For Python ---------------------------------------------------------------------------------------------------------
void emulator_executes(Launch f, Again g) { launch = f, again = g; }
void emulator_devices(int count) { devices = count; }
int emulator_capturing(void* s) {
  LOCKED;
  return !gone(s) && captures(s);
}
void emulator_note(void* s, int token) {
  LOCKED;
  own(s)->nodes.push_back({token, nullptr, nullptr, 0, 0});
}
int emulator_alive(void* at, size_t bytes) {
  LOCKED;
  auto found = memory.upper_bound(at);
  if (found == memory.begin()) return 0;
  --found;
  return (char*)at + bytes <= (char*)found->first + found->second;
}

// The runtime: devices -------------------------------------------------------------------------------------------------
const char* cudaGetErrorName(cudaError_t e) {
  static thread_local char text[32];
  snprintf(text, sizeof text, "cudaError %d", int(e));
  return text;
}
const char* cudaGetErrorString(cudaError_t) { return "of the emulated runtime"; }
cudaError_t cudaGetLastError() {
  int e = last;
  last = 0;
  return cudaError_t(e);
}
cudaError_t cudaDriverGetVersion(int* v) { return *v = 13000, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* v) { return *v = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDevice(int* d) { return *d = device, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* n) { return *n = devices, cudaSuccess; }
cudaError_t cudaSetDevice(int d) {
  if (d < 0 || d >= devices) return result(cudaErrorInvalidDevice);
  return device = d, cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int d) {
  if (d < 0 || d >= devices) return result(cudaErrorInvalidDevice);
  return *v = attribute(a), cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int d) {
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "emulated GPU %d", d);
  p->totalGlobalMem = TOTAL;
  p->sharedMemPerBlock = SHARED;
  p->sharedMemPerBlockOptin = SHARED_OPTIN;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->multiProcessorCount = MULTIPROCESSORS;
  p->major = 9;
  p->l2CacheSize = 50 << 20;
  p->maxThreadsPerMultiProcessor = 2048;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  LOCKED;
  return result(waited());
}
cudaError_t cudaDeviceCanAccessPeer(int* v, int, int) { return *v = 0, cudaSuccess; }
cudaError_t cudaDeviceGetPCIBusId(char* text, int n, int d) { return snprintf(text, n, "0000:%02d:00.0", d), cudaSuccess; }

// Memory ---------------------------------------------------------------------------------------------------------------
cudaError_t cudaMalloc(void** at, size_t n) { return take(at, n); }
cudaError_t cudaMallocManaged(void** at, size_t n, unsigned) { return take(at, n); }
cudaError_t cudaFree(void* at) {
  LOCKED;
  if (!at) return cudaSuccess;
  if (int error = unsafe()) return result(error);
  auto found = memory.find(at);
  if (found == memory.end()) return result(cudaErrorInvalidValue);
  used -= found->second;
  memory.erase(found);
  free(at);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** at, size_t n, unsigned) {
  return *at = aligned_alloc(4096, (n + 4095) / 4096 * 4096), cudaSuccess;
}
cudaError_t cudaFreeHost(void* at) { return free(at), cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  LOCKED;
  return *available = TOTAL - used, *total = TOTAL, cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n, cudaMemcpyKind, cudaStream_t s) {
  return give(s, {COPY, to, from, n, 0});
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t n, cudaMemcpyKind) {
  LOCKED;
  if (int error = waited()) return result(error);
  return memmove(to, from, n), cudaSuccess;
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t n, cudaStream_t s) {
  return give(s, {COPY, to, from, n, 0});
}
cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t n) {
  return cudaMemcpy(to, from, n, cudaMemcpyDefault);
}
cudaError_t cudaMemsetAsync(void* at, int v, size_t n, cudaStream_t s) { return give(s, {FILL, at, nullptr, n, v}); }
cudaError_t cudaMemset(void* at, int v, size_t n) { return give(nullptr, {FILL, at, nullptr, n, v}); }
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* at) {
  memset(a, 0, sizeof *a);
  a->type = emulator_alive((void*)at, 1) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  a->devicePointer = (void*)at;
  return cudaSuccess;
}

// Streams, events, graphs ------------------------------------------------------------------------------------------------
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned flags) {
  LOCKED;
  auto made = new Stream{flags, false, false, 0, {}};
  streams.insert(made);
  return *s = (cudaStream_t)made, cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* s) { return cudaStreamCreateWithFlags(s, 0); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned flags, int) { return cudaStreamCreateWithFlags(s, flags); }
cudaError_t cudaStreamGetFlags(cudaStream_t s, unsigned* flags) { return *flags = own(s) ? own(s)->flags : 0, cudaSuccess; }
cudaError_t cudaStreamGetPriority(cudaStream_t, int* priority) { return *priority = 0, cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t s) {
  LOCKED;
  return result(streams.erase((Stream*)s) ? 0 : cudaErrorInvalidResourceHandle);
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  LOCKED;
  if (int error = refused(s)) return result(error);
  if (!captures(s)) return cudaSuccess;
  own(s)->invalid = true;
  return result(cudaErrorStreamCaptureUnsupported);
}
cudaError_t cudaStreamQuery(cudaStream_t s) { return cudaStreamSynchronize(s); }
cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t f, void* data) { return f(data), cudaSuccess; }
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode) {
  LOCKED;
  if (!own(s)) return result(cudaErrorStreamCaptureUnsupported);
  if (gone(s)) return result(cudaErrorInvalidResourceHandle);
  if (own(s)->capturing) return result(cudaErrorIllegalState);
  own(s)->capturing = true, own(s)->invalid = false, own(s)->mode = mode;
  own(s)->nodes.clear();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* graph) {
  LOCKED;
  *graph = nullptr;
  if (gone(s) || !captures(s)) return result(cudaErrorIllegalState);
  own(s)->capturing = false;
  if (own(s)->invalid) return result(cudaErrorStreamCaptureInvalidated);
  return *graph = (cudaGraph_t) new Graph{own(s)->nodes}, cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus* status) {
  LOCKED;
  if (int error = refused(s)) return result(error);
  *status = !captures(s)        ? cudaStreamCaptureStatusNone
            : own(s)->invalid ? cudaStreamCaptureStatusInvalidated
                              : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned flags) {
  LOCKED;
  auto made = new Event{!(flags & cudaEventDisableTiming), false, 0};
  events.insert(made);
  return *e = (cudaEvent_t)made, cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* e) { return cudaEventCreateWithFlags(e, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  LOCKED;
  return result(events.erase((Event*)e) ? 0 : cudaErrorInvalidResourceHandle);
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  LOCKED;
  if (!events.count((Event*)e)) return result(cudaErrorInvalidResourceHandle);
  if (int error = refused(s)) return result(error);
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  ((Event*)e)->recorded = !captures(s);  // an event of a capture has no time
  ((Event*)e)->at = std::chrono::duration<double, std::milli>(now).count();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  LOCKED;
  return result(gone(s) || !events.count((Event*)e) ? cudaErrorInvalidResourceHandle : 0);
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  LOCKED;
  return result(events.count((Event*)e) ? 0 : cudaErrorInvalidResourceHandle);
}
cudaError_t cudaEventQuery(cudaEvent_t e) {
  LOCKED;
  return result(events.count((Event*)e) ? unsafe() : cudaErrorInvalidResourceHandle);
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t stop) {
  LOCKED;
  Event *a = (Event*)start, *b = (Event*)stop;
  if (!events.count(a) || !events.count(b)) return result(cudaErrorInvalidResourceHandle);
  if (!a->timed || !b->timed || !a->recorded || !b->recorded) return result(cudaErrorInvalidResourceHandle);
  return *ms = float(b->at - a->at), cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  return *made = (cudaGraphExec_t) new Graph(*(Graph*)graph), cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete (Graph*)graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) { return delete (Graph*)graph, cudaSuccess; }
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t s) { return result(gone(s) ? cudaErrorInvalidResourceHandle : 0); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t s) {
  LOCKED;
  if (int error = refused(s)) return result(error);
  for (const Node& n : ((Graph*)graph)->nodes) work(n);
  return cudaSuccess;
}

// The driver -----------------------------------------------------------------------------------------------------------
static size_t no_table[8] = {8};  // the compiler asks for one; it is of its own size and empty
CUresult cuGetExportTable(const void** table, const CUuuid*) { return *table = no_table, CUDA_SUCCESS; }
CUresult cuGetErrorName(CUresult e, const char** text) { return *text = cudaGetErrorName(cudaError_t(e)), CUDA_SUCCESS; }
CUresult cuGetErrorString(CUresult, const char** text) { return *text = cudaGetErrorString(cudaSuccess), CUDA_SUCCESS; }
CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int* v) { return *v = 13000, CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int* n) { return *n = devices, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* d, int i) { return *d = i, CUDA_SUCCESS; }
CUresult cuDeviceGetName(char* text, int n, CUdevice d) { return snprintf(text, n, "emulated GPU %d", d), CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext* c) { return *c = (CUcontext)no_table, CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }
CUresult cuCtxGetDevice(CUdevice* d) { return *d = device, CUDA_SUCCESS; }
CUresult cuStreamGetCtx(CUstream, CUcontext* c) { return cuCtxGetCurrent(c); }
CUresult cuModuleLoadData(CUmodule* m, const void*) { return *m = (CUmodule) new char, CUDA_SUCCESS; }
CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction* f, CUmodule m, const char* name) {
  LOCKED;
  Function*& found = functions[{m, name}];
  if (!found) found = new Function{name, m, SHARED};
  return *f = (CUfunction)found, CUDA_SUCCESS;
}
CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute which, int value) {
  if (which != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_SUCCESS;
  if (value > SHARED_OPTIN) return CUDA_ERROR_INVALID_VALUE;
  return ((Function*)f)->shared = value, CUDA_SUCCESS;
}
CUresult cuFuncGetAttribute(int* v, CUfunction_attribute which, CUfunction f) {
  *v = which == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ? ((Function*)f)->shared : 0;
  return CUDA_SUCCESS;
}
CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, CUstream s, void** arguments, void**) {
  LOCKED;
  auto kernel = (Function*)f;
  if (int error = refused(s)) return CUresult(error);
  const bool fits = gx && gy && gz && gx <= 0x7fffffffu && gy <= 65535 && gz <= 65535 && bx && by && bz && bz <= 64 &&
                    bx * by * bz <= 1024 && int(shared) <= kernel->shared;
  if (!fits) return CUDA_ERROR_INVALID_VALUE;
  const unsigned dims[] = {gx, gy, gz, bx, by, bz};
  const int token = launch ? launch(kernel->name.c_str(), dims, shared, arguments, kernel->module, captures(s)) : 0;
  if (token < 0) return CUDA_ERROR_LAUNCH_FAILED;
  if (captures(s)) own(s)->nodes.push_back({token, nullptr, nullptr, 0, 0});
  return CUDA_SUCCESS;
}
CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                   unsigned bz, unsigned shared, CUstream s, void** arguments) {
  return cuLaunchKernel(f, gx, gy, gz, bx, by, bz, shared, s, arguments, nullptr);
}
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* n, CUfunction, int, size_t) { return *n = 2, CUDA_SUCCESS; }

}  // extern "C"
