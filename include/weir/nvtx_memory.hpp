// SPDX-License-Identifier: Apache-2.0
//
// Tells compute-sanitizer which bytes are blocks, through NVTX's memory API: each native allocation is registered as a
// heap, each live block as a region of it, so memcheck reports an access to what nobody has, one byte past a block too
// where another block does not begin there. Header-only, and empty where NVTX 3 is not found.
//
//     #include <weir/nvtx_memory.hpp>
//     options.observer = std::make_shared<weir::nvtx_memory>([] { cudaDeviceSynchronize(); });
//
// A region ends with the call that frees its block, while kernels before it may still run: the function given is called
// before, to wait for them. For debugging; without a tool attached every call costs a lock. Link ${CMAKE_DL_LIBS}.
#pragma once

#if __has_include(<nvtx3/nvToolsExtMem.h>)

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <nvtx3/nvToolsExtMem.h>
#include <utility>

#include "weir/observer.hpp"

#define WEIR_HAS_NVTX_MEMORY 1

namespace weir {

class nvtx_memory final : public observer {
 public:
  // The CUDA runtime has been initialised: the tool wants it so.
  explicit nvtx_memory(std::function<void()> before_free = {})
      : before_free_(std::move(before_free)), domain_(nvtxDomainCreateA("weir")) {}
  ~nvtx_memory() override { nvtxDomainDestroy(domain_); }
  nvtx_memory(const nvtx_memory&) = delete;
  nvtx_memory& operator=(const nvtx_memory&) = delete;

  // Of what cudaMalloc gave the tool knows by itself.
  void on_allocate(const allocation_event& event) noexcept override {
    if (event.kind == allocation_kind::direct || event.bytes == 0) return;
    const std::lock_guard lock(mutex_);
    const auto heap = heap_of(event.pointer);
    if (heap == heaps_.end()) return;
    const nvtxMemVirtualRangeDesc_t range{event.bytes, event.pointer};
    nvtxMemRegionsRegisterBatch_t batch{};
    batch.extCompatID = NVTX_EXT_COMPATID_MEM;
    batch.structSize = sizeof batch;
    batch.regionType = NVTX_MEM_TYPE_VIRTUAL_ADDRESS;
    batch.heap = heap->second.handle;
    batch.regionCount = 1;
    batch.regionDescElementSize = sizeof range;
    batch.regionDescElements = &range;
    nvtxMemRegionsRegister(domain_, &batch);
  }

  void on_deallocate(const allocation_event& event) noexcept override {
    if (event.kind == allocation_kind::direct || !event.pointer) return;
    if (before_free_) before_free_();
    const std::lock_guard lock(mutex_);
    if (heap_of(event.pointer) == heaps_.end()) return;
    nvtxMemRegionRef_t region{};
    region.pointer = event.pointer;
    nvtxMemRegionsUnregisterBatch_t batch{};
    batch.extCompatID = NVTX_EXT_COMPATID_MEM;
    batch.structSize = sizeof batch;
    batch.refType = NVTX_MEM_REGION_REF_TYPE_POINTER;
    batch.refCount = 1;
    batch.refElementSize = sizeof region;
    batch.refElements = &region;
    nvtxMemRegionsUnregister(domain_, &batch);
  }

  void on_native(const native_event& event) noexcept override {
    const std::lock_guard lock(mutex_);
    if (event.call == native_call::allocate) open(event.pointer, event.bytes);
    if (event.call == native_call::deallocate) close(event.pointer);
  }

 private:
  struct known_heap {
    std::uintptr_t end = 0;
    nvtxMemHeapHandle_t handle{};
  };
  using heap_map = std::map<std::uintptr_t, known_heap>;

  static std::uintptr_t address(const void* pointer) noexcept { return reinterpret_cast<std::uintptr_t>(pointer); }

  heap_map::iterator heap_of(const void* pointer) {
    const auto after = heaps_.upper_bound(address(pointer));
    if (after == heaps_.begin()) return heaps_.end();
    const auto at = std::prev(after);
    return address(pointer) < at->second.end ? at : heaps_.end();
  }

  void open(const void* pointer, std::size_t bytes) {
    const nvtxMemVirtualRangeDesc_t range{bytes, pointer};
    nvtxMemHeapDesc_t what{};
    what.extCompatID = NVTX_EXT_COMPATID_MEM;
    what.structSize = sizeof what;
    what.usage = NVTX_MEM_HEAP_USAGE_TYPE_SUB_ALLOCATOR;
    what.type = NVTX_MEM_TYPE_VIRTUAL_ADDRESS;
    what.typeSpecificDescSize = sizeof range;
    what.typeSpecificDesc = &range;
    close(pointer);
    heaps_[address(pointer)] = {address(pointer) + bytes, nvtxMemHeapRegister(domain_, &what)};
  }

  void close(const void* pointer) {
    const auto at = heaps_.find(address(pointer));
    if (at == heaps_.end()) return;
    nvtxMemHeapUnregister(domain_, at->second.handle);
    heaps_.erase(at);
  }

  const std::function<void()> before_free_;
  const nvtxDomainHandle_t domain_;
  std::mutex mutex_;  // guards what follows, and the order of what the tool is told
  heap_map heaps_;
};

}  // namespace weir

#endif
