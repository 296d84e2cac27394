// SPDX-License-Identifier: Apache-2.0
//
// weir::backend on a CUDA device. Holds no state that changes after it was made, and a lock only around waits for
// the device: thread-safety is the driver's. A stream of the user's is checked for capture before each call that works
// on it (71 ns); see call_scope.hpp.
#pragma once

#include "backend/cuda/call_scope.hpp"
#include "backend/cuda/device.hpp"
#include "backend/cuda/device_wait.hpp"
#include "weir/backend.hpp"

namespace weir::cuda {

class cuda_backend final : public backend {
 public:
  // Takes the pool and the stream over. Throws std::bad_alloc before it does.
  cuda_backend(const device&, CUmemoryPool, CUstream own_stream, backend_capabilities, const cuda_backend_options&);
  // Returns at once; the driver gives the pool's memory back when its pending frees are done. Allocations that nobody
  // freed keep it for the life of the process. Leaves everything to a driver that is unloading, or is the parent's.
  ~cuda_backend() override;

  const backend_capabilities& capabilities() const noexcept override { return capabilities_; }

  result<void*> allocate(std::size_t bytes, stream_handle) noexcept override;
  result<void> deallocate(void*, stream_handle) noexcept override;
  result<void> trim(std::size_t bytes_to_keep) noexcept override;
  result<void> allow_access(int device) noexcept override;
  result<native_pool_bytes> pool_bytes() noexcept override;
  result<void> reset_reserved_high() noexcept override;
  result<device_memory> memory() noexcept override;
  result<void*> allocate_direct(std::size_t bytes) noexcept override;
  result<void> deallocate_direct(void*) noexcept override;

  stream_handle own_stream() noexcept override { return own_stream_; }
  result<stream_handle> create_stream() noexcept override;
  result<void> destroy_stream(stream_handle) noexcept override;
  result<std::uint64_t> identify(stream_handle) noexcept override;
  result<stream_identity> examine(stream_handle) noexcept override;
  result<bool> is_idle(stream_handle) noexcept override;

  result<backend_event*> create_event() noexcept override;
  void destroy_event(backend_event*) noexcept override;
  result<void> record(backend_event*, stream_handle) noexcept override;
  result<bool> query(backend_event*) noexcept override;
  result<void> wait(stream_handle, backend_event*) noexcept override;
  result<void> synchronize(backend_event*) noexcept override;
  result<void> synchronize_device() noexcept override;
  result<void> allow_direct_access(int device) noexcept override;
  result<exported_pool> export_pool(unsigned handle_type) noexcept override;
  result<exported_allocation> export_allocation(void*) noexcept override;

 private:
  template <class Call>
  result<void> call(const char* what, Call&& body) const noexcept {
    return call_driver(api_, device_.context, what, static_cast<Call&&>(body));
  }
  // Our own stream is never captured: nobody begins a capture on it, and the events it waits for are recorded by
  // record(), which refuses capturing streams. So the miss path, which mostly works on it, is spared the question.
  template <class Call>
  result<void> on_stream(stream_handle stream, const char* what, Call&& body) const noexcept {
    if (stream == own_stream_) return call(what, static_cast<Call&&>(body));
    return call_on_stream(api_, device_.context, stream, what, static_cast<Call&&>(body));
  }
  error no_room(std::size_t bytes, bool in_pool, const error& why) noexcept;
  result<void> require_context_of(stream_handle) noexcept;

  const driver_api& api_;
  const device device_;
  const CUmemoryPool pool_;
  const CUstream own_stream_;
  const backend_capabilities capabilities_;
  const std::size_t pool_bytes_max_;  // 0: none but the device
  const unsigned handle_types_;
  device_wait device_wait_;
};

}  // namespace weir::cuda
