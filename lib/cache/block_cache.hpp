// SPDX-License-Identifier: Apache-2.0
//
// The free small blocks that one thread holds for one stream: an array, a magazine, for each size class.
//
// The owner takes and gives at the end of a magazine; a reclaimer (trim, pressure, exact statistics) empties it. Both
// hold the cache's lock, which is nearly always the owner's alone. Only array operations run under it: no other lock
// and no backend call, so a reclaimer never waits for more than those.
//
// Blocks here carry no ticket. They were freed on the stream, or came from its heap, and are handed out on it alone;
// whoever takes them elsewhere gives them one.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "core/heap.hpp"
#include "core/size_class.hpp"

namespace weir::cache {

// What a thread has done through one cache, by class; summed over caches when read.
struct block_counters {
  std::array<std::uint64_t, core::class_count> allocations{};
  std::array<std::uint64_t, core::class_count> deallocations{};
  std::uint64_t hits = 0;
};

class block_cache {
 public:
  explicit block_cache(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  // The owner: a block of the class, live from now on and counted, or null.
  void* take(core::size_class index, core::life state) noexcept {
    const std::lock_guard lock(mutex_);
    std::vector<core::block>& m = magazines_[index];
    if (m.empty()) return nullptr;
    const core::block b = m.back();
    m.pop_back();
    bytes_ -= core::class_bytes(index);
    ++counters_.allocations[index];
    ++counters_.hits;
    b.state->store(state, std::memory_order_relaxed);
    return b.pointer;
  }

  // The owner: a block that was live. Where it does not fit, the older half of its magazine leaves: how many, in
  // `overflow`.
  static constexpr unsigned overflow_max = 33;
  unsigned give(core::size_class index, core::block b, core::block* overflow);

  // The owner, after a refill from the heap: `count` blocks join the magazine. `taken` counts one allocation that the
  // refill served besides.
  void refill(core::size_class index, const core::block* blocks, unsigned count);

  // Counts a call that this thread's operation made past the cache.
  void count_allocation(core::size_class index) noexcept;

  // Everything in here, to `out`; the cache is empty afterwards.
  void empty(std::vector<core::block>& out);

  // How many blocks of a class a refill brings: one to hand out, and what fits besides; and a magazine keeps.
  unsigned refill_count(core::size_class index) const noexcept;
  unsigned capacity(core::size_class index) const noexcept;

  std::size_t bytes() const noexcept;
  // Adds this cache's numbers and the blocks it holds, by class.
  void sum(block_counters&, std::array<std::uint64_t, core::class_count>& held) const;

  // Set once the pool is gone; the owner then drops the cache without a look at its blocks.
  std::atomic<bool> is_dead{false};

 private:
  mutable std::mutex mutex_;
  std::array<std::vector<core::block>, core::class_count> magazines_{};
  std::size_t bytes_ = 0;
  std::size_t bytes_max_;
  block_counters counters_{};
};

}  // namespace weir::cache
