// SPDX-License-Identifier: Apache-2.0
//
// Freed native blocks above 16 MiB, kept for reuse, by size and by age. Behind the reservoir's lock.
//
// A vector sorted by size: hundreds of blocks at most, so a binary search and a short move cost less than the nodes of
// a tree, and nothing is taken from the host once it has grown.
#pragma once

#include <cstddef>
#include <vector>

#include "core/extent.hpp"

namespace weir::core {

class big_cache {
 public:
  void insert(big_block*);
  // Precondition: it is in here.
  void remove(big_block*) noexcept;

  // The smallest block of `bytes` to `bytes_max` whose tickets satisfy `ready`, or null. Not removed.
  template <class Ready>
  big_block* find(std::size_t bytes, std::size_t bytes_max, Ready ready) const {
    for (auto at = lower_bound(bytes); at != blocks_.end() && (*at)->bytes <= bytes_max; ++at)
      if (ready((*at)->tickets)) return *at;
    return nullptr;
  }

  const std::vector<big_block*>& blocks() const noexcept { return blocks_; }  // by size
  std::size_t bytes() const noexcept { return bytes_; }
  std::size_t bytes_largest() const noexcept { return blocks_.empty() ? 0 : blocks_.back()->bytes; }

 private:
  std::vector<big_block*>::const_iterator lower_bound(std::size_t bytes) const noexcept;

  std::vector<big_block*> blocks_;
  std::size_t bytes_ = 0;
};

}  // namespace weir::core
