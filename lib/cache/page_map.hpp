// SPDX-License-Identifier: Apache-2.0
//
// Which native allocation an address is in, for all pools of the process: a radix map over pages of 2 MiB.
//
// Native allocations are packed at 512 bytes, so a page may hold the tail of one and the head of the next. None is
// smaller than a page: so two at most, one with the page's last byte, one with its first, and each has its place. Where
// the one begins is kept with it and not asked of it: while an address of the other is looked up, it may become
// another.
//
// find() takes no lock and two loads. set() and clear() are the owner's, who alone holds the addresses; the leaves are
// made once and never go away.
//
// A page whose last byte is a region's also leads straight to the region's table, for find_range(): what every free of
// a small block asks. Tables have room for all of a page's addresses, so there is nothing to compare on the way.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/extent.hpp"

namespace weir::cache {

class page_map {
 public:
  static constexpr unsigned page_bits = 21;
  static constexpr std::size_t page_bytes = std::size_t{1} << page_bits;
  static constexpr unsigned address_bits = 49;  // x86-64 user addresses have 47, simulated devices begin at 2^47

  // The extent that `address` lies in, or one that ends before it: the caller knows how far its extent goes.
  static core::extent* find(std::uintptr_t address) noexcept {
    const std::uintptr_t page = address >> page_bits;
    if (page >> (leaf_bits + root_bits)) [[unlikely]]
      return nullptr;
    const leaf* l = root_[page >> leaf_bits].load(std::memory_order_acquire);
    if (!l) [[unlikely]]
      return nullptr;
    const std::uint64_t with_last = l->with_last[page & (leaf_count - 1)].load(std::memory_order_relaxed);
    if (with_last && (address & (page_bytes - 1)) / begin_unit >= with_last >> begin_shift) [[likely]]
      return reinterpret_cast<core::extent*>(with_last & ((std::uint64_t{1} << begin_shift) - 1));
    return l->with_first[page & (leaf_count - 1)].load(std::memory_order_relaxed);
  }

  // The range that is entered for the granule of `address`, or null. May be null where find() leads to one, in a
  // region's last page; may be of another granule, or of none any more, where `address` is no live block.
  static core::range* find_range(std::uintptr_t address) noexcept {
    const std::uintptr_t above = address >> (page_bits + leaf_bits);
    if (above >= std::size_t{1} << root_bits) [[unlikely]]
      return nullptr;
    const leaf* l = root_[above].load(std::memory_order_acquire);
    if (!l) [[unlikely]]
      return nullptr;
    const std::uintptr_t table = l->table[(address >> page_bits) & (leaf_count - 1)].load(std::memory_order_relaxed);
    if (!table) [[unlikely]]
      return nullptr;
    using place = std::atomic<core::range*>;
    return reinterpret_cast<place*>(table + address / core::granule_bytes * sizeof(place))
        ->load(std::memory_order_relaxed);
  }

  // For the first e.reach bytes. Precondition: e.bytes >= page_bytes; e.reach is e.bytes, or at least page_bytes.
  // `table_of_zero`: of a region. False: the host has no memory for a leaf, or an address is out of range.
  static bool set(core::extent& e, std::uintptr_t table_of_zero = 0) noexcept;
  static void clear(const core::extent& e) noexcept;

 private:
  static constexpr unsigned leaf_bits = 14;
  static constexpr unsigned root_bits = address_bits - page_bits - leaf_bits;
  static constexpr std::size_t leaf_count = std::size_t{1} << leaf_bits;
  // Pointers of x86-64 have 47 bits; above them is where in the page the extent begins, in units that divide every
  // native address.
  static constexpr unsigned begin_shift = 48;
  static constexpr std::size_t begin_unit = 256;
  static_assert(page_bytes / begin_unit <= std::size_t{1} << (64 - begin_shift));
  static std::uint64_t tagged(const core::extent&, std::uintptr_t page) noexcept;
  // By page: the extent that has its last byte; where that is a region, its region::table_of_zero; the extent that has
  // the page's first byte, and not its last.
  struct leaf {
    std::atomic<std::uintptr_t> table[leaf_count];
    std::atomic<std::uint64_t> with_last[leaf_count];
    std::atomic<core::extent*> with_first[leaf_count];
  };
  static leaf* leaf_of(std::uintptr_t page) noexcept;

  static std::atomic<leaf*> root_[std::size_t{1} << root_bits];
};

}  // namespace weir::cache
