// SPDX-License-Identifier: Apache-2.0
//
// The free ranges of a heap by size: a list for each of 16 sizes a doubling and a bitmap of the lists that have one.
// A good fit is found in O(1): the first of a few in the request's own list that is large enough, else the first of
// the next list that is not empty. Counts are in granules.
#pragma once

#include <array>
#include <cstdint>

#include "base/list.hpp"
#include "core/extent.hpp"

namespace weir::core {

class free_ranges {
 public:
  // A range has no more granules: 128 GiB.
  static constexpr std::uint32_t count_max = (std::uint32_t{1} << 23) - 1;

  void insert(range*) noexcept;
  void remove(range*) noexcept;

  // A range of at least `count` granules, last used by its stream at or before `last_max`, or null. Not removed.
  range* find(std::uint32_t count, epoch last_max) const noexcept;

  // In granules, and the exact largest range; O(lists), for statistics.
  std::uint32_t largest() const noexcept;

 private:
  static constexpr unsigned bin_count = 320;  // up to count_max
  static unsigned bin_of(std::uint32_t count) noexcept;
  unsigned next_bin(unsigned from) const noexcept;

  std::array<base::list<range>, bin_count> bins_{};
  std::array<std::uint64_t, bin_count / 64> has_{};
};

}  // namespace weir::core
