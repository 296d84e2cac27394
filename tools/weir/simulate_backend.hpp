// SPDX-License-Identifier: Apache-2.0
//
// Stands between the pool and the simulated device: counts every call, sees what is reserved after each native one,
// ends an operation that calls for ever, and, for tests of the checkers, misbehaves as told.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "simulate_plan.hpp"
#include "weir/backend.hpp"

namespace weir::simulation {

class watched_backend final : public backend {
 public:
  // What the checkers read; it lives as long as the run. One thread at a time.
  struct watch {
    std::uint64_t calls = 0;                      // of any kind that reaches the device
    std::uint64_t records = 0;                    // of these
    std::uint64_t waits = 0;                      // of these: a stream made to wait, or the host for the device
    std::uint64_t calls_end = ~std::uint64_t{0};  // from there on every call fails: no operation needs so many
    std::size_t reserved_most = 0;                // since the checkers last looked
    std::size_t allocations_live = 0;
    std::size_t allocations_most = 0;                // live at once in this step
    std::map<std::uintptr_t, std::size_t> direct{};  // bytes by where they begin
    // What happens behind the so manieth call that tells the pool how far a stream is, and before the pool hears of it;
    // 0: nothing.
    unsigned meanwhile_in = 0;
    std::function<void()> meanwhile{};
    // Of the direct allocation that an address is in, 0 where it is in none.
    std::size_t direct_bytes_at(std::uintptr_t at) const;
  };
  watched_backend(std::unique_ptr<backend> inner, watch& seen, simulation::plant planted)
      : inner_(std::move(inner)), seen_(seen), plant_(planted) {}

  const backend_capabilities& capabilities() const noexcept override { return inner_->capabilities(); }
  result<void*> allocate(std::size_t bytes, stream_handle) noexcept override;
  result<void> deallocate(void* pointer, stream_handle) noexcept override;
  result<void> trim(std::size_t bytes_to_keep) noexcept override;
  result<native_pool_bytes> pool_bytes() noexcept override { return inner_->pool_bytes(); }
  result<void> reset_reserved_high() noexcept override { return inner_->reset_reserved_high(); }
  result<device_memory> memory() noexcept override;
  result<void*> allocate_direct(std::size_t bytes) noexcept override;
  result<void> deallocate_direct(void* pointer) noexcept override;
  stream_handle own_stream() noexcept override { return inner_->own_stream(); }
  result<stream_handle> create_stream() noexcept override { return inner_->create_stream(); }
  result<void> destroy_stream(stream_handle s) noexcept override { return inner_->destroy_stream(s); }
  result<std::uint64_t> identify(stream_handle) noexcept override;
  result<stream_identity> examine(stream_handle) noexcept override;
  result<bool> is_idle(stream_handle) noexcept override;
  result<backend_event*> create_event() noexcept override;
  void destroy_event(backend_event* e) noexcept override { inner_->destroy_event(e); }
  result<void> record(backend_event*, stream_handle) noexcept override;
  result<bool> query(backend_event*) noexcept override;
  result<void> wait(stream_handle, backend_event*) noexcept override;
  result<void> synchronize(backend_event*) noexcept override;
  result<void> synchronize_device() noexcept override;
  std::uint64_t now_ns() const noexcept override { return inner_->now_ns(); }
  std::int64_t clock_adjustment_ns() const noexcept override { return inner_->clock_adjustment_ns(); }

 private:
  bool count() noexcept { return ++seen_.calls <= seen_.calls_end; }
  void look() noexcept;
  void pause() noexcept;

  const std::unique_ptr<backend> inner_;
  watch& seen_;
  const simulation::plant plant_;
};

}  // namespace weir::simulation
