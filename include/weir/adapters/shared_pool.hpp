// SPDX-License-Identifier: Apache-2.0
//
// What the adapters have in common: a pool that several copies of an adapter share, and memory for hosts that name no
// stream. Users need for_host() and make_shared_pool(); the rest is for the adapters beside it.
//
//     auto pool = weir::adapters::make_shared_pool(0);      // guard_capture on, raw handles verified
//     weir::mr::resource memory(pool);                      // each of them may hold it, and keeps it alive
#pragma once

#include <bit>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "weir/pool.hpp"

namespace weir::adapters {

// How a pool must be made for a host whose streams are not ours: each raw handle is verified, and an allocation on a
// capturing stream is an error instead of memory that a graph then shares with others.
inline pool_options for_host(pool_options options = {}) {
  options.guard_capture = true;
  options.trust_handles = false;
  return options;
}

inline std::shared_ptr<pool> make_shared_pool(int device, pool_options options = {}) {
  return std::make_shared<pool>(pool::make(device, for_host(std::move(options))));
}

// Hosts may ask for less than weir gives. What is no power of two stays as it is, for the pool to refuse.
constexpr std::size_t alignment_for(std::size_t asked) noexcept {
  return std::has_single_bit(asked) && asked < pool::alignment_default ? pool::alignment_default : asked;
}

// For hosts that see null where there is no memory, and no exception: told why, before they are. Thread-safe itself;
// what it throws is dropped.
class failure_listener {
 public:
  using function = std::function<void(const error&)>;
  explicit failure_listener(function told) : told_(std::move(told)) {}
  void operator()(const error& why) const noexcept {
    try {
      if (told_) told_(why);
    } catch (...) {}
  }

 private:
  function told_;
};

// Thread-safe. A pool that is only borrowed must outlive every use, and must not be moved meanwhile; that this object
// itself lives longer does no harm.
class shared_pool {
 public:
  explicit shared_pool(weir::pool& borrowed) noexcept : pool_(std::shared_ptr<weir::pool>(), &borrowed) {}
  explicit shared_pool(std::shared_ptr<weir::pool> pool) : pool_(std::move(pool)) {
    if (!pool_) raise({.code = errc::null_pool, .what = "an adapter of no pool"});
  }
  shared_pool(const shared_pool&) = delete;
  shared_pool& operator=(const shared_pool&) = delete;
  // The token's handle is null when the pool has gone before, and its stream with the backend's device.
  ~shared_pool() {
    stream_handle handle = quiet_ ? quiet_.handle() : nullptr;
    if (handle && pool_->retire(quiet_)) (void)pool_->backend().destroy_stream(handle);
  }

  weir::pool& pool() const noexcept { return *pool_; }

  // Without a stream: the block may be used on every stream, and on none before, when the call returns. The pool gets
  // it on a stream that nobody gives work to; the host waits only where memory of another stream had to be waited for.
  result<void*> try_allocate_ready(std::size_t bytes, std::size_t alignment = weir::pool::alignment_default) noexcept {
    auto on = quiet_stream();
    if (!on) return std::move(on).error();
    auto block = pool_->try_allocate(bytes, *on, alignment);
    if (!block) return block;
    if (auto waited = wait_for(*on); !waited) {
      (void)pool_->try_deallocate(*block, *on);
      return std::move(waited).error();
    }
    return block;
  }
  // The caller has seen all use of the block complete, as cuda::mr's deallocate_sync demands.
  result<void> try_deallocate_ready(void* block, std::size_t bytes) noexcept {
    if (!block) return {};
    auto on = quiet_stream();
    if (!on) return std::move(on).error();
    return pool_->try_deallocate(block, bytes, *on);
  }
  // As cudaFree: nothing is known of the block's use, so the device is waited for.
  result<void> try_deallocate_waiting(void* block) noexcept {
    if (!block) return {};
    if (!*pool_) return error{.code = errc::null_pool};
    if (auto waited = pool_->backend().synchronize_device(); !waited) return waited;
    return try_deallocate_ready(block, 0);
  }

 private:
  // Made when first asked for: most hosts name a stream each time.
  result<weir::stream> quiet_stream() noexcept {
    const std::lock_guard lock(mutex_);
    if (quiet_) return quiet_;
    if (!*pool_) return error{.code = errc::null_pool};
    auto handle = pool_->backend().create_stream();
    if (!handle) return std::move(handle).error();
    auto token = pool_->stream(*handle);
    if (token)
      quiet_ = *token;
    else
      (void)pool_->backend().destroy_stream(*handle);
    return token;
  }

  result<void> wait_for(const weir::stream& on) noexcept {
    weir::backend& device = pool_->backend();
    stream_handle handle = on.handle();
    auto idle = device.is_idle(handle);
    if (!idle) return std::move(idle).error();
    if (*idle) return {};
    auto event = device.create_event();
    if (!event) return std::move(event).error();
    const result<void> recorded = device.record(*event, handle);
    result<void> waited = recorded ? device.synchronize(*event) : recorded;
    device.destroy_event(*event);
    return waited;
  }

  std::shared_ptr<weir::pool> pool_;
  std::mutex mutex_;
  weir::stream quiet_{};
};

}  // namespace weir::adapters
