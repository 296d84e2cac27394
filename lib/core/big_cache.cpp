// SPDX-License-Identifier: Apache-2.0
#include "core/big_cache.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace weir::core {

std::size_t big_cache::lower_bound(std::size_t bytes) const noexcept {
  return static_cast<std::size_t>(std::lower_bound(sizes_.begin(), sizes_.end(), bytes) - sizes_.begin());
}

void big_cache::insert(big_block* b) {
  const auto at = static_cast<std::ptrdiff_t>(lower_bound(b->bytes));
  sizes_.insert(sizes_.begin() + at, b->bytes);
  sequences_.insert(sequences_.begin() + at, b->sequence);
  blocks_.insert(blocks_.begin() + at, b);
  bytes_ += b->bytes;
}

void big_cache::remove(big_block* b) noexcept {
  std::size_t i = lower_bound(b->bytes);
  while (i < blocks_.size() && blocks_[i] != b) ++i;
  WEIR_ASSERT(i < blocks_.size());
  const auto at = static_cast<std::ptrdiff_t>(i);
  sizes_.erase(sizes_.begin() + at);
  sequences_.erase(sequences_.begin() + at);
  blocks_.erase(blocks_.begin() + at);
  bytes_ -= b->bytes;
}

big_block* big_cache::oldest_after(std::uint64_t sequence) const noexcept {
  std::size_t oldest = blocks_.size();
  std::uint64_t least = UINT64_MAX;
  for (std::size_t i = 0; i < sequences_.size(); ++i) {
    if (sequences_[i] <= sequence || sequences_[i] >= least) continue;
    least = sequences_[i];
    oldest = i;
  }
  return oldest < blocks_.size() ? blocks_[oldest] : nullptr;
}

}  // namespace weir::core
