// SPDX-License-Identifier: Apache-2.0
//
// weir in C, for programs and languages that speak no C++. Everything of weir/pool.hpp that they need; what each call
// does is said there.
//
//     weir_pool* pool = NULL;
//     void* block = NULL;
//     if (weir_pool_create(0, NULL, &pool) != WEIR_OK) return fail(weir_last_error_text());
//     if (weir_allocate(pool, 4096, stream, &block) != WEIR_OK) return fail(weir_last_error_text());
//     kernel<<<…, stream>>>(block);
//     weir_deallocate(pool, block, 4096, stream);     // returns at once; reused in stream order
//     weir_pool_destroy(pool);
//
// Conventions of every function below:
//   - thread-safe, but for what ends a pool or a token; no exception leaves it;
//   - WEIR_OK, or a status that says why nothing was done; weir_last_error() has the numbers;
//   - structures carry their own size, so they can grow: set struct_bytes to sizeof, zero the rest. Of a larger one
//     than the library knows the rest must be, and stays, zero;
//   - a stream is a cudaStream_t. Null is CUDA's legacy default stream. The library does not own it, so its identity is
//     verified and its capture asked for at each call, unless the options say otherwise; a token saves that.
#pragma once

#include <stddef.h>  // NOLINT(modernize-deprecated-headers): C has no other
#include <stdint.h>  // NOLINT(modernize-deprecated-headers)

#include "weir/export.hpp"

struct CUstream_st;  // cudaStream_t is a pointer to it

#ifdef __cplusplus
extern "C" {
#endif

// NOLINTBEGIN(readability-identifier-naming): as C has them

typedef struct weir_pool weir_pool;
typedef struct weir_stream weir_stream;  // a token for a stream of one pool

// The same in every translation unit, whatever it was compiled with.
#define WEIR_STREAM_LEGACY ((struct CUstream_st*)1)
#define WEIR_STREAM_PER_THREAD ((struct CUstream_st*)2)

// weir::errc, and what only the C edge knows. The numbers never change and new ones come: bind it as an int.
typedef enum weir_status {
  WEIR_OK = 0,
  // The world says no.
  WEIR_OUT_OF_MEMORY = 1,
  WEIR_NO_CUDA_DEVICE = 2,
  WEIR_BUILT_WITHOUT_CUDA = 3,
  WEIR_NO_SUCH_DEVICE = 4,
  WEIR_DEVICE_LOST = 5,
  WEIR_DRIVER_UNLOADING = 6,
  WEIR_CUDA = 7,
  WEIR_NOT_SUPPORTED = 8,
  WEIR_STREAM_CAPTURING = 9,
  // The caller is wrong.
  WEIR_INVALID_ARGUMENT = 20,
  WEIR_INVALID_ALIGNMENT = 21,
  WEIR_INVALID_SIZE = 22,
  WEIR_NULL_POOL = 23,
  WEIR_FOREIGN_POINTER = 24,
  WEIR_DOUBLE_FREE = 25,
  WEIR_SIZE_MISMATCH = 26,
  WEIR_WRONG_DEVICE = 27,
  WEIR_STREAM_RETIRED = 28,
  WEIR_STREAM_UNSUPPORTED = 29,
  WEIR_LIMIT_BELOW_LIVE = 30,
  WEIR_FORKED = 31,
  WEIR_BLOCKS_LIVE = 32,  // a pool to be destroyed has blocks that somebody uses: `bytes` in `limit` blocks
  // Ours.
  WEIR_INTERNAL = 90
} weir_status;

// Static texts, of unknown numbers too: "WEIR_OUT_OF_MEMORY", "out of memory".
WEIR_EXPORT const char* weir_status_name(int status);
WEIR_EXPORT const char* weir_status_text(int status);
// "0.1.0", of the library that was linked.
WEIR_EXPORT const char* weir_version(void);

// Who holds the memory when there is none: weir/memory_report.hpp.
typedef struct weir_memory_report {
  size_t struct_bytes;
  size_t requested, live, direct, held, cached, pending, too_small, other_stream, largest_free;
  size_t reserved, bytes_max, device_free, device_total;
  unsigned attempts;
} weir_memory_report;

// The last call of this thread that failed. `bytes` and `limit` mean what weir/error.hpp says of the status.
typedef struct weir_error {
  size_t struct_bytes;
  weir_status status;
  int native_code;  // cudaError_t where CUDA said no, else 0
  size_t bytes;
  size_t limit;
  int has_report;  // weir_last_memory_report() has one: out of memory of a pool
} weir_error;

// A sentence naming the thing, the value, the limit and what to do; "" before anything failed. Valid until this
// thread's next call that fails. Calls that succeed leave it alone.
WEIR_EXPORT const char* weir_last_error_text(void);
WEIR_EXPORT weir_status weir_last_error(weir_error* error);
WEIR_EXPORT weir_status weir_last_memory_report(weir_memory_report* report);  // zeros where there is none

// --- A pool --------------------------------------------------------------------------------------------------------

enum {
  WEIR_TRUST_HANDLES = 1,      // handles are not verified: for programs that never destroy a stream
  WEIR_NO_CAPTURE_GUARD = 2,   // streams are not asked at each call whether they are being captured
  WEIR_CHECKED = 4,            // exact sizes are remembered, and checked at each free
  WEIR_BYPASS = 8,             // every allocation is a direct one
  WEIR_FROM_ENVIRONMENT = 16   // WEIR_OPTIONS is read after `text`
};

// A null pointer or zeros throughout: the defaults of weir::pool_options, and the capture guard.
typedef struct weir_options {
  size_t struct_bytes;
  unsigned flags;         // WEIR_TRUST_HANDLES …
  unsigned handle_types;  // cudaMemAllocationHandleType bits, for export to other processes
  size_t bytes_max;       // 0: no limit
  size_t soft_bytes_max;  // 0: none
  const char* text;       // any option, as in weir/options_text.hpp: "trim=decay(500ms),background=10ms"; or null
  void* context;          // given to the two below
  // Nonzero: try again. Called outside all locks: it may free to the pool.
  int (*on_out_of_memory)(void* context, size_t bytes, unsigned attempt, const weir_memory_report* report);
  void (*on_soft_limit)(void* context, size_t bytes, size_t limit);
} weir_options;

// A pool on a CUDA device (a simulated one: weir/c_sim.h). *pool is untouched where that fails.
WEIR_EXPORT weir_status weir_pool_create(int device, const weir_options* options, weir_pool** pool);
// Waits for the device and gives all memory back. Where blocks are live it refuses, WEIR_BLOCKS_LIVE, and the pool goes
// on as before: a host that still has some would use what belongs to nobody. In a child after fork it forgets the pool
// and makes no call. A null pool is fine. Tokens of the pool stay to be closed, and are good for nothing else.
WEIR_EXPORT weir_status weir_pool_destroy(weir_pool* pool);
// The same whatever is live: those blocks go back to the driver too, and must not be used or freed any more.
WEIR_EXPORT weir_status weir_pool_destroy_with_blocks(weir_pool* pool);
WEIR_EXPORT int weir_pool_device(const weir_pool* pool);  // ordinal; -1 for null

// --- Blocks --------------------------------------------------------------------------------------------------------

// In stream order. Aligned to 256 bytes, or as asked: a power of two up to 1 GiB. Of 0 bytes a null pointer, which may
// be freed. *pointer is null where it fails.
WEIR_EXPORT weir_status weir_allocate(weir_pool* pool, size_t bytes, struct CUstream_st* stream, void** pointer);
WEIR_EXPORT weir_status weir_allocate_aligned(weir_pool* pool, size_t bytes, size_t alignment,
                                              struct CUstream_st* stream, void** pointer);
// `bytes` as requested, checked against the block; or 0, not checked. What cannot be freed stays as it is.
WEIR_EXPORT weir_status weir_deallocate(weir_pool* pool, void* pointer, size_t bytes, struct CUstream_st* stream);
// A live block is also used on this stream: not reused before the work that stream has when the block is freed.
WEIR_EXPORT weir_status weir_record_use(weir_pool* pool, void* pointer, struct CUstream_st* stream);
// Outside the native pool (cudaMalloc), for what must not come from one. Usable on every stream at once.
WEIR_EXPORT weir_status weir_allocate_direct(weir_pool* pool, size_t bytes, void** pointer);
WEIR_EXPORT weir_status weir_deallocate_direct(weir_pool* pool, void* pointer);

// Before a stream is destroyed that blocks were freed on: what it freed becomes available to others.
WEIR_EXPORT weir_status weir_retire(weir_pool* pool, struct CUstream_st* stream);

// A token: its stream is identified here, once, and calls with it ask nothing. Whoever takes one retires it before the
// stream is destroyed. Closing drops the token and says nothing about the stream.
WEIR_EXPORT weir_status weir_stream_open(weir_pool* pool, struct CUstream_st* handle, weir_stream** stream);
WEIR_EXPORT weir_status weir_stream_retire(weir_stream* stream);
WEIR_EXPORT void weir_stream_close(weir_stream* stream);
WEIR_EXPORT weir_status weir_allocate_on(weir_stream* stream, size_t bytes, void** pointer);
WEIR_EXPORT weir_status weir_deallocate_on(weir_stream* stream, void* pointer, size_t bytes);
WEIR_EXPORT weir_status weir_record_use_on(weir_stream* stream, void* pointer);

// --- Looking and tidying -------------------------------------------------------------------------------------------

// weir::statistics and weir::served_counts, weir::native_counts; bytes unless the name says otherwise.
typedef struct weir_statistics {
  size_t struct_bytes;
  uint64_t allocated, free, held, reserved, direct, cached, cached_large, pending, largest_free;
  double fragmentation;
  uint64_t allocated_peak, held_peak, reserved_peak;
  uint64_t allocations, deallocations, failures, live_count;
  uint64_t served_cache, served_heap, served_big_cache, served_other_passed, served_native, served_other_waited,
      served_direct;
  uint64_t native_allocate, native_deallocate, native_grow, native_trim, native_record, native_query, native_wait,
      native_synchronize;
  uint64_t waits_inserted, waits_fresh, splits, merges, pressure_events;
  uint64_t stream_count;
  double cached_rate, hit_rate;
  uint64_t pinned;
} weir_statistics;

typedef struct weir_trim_report {
  size_t struct_bytes;
  size_t reserved_before, reserved_after, kept_live, kept_pending, kept_partial, kept_free;
} weir_trim_report;

typedef struct weir_defragment_report {
  size_t struct_bytes;
  double fragmentation_before, fragmentation_after;
  size_t largest_free_before, largest_free_after, merged, gathered;
} weir_defragment_report;

typedef enum weir_block_state {
  WEIR_BLOCK_LIVE = 0,
  WEIR_BLOCK_CACHED = 1,
  WEIR_BLOCK_FREE = 2,
  WEIR_BLOCK_PENDING = 3
} weir_block_state;

// One range of a native allocation. Filled in by the library, which sets struct_bytes to what it knows.
typedef struct weir_block {
  size_t struct_bytes;
  const void* pointer;
  size_t bytes;
  weir_block_state state;
  int is_direct;
  uint64_t stream_id;  // of the heap it belongs to; 0 for blocks above 16 MiB and direct ones
} weir_block;

WEIR_EXPORT weir_status weir_get_statistics(const weir_pool* pool, weir_statistics* statistics);
// Gives native memory back to the driver until at most `bytes_to_keep` stay reserved, or as the policies say, without
// waiting for anybody's work; or after waiting for the device. `report` may be null.
WEIR_EXPORT weir_status weir_trim(weir_pool* pool, size_t bytes_to_keep, weir_trim_report* report);
WEIR_EXPORT weir_status weir_synchronize_and_trim(weir_pool* pool, size_t bytes_to_keep, weir_trim_report* report);
WEIR_EXPORT weir_status weir_trim_by_policy(weir_pool* pool, weir_trim_report* report);
WEIR_EXPORT weir_status weir_defragment(weir_pool* pool, weir_defragment_report* report);
// WEIR_LIMIT_BELOW_LIVE where more is in use; then nothing changes. SIZE_MAX: no limit.
WEIR_EXPORT weir_status weir_set_bytes_max(weir_pool* pool, size_t bytes);
// Every block and free range, in no order, with locks held: `visit` must not call the pool, nor throw.
WEIR_EXPORT weir_status weir_walk(const weir_pool* pool, void (*visit)(void* context, const weir_block* block),
                                  void* context);

// --- For libraries that take an allocator --------------------------------------------------------------------------

// What cuQuantum and cuDSS take: custatevecDeviceMemHandler_t, cutensornetDeviceMemHandler_t and
// cudssDeviceMemHandler_t are this, member for member, so it may be copied or cast to one. Both calls answer 0 or a
// weir_status. A block may be freed on another stream than it was allocated on, if ordered there; its size must be the
// one asked for.
typedef struct weir_memory_handler {
  void* ctx;
  int (*device_alloc)(void* ctx, void** ptr, size_t size, struct CUstream_st* stream);
  int (*device_free)(void* ctx, void* ptr, size_t size, struct CUstream_st* stream);
  char name[64];
} weir_memory_handler;

// Of this pool, which has to outlive the library it is given to.
WEIR_EXPORT weir_status weir_get_memory_handler(weir_pool* pool, weir_memory_handler* handler);

// NOLINTEND(readability-identifier-naming)

#ifdef __cplusplus
}
#endif

#include "weir/c_capture.h"  // memory for CUDA graphs
