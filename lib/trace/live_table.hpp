// SPDX-License-Identifier: Apache-2.0
//
// Live blocks by id. Blocks lie in slots that are given again after a free; an open-addressed index of slot numbers,
// probed linearly and closed up on erase, finds them. Ids come from untrusted files, so the hash is salted and the
// number of blocks bounded. All operations O(1) expected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weir/trace/validator.hpp"

namespace weir::trace {

class live_table {
 public:
  static constexpr std::size_t absent = SIZE_MAX;

  live_table();

  std::size_t find(std::uint64_t id) const noexcept;  // its slot, or absent
  const live_block& operator[](std::size_t slot) const noexcept { return blocks_[slot]; }
  std::size_t count() const noexcept { return blocks_.size() - free_slots_.size(); }

  // Preconditions: find(block.id) == absent and count() < live_blocks_max; find(id) != absent.
  std::size_t insert(const live_block& block);
  void erase(std::uint64_t id) noexcept;

 private:
  std::size_t home_of(std::uint64_t id) const noexcept;
  std::size_t next(std::size_t place) const noexcept { return (place + 1) & (index_.size() - 1); }
  std::size_t place_of(std::uint64_t id) const noexcept;  // where it is in the index, or the empty place it would take
  void grow();

  std::vector<live_block> blocks_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::uint32_t> index_;  // slot + 1, 0 where empty; a power of two long, at most half full
  std::uint64_t salt_;
};

}  // namespace weir::trace
