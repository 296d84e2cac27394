// SPDX-License-Identifier: Apache-2.0
#include "timed_backend.hpp"

#include <algorithm>
#include <chrono>

namespace weir::cli {
namespace {

class timed_backend : public backend {
 public:
  timed_backend(std::unique_ptr<backend> of, std::shared_ptr<driver_times> times)
      : of_(std::move(of)), times_(std::move(times)) {}

  const backend_capabilities& capabilities() const noexcept override { return of_->capabilities(); }
  result<void*> allocate(std::size_t bytes, stream_handle stream) noexcept override {
    const stopwatch watch(*this, driver_work::allocate);
    return of_->allocate(bytes, stream);
  }
  result<void> deallocate(void* pointer, stream_handle stream) noexcept override {
    const stopwatch watch(*this, driver_work::deallocate);
    return of_->deallocate(pointer, stream);
  }
  result<void> trim(std::size_t bytes_to_keep) noexcept override {
    const stopwatch watch(*this, driver_work::trim);
    return of_->trim(bytes_to_keep);
  }
  result<native_pool_bytes> pool_bytes() noexcept override {
    const stopwatch watch(*this, driver_work::other);
    return of_->pool_bytes();
  }
  result<void> reset_reserved_high() noexcept override { return of_->reset_reserved_high(); }
  result<device_memory> memory() noexcept override {
    const stopwatch watch(*this, driver_work::other);
    return of_->memory();
  }
  result<void*> allocate_direct(std::size_t bytes) noexcept override {
    const stopwatch watch(*this, driver_work::allocate);
    return of_->allocate_direct(bytes);
  }
  result<void> deallocate_direct(void* pointer) noexcept override {
    const stopwatch watch(*this, driver_work::deallocate);
    return of_->deallocate_direct(pointer);
  }
  stream_handle own_stream() noexcept override { return of_->own_stream(); }
  result<stream_handle> create_stream() noexcept override { return of_->create_stream(); }
  result<void> destroy_stream(stream_handle stream) noexcept override { return of_->destroy_stream(stream); }
  result<std::uint64_t> identify(stream_handle stream) noexcept override { return of_->identify(stream); }
  result<stream_identity> examine(stream_handle stream) noexcept override {
    const stopwatch watch(*this, driver_work::order);
    return of_->examine(stream);
  }
  result<bool> is_idle(stream_handle stream) noexcept override {
    const stopwatch watch(*this, driver_work::order);
    return of_->is_idle(stream);
  }
  result<backend_event*> create_event() noexcept override {
    const stopwatch watch(*this, driver_work::order);
    return of_->create_event();
  }
  void destroy_event(backend_event* event) noexcept override { of_->destroy_event(event); }
  result<void> record(backend_event* event, stream_handle stream) noexcept override {
    const stopwatch watch(*this, driver_work::order);
    return of_->record(event, stream);
  }
  result<bool> query(backend_event* event) noexcept override {
    const stopwatch watch(*this, driver_work::order);
    return of_->query(event);
  }
  result<void> wait(stream_handle stream, backend_event* event) noexcept override {
    const stopwatch watch(*this, driver_work::order);
    return of_->wait(stream, event);
  }
  result<void> synchronize(backend_event* event) noexcept override {
    const stopwatch watch(*this, driver_work::order);
    return of_->synchronize(event);
  }
  result<void> synchronize_device() noexcept override { return of_->synchronize_device(); }
  std::uint64_t now_ns() const noexcept override { return of_->now_ns(); }
  std::int64_t clock_adjustment_ns() const noexcept override { return of_->clock_adjustment_ns(); }

 private:
  // Two reads of the host's clock, some 50 ns a call of the driver.
  class stopwatch {
   public:
    stopwatch(const timed_backend& owner, driver_work kind) noexcept
        : owner_(owner), kind_(kind), adjustment_ns_(owner.of_->clock_adjustment_ns()), begin_(clock::now()) {}
    ~stopwatch() { owner_.times_->add(kind_, ns()); }
    stopwatch(const stopwatch&) = delete;
    stopwatch& operator=(const stopwatch&) = delete;

    std::uint64_t ns() const noexcept {
      const auto real = std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now() - begin_).count();
      const std::int64_t added = owner_.of_->clock_adjustment_ns() - adjustment_ns_;
      return static_cast<std::uint64_t>(std::max<std::int64_t>(real + added, 0));
    }

   private:
    using clock = std::chrono::steady_clock;
    const timed_backend& owner_;
    driver_work kind_;
    std::int64_t adjustment_ns_;
    clock::time_point begin_;
  };

  std::unique_ptr<backend> of_;
  std::shared_ptr<driver_times> times_;
};

}  // namespace

driver_times::each driver_times::read() const noexcept {
  each now{};
  for (std::size_t i = 0; i < now.size(); ++i) now[i] = ns_[i].load(std::memory_order_relaxed);
  return now;
}

std::unique_ptr<backend> make_timed_backend(std::unique_ptr<backend> of, std::shared_ptr<driver_times> times) {
  return std::make_unique<timed_backend>(std::move(of), std::move(times));
}

}  // namespace weir::cli
