// SPDX-License-Identifier: Apache-2.0
//
// For hosts whose free names no stream (ONNX Runtime): remembers on which stream each block was allocated, and frees it
// there, in that stream's order. A stream must live until the blocks allocated on it are freed. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <unordered_map>
#include <utility>

#include "weir/adapters/shared_pool.hpp"

namespace weir::adapters {

class remembered_blocks {
 public:
  explicit remembered_blocks(std::shared_ptr<weir::pool> pool) : shared_(std::move(pool)) {}

  weir::pool& pool() const noexcept { return shared_.pool(); }
  // The most bytes asked for at once, of what was given.
  std::size_t bytes_largest() const noexcept { return largest_.load(std::memory_order_relaxed); }

  // Without a stream the block may be used on each; its free will wait for the device, since nobody says then that its
  // use is complete. The per-thread stream is another one in the thread that frees, so its blocks are treated alike.
  result<void*> allocate(std::size_t bytes, std::optional<raw_stream> on) noexcept {
    const bool in_order = on && on->handle() != per_thread_stream();
    auto block = on ? pool().try_allocate(bytes, *on) : shared_.try_allocate_ready(bytes);
    if (!block || !*block) return block;
    if (!remember(*block, in_order ? on->handle() : nullptr)) {
      (void)free_on(*block, on ? on->handle() : nullptr);
      return error{
          .code = errc::out_of_memory, .bytes = sizeof(void*), .what = "the host's memory, for a block's stream"};
    }
    for (std::size_t seen = bytes_largest(); bytes > seen && !largest_.compare_exchange_weak(seen, bytes);) {}
    return block;
  }

  // Gives back what is free. What the stream freed last is known complete only because it is named here.
  result<trim_report> trim(std::optional<raw_stream> on) noexcept {
    if (on && on->handle() != per_thread_stream())
      if (auto done = pool().trim(0, *on); done || done.error().code != errc::stream_capturing) return done;
    return pool().trim(0);
  }

  // errc::foreign_pointer for what was not allocated here, or is freed already.
  result<void> deallocate(void* block) noexcept {
    if (!block) return {};
    shard& at = shard_of(block);
    streams::node_type entry = [&] {
      const std::lock_guard lock(at.mutex);
      return at.blocks.extract(block);  // first: once free, the address may be another thread's block
    }();
    if (entry.empty()) return error{.code = errc::foreign_pointer, .what = "a block of the host's allocator"};
    auto freed = free_on(block, entry.mapped());
    if (!freed) {
      const std::lock_guard lock(at.mutex);
      at.blocks.insert(std::move(entry));
    }
    return freed;
  }

 private:
  using streams = std::unordered_map<void*, stream_handle>;  // null: none
  struct shard {
    std::mutex mutex;
    streams blocks;
  };

  // By the bits that differ between neighbours: blocks begin at multiples of 256.
  shard& shard_of(const void* block) noexcept {
    return shards_[(reinterpret_cast<std::uintptr_t>(block) >> 8) % shards_.size()];
  }

  bool remember(void* block, stream_handle on) noexcept {
    try {
      shard& at = shard_of(block);
      const std::lock_guard lock(at.mutex);
      return at.blocks.emplace(block, on).second;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  result<void> free_on(void* block, stream_handle on) noexcept {
    return on ? pool().try_deallocate(block, raw_stream(on)) : shared_.try_deallocate_waiting(block);
  }

  shared_pool shared_;
  std::array<shard, 16> shards_{};
  std::atomic<std::size_t> largest_{0};
};

}  // namespace weir::adapters
