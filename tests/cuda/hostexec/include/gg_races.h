// Finds races, where the build asks for it (GG_RACES). The compiler puts the calls of its thread sanitizer before each
// access to memory, which end here: two threads that touch one byte, one of them writing, need a barrier between them,
// in shared memory as in an array of the launch; threads of different blocks have none. What a run does not reach, and
// what is a race with another launch, is not found. Shuffles order no memory; __syncwarp does, within its warp.
#pragma once
#include <link.h>
#include <unordered_map>

struct gg_access { unsigned long long who; unsigned barriers, synced; bool several; };  // who: block and thread, from 1
struct gg_seen { unsigned launch; gg_access write, read; };
static unsigned gg_launches, gg_barriers;
static unsigned long long gg_block_number;
static bool gg_watching;
struct gg_page { gg_seen bytes[4096]; };
static std::unordered_map<uintptr_t, gg_page>* gg_pages;
static uintptr_t gg_page_number;  // the latest one
static gg_page* gg_page_at;
static const char *gg_image, *gg_image_end;  // where this program is loaded: what is its own is not watched

static int gg_find_image(dl_phdr_info* found, size_t, void*) {
  for (int i = 0; i < found->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = found->dlpi_phdr[i];
    const char* from = (const char*)found->dlpi_addr + part.p_vaddr;
    if (part.p_type != PT_LOAD || (char*)&gg_launches < from || (char*)&gg_launches >= from + part.p_memsz) continue;
    gg_image = (const char*)found->dlpi_addr;
    gg_image_end = from + part.p_memsz;
    return 1;
  }
  return 0;
}

static void gg_watch() {
  gg_watching = false;
  if (!gg_pages) gg_pages = new std::unordered_map<uintptr_t, gg_page>, dl_iterate_phdr(gg_find_image, nullptr);
  if (gg_pages->size() > 500) gg_pages->clear(), gg_page_at = nullptr;
  ++gg_launches;
  gg_watching = true;
}

#define GG_UNWATCHED __attribute__((noinline, no_sanitize_thread))
GG_UNWATCHED static bool gg_together(const gg_access& other, const gg_access& me, bool shared) {
  if (!other.who || (other.who == me.who && !other.several)) return false;
  if ((other.who - 1) >> 10 != (me.who - 1) >> 10) return !shared;  // another block has shared memory of its own
  if (other.barriers != me.barriers) return false;
  return other.several || (other.who - 1) >> 5 != (me.who - 1) >> 5 || other.synced == me.synced;
}

GG_UNWATCHED static void gg_touch(const void* address, size_t bytes, bool writes) {
  if (!gg_watching) return;
  const char* at = (const char*)address;
  if (at >= gg_image && at < gg_image_end) return;
  const gg_thread& t = gg_threads[gg_now];
  const char* stack = gg_fibres[t.fibre].stack;
  if (at >= stack && at < stack + GG_STACK) return;
  const bool shared = at >= gg_arena && at < gg_arena + GG_ARENA;
  gg_watching = false;  // what is called from here is watched, too
  const gg_access me = {(gg_block_number << 10 | (unsigned)gg_now) + 1, gg_barriers, t.synced, false};
  for (size_t i = 0; i < bytes; ++i) {
    const uintptr_t byte = (uintptr_t)(at + i);
    if (!gg_page_at || gg_page_number != byte >> 12) gg_page_at = &(*gg_pages)[gg_page_number = byte >> 12];
    gg_seen& seen = gg_page_at->bytes[byte & 4095];
    if (seen.launch != gg_launches) seen = gg_seen{gg_launches, {}, {}};
    if (gg_together(seen.write, me, shared) || (writes && gg_together(seen.read, me, shared))) {
      char text[160];
      snprintf(text, sizeof text, "race: threads %llu and %d meet in %s memory, one of them writes",
               ((gg_together(seen.write, me, shared) ? seen.write : seen.read).who - 1) & 1023, gg_now,
               shared ? "shared" : "device");
      gg_fail(text, 0, 2, (int)(blockDim.x * blockDim.y * blockDim.z));
      break;
    }
    gg_access& kept = writes ? seen.write : seen.read;
    // Of several readers that no barrier parts one is kept, and that there were more.
    const bool several = !writes && gg_together(kept, me, shared);
    kept = me;
    kept.several = several;
  }
  gg_watching = true;
}

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit(void*) {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_read_range(void* a, long n) { gg_touch(a, n, false); }
void __tsan_write_range(void* a, long n) { gg_touch(a, n, true); }
#define GG_ACCESS(n) \
  void __tsan_read##n(void* a) { gg_touch(a, n, false); } \
  void __tsan_write##n(void* a) { gg_touch(a, n, true); } \
  void __tsan_unaligned_read##n(void* a) { gg_touch(a, n, false); } \
  void __tsan_unaligned_write##n(void* a) { gg_touch(a, n, true); }
GG_ACCESS(1) GG_ACCESS(2) GG_ACCESS(4) GG_ACCESS(8) GG_ACCESS(16)
#undef GG_ACCESS
}
