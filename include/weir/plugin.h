// SPDX-License-Identifier: Apache-2.0
//
// How `weir bench` and `weir replay` take an allocator that they do not know: a shared object that exports
//
//     int weir_plugin_open(int device, weir_plugin* plugin);
//
// and fills in the structure it is given. It is named as `--allocator plugin:FILE.so`. This header is C; a plugin links
// nothing of weir.
//
//     int weir_plugin_open(int device, weir_plugin* plugin) {
//       plugin->name = "mine";
//       plugin->allocate = my_allocate;
//       plugin->deallocate = my_deallocate;
//       plugin->close = my_close;
//       return 0;
//     }
#pragma once

#include <stddef.h>  // NOLINT(modernize-deprecated-headers): C has no other

struct CUstream_st;  // cudaStream_t is a pointer to it

#ifdef __cplusplus
extern "C" {
#endif

// Raised when a field changes its meaning; fields that are added are told by struct_bytes.
#define WEIR_PLUGIN_VERSION 1

// What `allocate` answers where there is no room: the same as cudaErrorMemoryAllocation. Counted as a failed
// allocation; any other answer but 0 ends what was being measured.
#define WEIR_PLUGIN_OUT_OF_MEMORY 2

// On the simulated device no address is ever read and a stream is a number; only a plugin that calls no CUDA works
// there.
#define WEIR_PLUGIN_SIMULATED_DEVICE (-1)

typedef struct weir_plugin {
  // Filled in by who opens: the bytes of its structure, all that follows zero. A plugin made for a larger structure
  // leaves alone what lies beyond.
  size_t struct_bytes;
  // Filled in by who opens, too: WEIR_PLUGIN_VERSION as it knows it. A plugin that speaks another answers nonzero.
  unsigned version;

  // What tables and figures call it. Lives until close.
  const char* name;
  // Given back in every call.
  void* context;

  // Memory that work put on `stream` after the call may use, aligned to 256 bytes at least. bytes > 0. From many
  // threads at once, on the same stream too. 0: done.
  int (*allocate)(void* context, size_t bytes, struct CUstream_st* stream, void** pointer);
  // Every use of the block is ordered before this point of `stream`, which may be another than it was allocated on.
  // `bytes` as they were asked for. 0: done.
  int (*deallocate)(void* context, void* pointer, size_t bytes, struct CUstream_st* stream);
  // Gives everything back. The device is idle; no block is live unless a call failed before. Called once.
  void (*close)(void* context);

  // All three may be null. Bytes that the allocator has from the device now; the most it had since it was opened or
  // reset_reserved_high was called last. The first two come together.
  size_t (*reserved)(void* context);
  size_t (*reserved_high)(void* context);
  void (*reset_reserved_high)(void* context);
} weir_plugin;

// 0: opened. Else nothing was, and close is not called. `device` is CUDA's ordinal or WEIR_PLUGIN_SIMULATED_DEVICE.
// May be called again after close, and for several at once.
typedef int (*weir_plugin_open_function)(int device, weir_plugin* plugin);

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int weir_plugin_open(int device, weir_plugin* plugin);

#ifdef __cplusplus
}
#endif
