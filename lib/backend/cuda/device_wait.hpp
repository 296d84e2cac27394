// SPDX-License-Identifier: Apache-2.0
//
// The host waits for a whole device and leaves stream captures alone.
//
// cuCtxSynchronize does not: while any stream of the context is being captured, by whatever thread and in whatever
// mode, it answers CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED and invalidates that capture. Nor can one ask first, since
// CUDA tells of a capture only to those who know its stream. Calls that take memory out of the device's reach wait as
// well, and in relaxed mode leave captures alive: measured on an H200 with driver 580 for cudaFree, cudaFreeHost and
// cudaHostUnregister, documented for none of them, so tests/gpu/device_wait_test.cpp checks it. We register and
// unregister a page of host memory, which needs none of the device's: who waits for a device is often out of it.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

#include "backend/cuda/driver_api.hpp"

namespace weir::cuda {

class device_wait {
 public:
  // Throws std::bad_alloc.
  device_wait();

  // Waits for all work that the current context has at the call; the thread is in relaxed capture mode. `stream` is one
  // of the context that is never captured: it is asked for errors that the work left behind. Where the page cannot be
  // registered (a platform without it, a limit of the host) memory of the device is allocated and freed instead; when
  // neither goes, answers why the page did not. Threads take turns.
  CUresult operator()(const driver_api&, CUstream stream) noexcept;

 private:
  struct page_delete {
    void operator()(void* page) const noexcept;
  };

  CUresult unregister_a_page(const driver_api&) noexcept;

  std::mutex mutex_;  // a page can be registered once at a time
  const std::size_t page_bytes_;
  const std::unique_ptr<void, page_delete> page_;
};

}  // namespace weir::cuda
