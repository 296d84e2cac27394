// SPDX-License-Identifier: Apache-2.0
//
// What the Python package calls of libweir_torch.so, beside weir/c.h, which that library has too. Statuses and the last
// error are weir/c.h's. Not installed: it changes with the package.
#pragma once

#include "weir/c.h"

#ifdef __cplusplus
extern "C" {
#endif

// NOLINTBEGIN(readability-identifier-naming): as C has them

enum { WEIR_HOST_SIMULATED = 1, WEIR_HOST_TRACEABLE = 2, WEIR_HOST_NO_PEERS = 4 };

// Before the first pool. `text` as in weir/options_text.hpp or null; WEIR_OPTIONS has the last word.
WEIR_EXPORT weir_status weir_host_configure(const char* text, unsigned flags);
// The device's pool, made now if it was not; weir/c.h's functions take it, but nobody destroys it.
WEIR_EXPORT weir_status weir_host_pool(int device, weir_pool** pool);
WEIR_EXPORT weir_pool* weir_host_pool_if_made(int device);
WEIR_EXPORT uint64_t weir_host_live_count(void);

// The stream is remembered until the block is freed. Bytes 0, device -1: not said.
WEIR_EXPORT weir_status weir_host_allocate(int device, size_t bytes, struct CUstream_st* stream, void** pointer);
WEIR_EXPORT weir_status weir_host_deallocate(void* pointer, size_t bytes, int device);
WEIR_EXPORT weir_status weir_host_record_use(void* pointer, struct CUstream_st* stream);
WEIR_EXPORT weir_status weir_host_release_free(void);
WEIR_EXPORT weir_status weir_host_set_memory_fraction(int device, double fraction);

// For Numba: blocks that are for every stream at once.
WEIR_EXPORT weir_status weir_host_allocate_for_all(int device, size_t bytes, void** pointer);
WEIR_EXPORT weir_status weir_host_deallocate_from_all(void* pointer, size_t bytes, int device);
WEIR_EXPORT void weir_host_hold_gathered(int device, int change);

// A trace of all pools. Begin fails where they were not made to be traceable.
WEIR_EXPORT weir_status weir_host_trace_begin(const char* path);
WEIR_EXPORT weir_status weir_host_trace_end(void);

// For CuPy's CFunctionAllocator; `param` is the address of CuPy's intptr_t get_current_stream_ptr(void). Null where
// there is no memory: weir_last_error_text() says why.
WEIR_EXPORT void* weir_cupy_malloc(void* param, size_t bytes, int device);
WEIR_EXPORT void weir_cupy_free(void* param, void* pointer, int device);

// For torch's pluggable allocator. What fails throws: see torch_allocator.cpp.
WEIR_EXPORT void* weir_torch_malloc(ptrdiff_t bytes, int device, struct CUstream_st* stream);
WEIR_EXPORT void weir_torch_free(void* pointer, size_t bytes, int device, struct CUstream_st* stream);
WEIR_EXPORT void weir_torch_init(int device_count);
WEIR_EXPORT void weir_torch_record_stream(void* pointer, struct CUstream_st* stream);
WEIR_EXPORT void weir_torch_empty_cache(void);
WEIR_EXPORT void weir_torch_set_memory_fraction(double fraction, int device);
WEIR_EXPORT void* weir_torch_base_allocation(void* pointer, size_t* bytes);
// Throws torch's own exception; without one it is std::runtime_error.
WEIR_EXPORT void weir_torch_set_thrower(void (*thrower)(int is_out_of_memory, const char* text));
// The memory of a graph, for the hooks that torch_hooks.cpp makes with torch's headers. They throw too.
WEIR_EXPORT void weir_torch_begin_capture(int device, uint64_t id_first, uint64_t id_second,
                                          struct CUstream_st* stream);
WEIR_EXPORT void weir_torch_end_capture(int device, uint64_t id_first, uint64_t id_second);
WEIR_EXPORT void weir_torch_release_graph(int device, uint64_t id_first, uint64_t id_second);

// NOLINTEND(readability-identifier-naming)

#ifdef __cplusplus
}
#endif
