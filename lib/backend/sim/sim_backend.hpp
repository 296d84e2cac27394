// SPDX-License-Identifier: Apache-2.0
//
// A backend on a simulated device: each call takes the device's lock, passes its modelled cost, refuses what it must,
// and does its work on the model.
#pragma once

#include <memory>

#include "backend/sim/device_state.hpp"
#include "backend/sim/native_pool_model.hpp"

namespace weir::sim {

class sim_backend final : public backend {
 public:
  // Throws std::runtime_error where the device's window has no part left for a pool.
  sim_backend(std::shared_ptr<device_state>, std::size_t pool_bytes_max);
  ~sim_backend() override;

  const backend_capabilities& capabilities() const noexcept override { return capabilities_; }
  result<void*> allocate(std::size_t bytes, stream_handle) noexcept override;
  result<void> deallocate(void* pointer, stream_handle) noexcept override;
  result<void> trim(std::size_t bytes_to_keep) noexcept override;
  result<native_pool_bytes> pool_bytes() noexcept override;
  result<void> reset_reserved_high() noexcept override;
  result<device_memory> memory() noexcept override;
  result<void*> allocate_direct(std::size_t bytes) noexcept override;
  result<void> deallocate_direct(void* pointer) noexcept override;
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
  result<void> allow_access(int device) noexcept override;
  result<void> allow_direct_access(int device) noexcept override { return allow_access(device); }
  result<exported_pool> export_pool(unsigned handle_type) noexcept override;
  result<exported_allocation> export_allocation(void* pointer) noexcept override;
  std::uint64_t now_ns() const noexcept override;
  std::int64_t clock_adjustment_ns() const noexcept override;

 private:
  struct call;
  result<virtual_streams::stream*> usable(stream_handle);
  result<stream_identity> look_up(stream_handle) noexcept;
  error no_room(std::size_t bytes) const;

  std::shared_ptr<device_state> device_;
  backend_capabilities capabilities_;
  address_window::part addresses_;
  native_pool_model pool_;
  stream_handle own_stream_;
};

}  // namespace weir::sim
