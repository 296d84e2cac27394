// SPDX-License-Identifier: Apache-2.0
//
// What stands behind an address. An extent is one native allocation: a region that blocks are cut from, or one block
// above 16 MiB. A region is divided in granules of 16 KiB; its table leads from a granule to the range that has it.
//
//   region  | slab of 512 B blocks | free | medium block | slab of 1 MiB blocks | free ................ |
//   table   | s s s                | f  f | m          m | s    s              s | f                   f |
//
// A slab is entered at each of its granules that a block begins in; a medium block and a free range at their first and
// last (boundary tags: neighbours are found, and merged, in O(1)).
//
// Descriptors live on the host and nothing is ever written to the memory they describe. The table's entries and the
// states of blocks are read by frees without a lock: of a live block they cannot change, and of any other address what
// they say is enough to refuse it. So they are relaxed atomics, and ranges and regions are recycled, never deleted,
// while their pool lives.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bits.hpp"
#include "core/size_class.hpp"
#include "core/ticket.hpp"

namespace weir::core {

inline constexpr std::size_t granule_bytes = 16 * base::kib;
inline constexpr unsigned slab_blocks_max = 64;  // one word of bits
inline constexpr unsigned block_inverse_shift = 31;

// Where a block is: a word of flags, so that a free learns in one read whether anything about the block is unusual.
using life = std::uint8_t;
inline constexpr life life_free = 0;    // in a heap
inline constexpr life life_cached = 1;  // in a thread's cache
inline constexpr life life_live = 2;    // the user's, and further
inline constexpr life life_used = 4;    //   uses on other streams were announced
inline constexpr life life_aligned =
    8;  //   larger than its size says: for more than 256 bytes of alignment, or in need
inline constexpr life life_pinned = 16;  //   allocated for a CUDA graph
constexpr bool is_live(life state) noexcept { return (state & life_live) != 0; }

struct region;

enum class range_kind : std::uint8_t { free, pending, medium, slab };

// A run of granules in one region. What a free of a small block reads and writes is in its first line, but for the
// states past the 32nd, of blocks of 256 bytes.
struct alignas(64) range {
  // While it is a slab: whose pool's, by id, and where its blocks are. 0 while it is anything else.
  std::atomic<std::uint64_t> slab_of{0};
  std::uintptr_t blocks_begin = 0;
  std::uint32_t block_bytes = 0;
  std::uint32_t block_inverse = 0;  // 2^31 over the units of one block, rounded up: position_in
  size_class index = 0;             // of a slab
  std::uint8_t block_count = 0;     // of a slab
  std::atomic<range_kind> kind{range_kind::free};
  std::atomic<life> states[slab_blocks_max]{};  // of a slab's blocks; [0] of a medium block

  region* home = nullptr;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::uint64_t taker = 0;  // of a slab: the number of the cache that was last given blocks of it
  epoch last = 0;           // of the home stream: its free parts may be taken by it at any time, by others after this
  std::uint64_t free_bits = 0;  // of a slab: blocks in the heap
  range* prev = nullptr;        // in a bin, or in the list of slabs with free blocks
  range* next = nullptr;
};
static_assert(offsetof(range, states) <= 32);

enum class extent_kind : std::uint8_t { region, big };

struct extent {
  extent_kind kind;
  std::uint64_t pool = 0;      // id of the owner; ids never return
  std::uintptr_t base = 0;     // of the native allocation
  std::size_t bytes = 0;       // of the native allocation
  std::size_t reach = 0;       // of these, counted from base, the page map knows so many
  std::uint64_t sequence = 0;  // when it was last freed, for the oldest first
  ticket fresh;                // of the native call that made it

  explicit extent(extent_kind k) : kind(k) {}
};

struct region : extent {
  region() : extent(extent_kind::region) {}

  stream_index heap = 0;  // the stream whose heap it belongs to
  std::uint32_t granules = 0;
  std::uint32_t granules_free = 0;  // in free ranges: equal to granules when it is one
  region* prev = nullptr;           // among the heap's regions
  region* next = nullptr;
  std::uintptr_t begin = 0;  // of the first granule: base, rounded up to one

  // One place a granule, and some more on either side for addresses that share a page of the page map with a granule
  // and are of none: null there. `pages_bytes`: how far before `begin` such an address can be.
  void make_table(std::uint32_t granule_count, std::size_t page_bytes) {
    granules = granule_count;
    const std::size_t before = page_bytes / granule_bytes;
    places_ = std::make_unique<std::atomic<range*>[]>(before + granules + 1);
    table = places_.get() + before;
  }
  // Where the place of address 0 would be: what `table` leads to for an address a is at a / granule_bytes from it.
  std::uintptr_t table_of_zero() const noexcept {
    return base::address(table) - begin / granule_bytes * sizeof(std::atomic<range*>);
  }
  std::atomic<range*>* table = nullptr;

  std::uintptr_t at(std::uint32_t granule) const noexcept { return begin + std::size_t{granule} * granule_bytes; }
  bool is_empty() const noexcept { return granules_free == granules; }

 private:
  std::unique_ptr<std::atomic<range*>[]> places_;
};

struct big_block : extent {
  big_block() : extent(extent_kind::big) {}

  std::uintptr_t begin = 0;  // what the user has: base, or above it where more alignment was asked for
  std::size_t asked = 0;     // bytes the user asked for; a kept block may have any amount more
  stream_index home = 0;     // the stream it was last allocated on
  std::atomic<life> state{life_free};
  ticket_set tickets;  // of a free one
};

// Where a small block lies in its slab. `inside` is false for an address between blocks or past the last.
struct slab_position {
  unsigned block = 0;
  bool inside = false;
};

// No division: `block_inverse` makes the quotient exact for all offsets in a slab (slab_inverse_is_exact). May answer
// with a block that the slab does not have, but never with one whose state cannot be read: that is free.
inline slab_position nearly_position_in(const range& slab, std::uintptr_t address) noexcept {
  const std::uintptr_t offset = address - slab.blocks_begin;
  const std::uint64_t block = (offset / unit_bytes * slab.block_inverse) >> block_inverse_shift;
  const std::uint64_t place = block % slab_blocks_max;
  return {static_cast<unsigned>(place), place * slab.block_bytes == offset};
}

inline slab_position position_in(const range& slab, std::uintptr_t address) noexcept {
  const slab_position p = nearly_position_in(slab, address);
  return {p.block, p.inside && p.block < slab.block_count};
}

}  // namespace weir::core
