// SPDX-License-Identifier: Apache-2.0
//
// The allocator that cuQuantum and cuDSS take, of a pool.
#include "adapters/c/edge.hpp"

namespace {

int allocate(void* ctx, void** ptr, size_t size, CUstream_st* stream) {
  return weir_allocate(static_cast<weir_pool*>(ctx), size, stream, ptr);
}

int deallocate(void* ctx, void* ptr, size_t size, CUstream_st* stream) {
  return weir_deallocate(static_cast<weir_pool*>(ctx), ptr, size, stream);
}

}  // namespace

weir_status weir_get_memory_handler(weir_pool* pool, weir_memory_handler* handler) {
  if (!handler) return weir::c_edge::invalid("weir_get_memory_handler: no structure");
  return weir::c_edge::on_pool(pool, [&](const weir::pool&) {
    *handler = {.ctx = pool, .device_alloc = allocate, .device_free = deallocate, .name = "weir"};
    return WEIR_OK;
  });
}
