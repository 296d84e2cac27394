// SPDX-License-Identifier: Apache-2.0
//
// Each thread's caches, by stream. A stream is known here by the address of its state, which the table keeps alive, so
// that the address means no other stream, and by its serial number. Entries of caches that are closed are dropped when
// the thread next makes one.
//
// The stream used last is compared first. Then comes a small table that a serial leads into directly; serials are given
// in turn, so that sixteen streams made one after the other have each a place of their own. Behind it is the list of
// all.
#pragma once

#include <array>
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
  // The calling thread's cache for a stream, by the address of its state. The first only if it was used last: else
  // null.
  static block_cache* find_last(const void* stream) noexcept {
    if (mine.last != reinterpret_cast<std::uintptr_t>(stream)) [[unlikely]]
      return nullptr;
    if (!mine.last_cache) __builtin_unreachable();
    return mine.last_cache;
  }
  static block_cache* find(const void* stream, std::uint64_t serial) noexcept {
    const place& p = mine.met[serial % mine.met.size()];
    if (p.stream != stream) [[unlikely]]
      return find_listed(stream, serial);
    mine.last = reinterpret_cast<std::uintptr_t>(stream);
    return mine.last_cache = p.cache;
  }
  // Adds one. `alive` keeps the state. False: the thread is exiting, and its frees go to the heap directly.
  static bool add(const void* stream, std::shared_ptr<const void> alive, std::shared_ptr<block_cache>,
                  std::weak_ptr<cache_home>);
  // The calling thread's caches for streams of a pool, by its address.
  template <class Visit>
  static void each(const void* pool, Visit visit) {
    if (!mine.entries) return;
    for (const entry& e : *mine.entries)
      if (e.cache->pool() == pool && !e.cache->is_dead.load(std::memory_order_acquire)) visit(*e.cache);
  }
  // Forgets the calling thread's caches without a look at them: in a child after fork.
  static void forget() noexcept;

 private:
  struct place {
    const void* stream = nullptr;
    block_cache* cache = nullptr;
  };
  struct entry {
    const void* stream;
    std::shared_ptr<const void> alive;
    std::shared_ptr<block_cache> cache;
    std::weak_ptr<cache_home> home;
  };
  // Plain and without a destructor, so that frees from later thread-local destructors still find it; the guard is what
  // runs at thread exit.
  struct slots {
    std::uintptr_t last = no_stream;
    block_cache* last_cache = nullptr;
    std::array<place, 16> met{};
    std::vector<entry>* entries = nullptr;
    bool is_exiting = false;
  };
  struct exit_guard {
    ~exit_guard();
  };
  static constexpr std::uintptr_t no_stream = 1;  // not null either: that is an empty token's
  static block_cache* find_listed(const void* stream, std::uint64_t serial) noexcept;
  static void forget_met() noexcept {
    mine.last = no_stream;
    mine.last_cache = nullptr;
    mine.met = {};
  }

  static thread_local constinit slots mine;
};

}  // namespace weir::cache
