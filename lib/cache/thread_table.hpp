// SPDX-License-Identifier: Apache-2.0
//
// Each thread's caches, by stream. Keys are serial numbers that never return, so an entry of a pool that is gone can
// be met by nobody; such entries are dropped when the thread next makes one.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cache/block_cache.hpp"

namespace weir::cache {

// What gives a cache's blocks back to their heaps when its thread exits. Makes no backend call.
class cache_home {
 public:
  virtual ~cache_home() = default;
  virtual void thread_exits(block_cache&) noexcept = 0;
};

class thread_table {
 public:
  // The calling thread's cache for a stream, or null.
  static block_cache* find(std::uint64_t serial) noexcept;
  // Adds one. False: the thread is exiting, and its frees go to the heap directly.
  static bool add(std::uint64_t serial, std::shared_ptr<block_cache>, std::weak_ptr<cache_home>);
  // Forgets the calling thread's caches without a look at them: in a child after fork.
  static void forget() noexcept;
};

}  // namespace weir::cache
