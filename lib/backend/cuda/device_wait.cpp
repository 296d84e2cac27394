// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/device_wait.hpp"

#include <cstdlib>
#include <new>
#include <unistd.h>

#include "backend/cuda/cuda_errors.hpp"

namespace weir::cuda {
namespace {

// What was measured to wait. A smaller one may be a part of what the driver holds for its own, and an answer that did
// not wait would hand out memory in use, so better none than less.
constexpr std::size_t device_bytes = std::size_t{2} << 20;

CUresult free_device_memory(const driver_api& api) noexcept {
  CUdeviceptr address = 0;
  const CUresult allocated = api.allocate(&address, device_bytes);
  return allocated == CUDA_SUCCESS ? api.free(address) : allocated;
}

bool is_lost(CUresult status) noexcept { return to_errc(static_cast<cudaError_t>(status)) == errc::device_lost; }

// The native pool gives back what it has seen complete, and unregistering shows it nothing: measured, a trim after it
// gave nothing back. Our own stream's frees are seen with this; it also tells the errors that are left.
CUresult show_native_pool(const driver_api& api, CUstream stream) noexcept { return api.stream_synchronize(stream); }

// A page of its own: the registration covers nothing that somebody else may want to register.
void* allocate_page(std::size_t bytes) {
  void* page = std::aligned_alloc(bytes, bytes);
  if (!page) throw std::bad_alloc();
  return page;
}

}  // namespace

void device_wait::page_delete::operator()(void* page) const noexcept { std::free(page); }

device_wait::device_wait()
    : page_bytes_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), page_(allocate_page(page_bytes_)) {}

CUresult device_wait::unregister_a_page(const driver_api& api) noexcept {
  const std::lock_guard turn(mutex_);
  const CUresult registered = api.host_register(page_.get(), page_bytes_, 0);
  return registered == CUDA_SUCCESS ? api.host_unregister(page_.get()) : registered;
}

CUresult device_wait::operator()(const driver_api& api, CUstream stream) noexcept {
  const CUresult by_page = unregister_a_page(api);
  if (by_page == CUDA_SUCCESS) return show_native_pool(api, stream);
  if (is_lost(by_page)) return by_page;
  const CUresult by_memory = free_device_memory(api);
  if (by_memory == CUDA_SUCCESS) return show_native_pool(api, stream);
  return is_lost(by_memory) ? by_memory : by_page;
}

}  // namespace weir::cuda
