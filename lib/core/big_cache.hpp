// SPDX-License-Identifier: Apache-2.0
//
// Freed native blocks above 16 MiB, kept for reuse, by size and by age. Behind the reservoir's lock.
//
// Vectors sorted by size: hundreds of blocks at most, so a binary search and a short move cost less than the nodes of a
// tree, and nothing is taken from the host once they have grown. What is searched by lies in vectors of its own: of the
// blocks' descriptors, which nobody has touched for a while, only that of a block that is looked at closely is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/extent.hpp"

namespace weir::core {

class big_cache {
 public:
  // Its sequence, above 0 and no other's, stays what it is while it is in here.
  void insert(big_block*);
  // Precondition: it is in here.
  void remove(big_block*) noexcept;

  // The smallest block of `bytes` to `bytes_max` that is `ready`, or null. Not removed.
  template <class Ready>
  big_block* find(std::size_t bytes, std::size_t bytes_max, Ready ready) const {
    for (std::size_t i = lower_bound(bytes); i < blocks_.size() && sizes_[i] <= bytes_max; ++i)
      if (ready(*blocks_[i])) return blocks_[i];
    return nullptr;
  }

  // The one freed first among those that are `ready`, or null. Not removed.
  template <class Ready>
  big_block* oldest(Ready ready) const {
    big_block* b = oldest_after(0);
    while (b && !ready(*b)) b = oldest_after(b->sequence);
    return b;
  }

  const std::vector<big_block*>& blocks() const noexcept { return blocks_; }  // by size
  std::size_t bytes() const noexcept { return bytes_; }
  std::size_t bytes_largest() const noexcept { return sizes_.empty() ? 0 : sizes_.back(); }

 private:
  std::size_t lower_bound(std::size_t bytes) const noexcept;
  big_block* oldest_after(std::uint64_t sequence) const noexcept;

  std::vector<std::size_t> sizes_;
  std::vector<std::uint64_t> sequences_;
  std::vector<big_block*> blocks_;
  std::size_t bytes_ = 0;
};

}  // namespace weir::core
