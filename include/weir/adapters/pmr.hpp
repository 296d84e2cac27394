// SPDX-License-Identifier: Apache-2.0
//
// A pool behind std::pmr::memory_resource, for libraries that take device memory through that type (tensor classes and
// the like that hold a std::pmr::memory_resource*, and never touch the memory on the host).
//
//     weir::pmr::stream_resource memory(pool, stream);
//     tensor x(shape, &memory);                          // x's kernels run on stream
//
// The memory is the device's. What writes into it on the host crashes: std::pmr::vector and all containers of elements,
// std::pmr::polymorphic_allocator::new_object, and the standard's own pool_resource and monotonic_buffer_resource,
// which keep their lists inside the memory that they get.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <memory_resource>
#include <utility>

#include "weir/adapters/shared_pool.hpp"

namespace weir::pmr {

// Memory in the order of one stream: usable by work put on it after the call, free once the work it has at the free is
// done. What other streams do with a block the caller orders. Two are equal when pool and stream are: either may free
// the other's blocks.
//
// Zero bytes are a block too: null is no answer here. Throws as pool::allocate does; a wrong size at the free goes to
// the bug handler. The pool, where it is no shared one, and the stream outlive the resource's blocks. Thread-safe.
class stream_resource final : public std::pmr::memory_resource {
 public:
  stream_resource(weir::pool& pool, raw_stream stream) noexcept
      : stream_resource(std::shared_ptr<weir::pool>(std::shared_ptr<weir::pool>(), &pool), stream) {}
  // Null is as a null pool: each call throws logic_error.
  stream_resource(std::shared_ptr<weir::pool> pool, raw_stream stream) noexcept
      : pool_(pool ? std::move(pool) : null()), stream_(stream) {}

  weir::pool& pool() const noexcept { return *pool_; }
  stream_handle stream() const noexcept { return stream_.handle(); }

 private:
  static std::shared_ptr<weir::pool> null() noexcept {
    static weir::pool none;
    return {std::shared_ptr<weir::pool>(), &none};
  }

  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return pool_->allocate(std::max(bytes, std::size_t{1}), stream_, adapters::alignment_for(alignment));
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t) override { pool_->deallocate(block, bytes, stream_); }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    const auto* same = dynamic_cast<const stream_resource*>(&other);
    return same && same->pool_.get() == pool_.get() && same->stream() == stream();
  }

  std::shared_ptr<weir::pool> pool_;
  raw_stream stream_;
};

// Memory for code that knows no streams: usable on every one when the call returns. As cudaFree, a free waits for the
// device, because nobody says that the block's use is complete; so it is for what lives long.
class waiting_resource final : public std::pmr::memory_resource {
 public:
  explicit waiting_resource(weir::pool& pool) : shared_(pool) {}
  explicit waiting_resource(std::shared_ptr<weir::pool> pool) : shared_(std::move(pool)) {}

  weir::pool& pool() const noexcept { return shared_.pool(); }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return shared_.try_allocate_ready(std::max(bytes, std::size_t{1}), adapters::alignment_for(alignment)).value();
  }
  void do_deallocate(void* block, std::size_t, std::size_t) override {
    if (const auto freed = shared_.try_deallocate_waiting(block); !freed) report_bug(freed.error());
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    const auto* same = dynamic_cast<const waiting_resource*>(&other);
    return same && &same->pool() == &pool();
  }

  adapters::shared_pool shared_;
};

}  // namespace weir::pmr
