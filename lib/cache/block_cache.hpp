// SPDX-License-Identifier: Apache-2.0
//
// The free blocks that one thread holds for one stream: of small ones an array, a magazine, for each size class; of
// larger ones the last few that were freed.
//
//   magazine   | oldest ............ newest | room ...... |
//              0                       count        limit
//
// The owner takes and gives at the end of a magazine: plain loads and stores behind the gate, no lock, no atomic
// read-modify-write, nothing from the host. A reclaimer (trim, pressure, exact statistics) shuts the gate first.
//
// A limit starts at nothing and doubles when a magazine runs empty, or runs over while it is in use, up to 128 blocks;
// all limits together stay within the cache's budget of bytes. So a cache that was touched once holds next to nothing,
// and 80 classes cannot park more than the budget. Where the budget is spent, a class gives up its magazine that has
// not been taken from since the last time somebody asked.
//
// Blocks here carry no ticket. They were freed on the stream, or came from its heap, and are handed out on it alone;
// whoever takes them elsewhere gives them one.
//
// One counter a class on the hot path: what was taken. What was given follows from it and from the magazine's fill.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cache/gate.hpp"
#include "core/heap.hpp"
#include "core/size_class.hpp"

namespace weir::cache {

// What a thread has done through one cache, by class; summed over caches when read.
struct block_counters {
  std::array<std::uint64_t, core::class_count> allocations{};
  std::array<std::uint64_t, core::class_count> deallocations{};
  std::uint64_t hits = 0;  // of all sizes
  // Above 1 MiB: through the cache alone.
  std::uint64_t medium_taken = 0, medium_given = 0, big_taken = 0, big_given = 0;
};

// Bytes and blocks that wait in caches.
struct cached_blocks {
  std::array<std::uint64_t, core::class_count> small{};
  std::size_t medium_bytes = 0, big_bytes = 0;
  std::size_t large_largest = 0;  // of both, the largest block
  std::uint64_t medium_count = 0, big_count = 0;
};

// A free block above 1 MiB in hand: a medium range or a big block, and the bytes it has. Its state is life_cached
// before a cache gets it.
struct large_block {
  std::size_t bytes = 0;
  void* pointer = nullptr;
  core::range* medium = nullptr;  // else big
  core::big_block* big = nullptr;
};

// What leaves a cache for the heaps, in one go.
struct spill {
  static constexpr unsigned blocks_max = 256;
  std::array<core::block, blocks_max> blocks;
  unsigned count = 0;
  void add(const core::block* from, unsigned n) noexcept {
    for (unsigned i = 0; i < n; ++i) blocks[count++] = from[i];
  }
};

class alignas(128) block_cache {
 public:
  static constexpr unsigned magazine_blocks_max = 128;
  static constexpr unsigned large_max = 16;

  // For a stream, by its index, of a pool, by its address. `guarded`: no fast way in (gate.hpp).
  block_cache(std::size_t bytes_max, core::stream_index stream, const void* pool, bool guarded = false)
      : gate_(guarded), pool_(pool), bytes_max_(bytes_max), stream_(stream) {}

  // --- the owner, on a hit; each answers with nothing where the gate is shut, and is then asked again by `slow` ---
  // A block of the class, live from now on. False: there is none.
  bool take(core::size_class index, void*& block) noexcept {
    if (!gate_.try_enter()) [[unlikely]]
      return false;
    const bool has = pop(index, core::life_live, block);
    gate_.leave();
    return has;
  }
  // False: there is no room.
  bool give(core::size_class index, core::block b) noexcept {
    if (!gate_.try_enter()) [[unlikely]]
      return false;
    const bool has_room = push(index, b);
    gate_.leave();
    return has_room;
  }
  // The last freed of the large blocks that have from `bytes` to `bytes_max`, and begin at a multiple of `alignment`;
  // live from now on. `asked`: what the user asked for.
  void* take_large(std::size_t bytes, std::size_t bytes_max, std::size_t asked) noexcept {
    if (!gate_.try_enter()) [[unlikely]]
      return nullptr;
    void* p = pop_large(bytes, bytes_max, asked);
    gate_.leave();
    return p;
  }
  // From any thread: true a moment ago.
  bool has_large() const noexcept { return large_count() != 0; }
  bool has_large_room() const noexcept { return large_count() < large_max; }
  bool give_large(const large_block& b) noexcept {
    if (!gate_.try_enter()) [[unlikely]]
      return false;
    const bool has_room = push_large(b);
    gate_.leave();
    return has_room;
  }

  // --- the owner, else; each says no where the cache was closed for good ---
  void* take_slow(core::size_class index, core::life state) noexcept;
  void* take_large_slow(std::size_t bytes, std::size_t bytes_max, std::size_t asked) noexcept;
  // The block is counted, and taken in or in the spill with what else had to go.
  bool give_slow(core::size_class index, core::block b, spill& out);
  // The block is taken in; the oldest, which had to go for it, are in `out`.
  struct large_spill {
    std::array<large_block, large_max> blocks;
    unsigned count = 0;
  };
  bool give_large_slow(const large_block& b, large_spill& out) noexcept;
  // A miss: how many blocks a refill should bring, one to hand out included. Another class may lose its magazine.
  unsigned begin_refill(core::size_class index, spill& out);
  // `count` blocks join the magazine or, where that has no room, the spill; and one allocation is counted that was
  // served besides.
  bool end_refill(core::size_class index, const core::block* blocks, unsigned count, spill& out) noexcept;

  // --- a reclaimer, the gate shut; or the owner inside ---
  // All that is here, to `out`; the cache is empty afterwards.
  void empty(std::vector<core::block>& small, std::vector<large_block>& large);
  void empty_large(std::vector<large_block>& large);
  bool is_empty() const noexcept;
  // How many blocks have gone through it, in or out.
  std::uint64_t activity() const noexcept;
  // Adds this cache's numbers and the blocks it holds.
  void sum(block_counters&, cached_blocks&) const noexcept;

  gate& door() noexcept { return gate_; }
  core::stream_index stream() const noexcept { return stream_; }
  const void* pool() const noexcept { return pool_; }
  // Odd, and never another cache's, also not of one that is made where this one was: an address would be.
  std::uint64_t number() const noexcept { return number_; }
  unsigned capacity(core::size_class index) const noexcept;  // the most its limit may become

  // Set once nobody may find it any more: its pool is gone, its stream retired or quiet. The owner then drops it
  // without a look at its blocks.
  std::atomic<bool> is_dead{false};

 private:
  struct magazine {
    core::block* slots = nullptr;
    std::uint32_t count = 0;
    std::uint32_t limit = 0;
    std::uint64_t taken = 0;
  };
  // What slow paths know of a class.
  struct record {
    std::uint64_t brought = 0;  // by refills
    std::uint64_t removed = 0;  // by spills and reclaimers
    std::uint64_t served = 0;   // allocations that a refill served besides
    std::uint64_t seen = 0;     // taken, when somebody last looked for a magazine to give up
    std::uint64_t grown = 0;    // taken, when the limit last grew
    std::unique_ptr<core::block[]> slots;
  };

  bool pop(core::size_class index, core::life state, void*& block) noexcept {
    magazine& m = magazines_[index];
    std::uint32_t left;
    if (__builtin_usub_overflow(m.count, 1u, &left)) [[unlikely]]
      return false;
    m.count = left;
    const core::block b = m.slots[left];
    ++m.taken;
    b.state->store(state, std::memory_order_relaxed);
    block = b.pointer;
    return true;
  }
  bool push(core::size_class index, core::block b) noexcept {
    magazine& m = magazines_[index];
    const std::size_t count = m.count;
    if (count >= m.limit) [[unlikely]]
      return false;
    m.slots[count] = b;
    m.count = static_cast<std::uint32_t>(count + 1);
    b.state->store(core::life_cached, std::memory_order_relaxed);
    return true;
  }
  void* pop_large(std::size_t bytes, std::size_t bytes_max, std::size_t asked) noexcept {
    for (unsigned i = large_count(); i-- > 0;) {
      const large_block& b = large_[i];
      if (b.bytes - bytes > bytes_max - bytes) continue;
      return hand_out(i, asked);
    }
    return nullptr;
  }
  bool push_large(const large_block& b) noexcept {
    const unsigned count = large_count();
    if (count == large_max) [[unlikely]]
      return false;
    ++(b.medium ? medium_given_ : big_given_);
    large_[count] = b;
    set_large_count(count + 1);
    return true;
  }
  void* hand_out(unsigned at, std::size_t asked) noexcept;
  unsigned large_count() const noexcept { return large_count_.load(std::memory_order_relaxed); }
  void set_large_count(unsigned count) noexcept { large_count_.store(count, std::memory_order_relaxed); }

  std::uint32_t limit_after(core::size_class index, std::uint32_t more_than) const noexcept;
  static std::uint64_t next_number() noexcept;
  bool grow(core::size_class index, std::unique_ptr<core::block[]>& room, std::uint32_t limit) noexcept;
  void remove_oldest(core::size_class index, unsigned n, spill& out) noexcept;
  bool rob_idle(core::size_class but, spill& out) noexcept;

  gate gate_;
  const void* const pool_;
  const std::uint64_t number_ = next_number();
  std::atomic<std::uint32_t> large_count_{0};  // changed inside only, and looked at from anywhere
  std::array<magazine, core::class_count> magazines_{};
  std::array<large_block, large_max> large_{};  // oldest first
  std::uint64_t medium_taken_ = 0, medium_given_ = 0, big_taken_ = 0, big_given_ = 0;
  std::size_t bytes_limits_ = 0;  // of all magazines, were they full
  unsigned looks_skipped_ = 0;    // for an idle class
  const std::size_t bytes_max_;
  const core::stream_index stream_;
  std::array<record, core::class_count> records_{};
};

}  // namespace weir::cache
