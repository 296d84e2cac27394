// SPDX-License-Identifier: Apache-2.0
//
// An allocator of fake addresses, a counter, for the simulated device alone; in C, as plugins may be. What is defined
// when it is compiled spoils it, so that each thing a host must find has a plugin that has it.
#include <stdatomic.h>
#include <stdint.h>

#include "weir/plugin.h"

#ifndef WEIR_TEST_PLUGIN_NAME
#define WEIR_TEST_PLUGIN_NAME "counter"
#endif
#ifndef WEIR_TEST_PLUGIN_BYTES_MAX
#define WEIR_TEST_PLUGIN_BYTES_MAX (UINT64_C(1) << 50)
#endif
#ifndef WEIR_TEST_PLUGIN_VERSION
#define WEIR_TEST_PLUGIN_VERSION WEIR_PLUGIN_VERSION
#endif
#ifndef WEIR_TEST_PLUGIN_ANSWER
#define WEIR_TEST_PLUGIN_ANSWER 0
#endif
#ifndef WEIR_TEST_PLUGIN_LACKS_FUNCTION
#define WEIR_TEST_PLUGIN_LACKS_FUNCTION 0
#endif
#ifndef WEIR_TEST_PLUGIN_KEEPS_SECRETS
#define WEIR_TEST_PLUGIN_KEEPS_SECRETS 0
#endif
#ifndef WEIR_TEST_PLUGIN_FAILS_TO_FREE
#define WEIR_TEST_PLUGIN_FAILS_TO_FREE 0
#endif

static atomic_size_t next = (size_t)1 << 40;
static atomic_size_t live;
static atomic_size_t live_high;
static atomic_int has_failed;

static size_t rounded(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

static int allocate(void* context, size_t bytes, struct CUstream_st* stream, void** pointer) {
  if (!context || !stream) return 98;
  const size_t now = atomic_fetch_add(&live, rounded(bytes)) + rounded(bytes);
  if (now > WEIR_TEST_PLUGIN_BYTES_MAX) {
    atomic_fetch_sub(&live, rounded(bytes));
    atomic_store(&has_failed, 1);
    return WEIR_PLUGIN_OUT_OF_MEMORY;
  }
  size_t high = atomic_load(&live_high);
  while (high < now && !atomic_compare_exchange_weak(&live_high, &high, now)) {}
  *pointer = (void*)atomic_fetch_add(&next, rounded(bytes));
  return 0;
}

static int deallocate(void* context, void* pointer, size_t bytes, struct CUstream_st* stream) {
  if (WEIR_TEST_PLUGIN_FAILS_TO_FREE) {
    atomic_store(&has_failed, 1);
    return 77;
  }
  if (!context || !stream || !pointer) return 98;
  atomic_fetch_sub(&live, rounded(bytes));
  return 0;
}

// Aborts when the host left a block live and no call had failed.
static void close_all(void* context) {
  if (!context || (atomic_load(&live) != 0 && !atomic_load(&has_failed))) __builtin_trap();
}

static size_t reserved(void* context) { return context ? atomic_load(&live) : 0; }
static size_t reserved_high(void* context) { return context ? atomic_load(&live_high) : 0; }
static void reset_reserved_high(void* context) {
  if (context) atomic_store(&live_high, atomic_load(&live));
}

#ifdef WEIR_TEST_PLUGIN_NO_SYMBOL
#define weir_plugin_open weir_plugin_closed
int weir_plugin_open(int device, weir_plugin* plugin);
#endif

int weir_plugin_open(int device, weir_plugin* plugin) {
  if (device != WEIR_PLUGIN_SIMULATED_DEVICE) return 3;
  if (plugin->struct_bytes < sizeof(weir_plugin) || plugin->version != WEIR_PLUGIN_VERSION) return 4;
  if (WEIR_TEST_PLUGIN_ANSWER) return WEIR_TEST_PLUGIN_ANSWER;
  plugin->version = WEIR_TEST_PLUGIN_VERSION;
  plugin->name = WEIR_TEST_PLUGIN_NAME;
  plugin->context = &live;
  plugin->allocate = allocate;
  plugin->deallocate = WEIR_TEST_PLUGIN_LACKS_FUNCTION ? 0 : deallocate;
  plugin->close = close_all;
  plugin->reserved = WEIR_TEST_PLUGIN_KEEPS_SECRETS ? 0 : reserved;
  plugin->reserved_high = WEIR_TEST_PLUGIN_KEEPS_SECRETS ? 0 : reserved_high;
  plugin->reset_reserved_high = WEIR_TEST_PLUGIN_KEEPS_SECRETS ? 0 : reset_reserved_high;
  return 0;
}
