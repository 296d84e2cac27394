// SPDX-License-Identifier: Apache-2.0
#include "core/big_cache.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace weir::core {

std::vector<big_block*>::const_iterator big_cache::lower_bound(std::size_t bytes) const noexcept {
  return std::lower_bound(blocks_.begin(), blocks_.end(), bytes,
                          [](const big_block* b, std::size_t n) { return b->bytes < n; });
}

void big_cache::insert(big_block* b) {
  blocks_.insert(lower_bound(b->bytes), b);
  bytes_ += b->bytes;
}

void big_cache::remove(big_block* b) noexcept {
  auto at = lower_bound(b->bytes);
  while (at != blocks_.end() && *at != b) ++at;
  WEIR_ASSERT(at != blocks_.end());
  blocks_.erase(at);
  bytes_ -= b->bytes;
}

}  // namespace weir::core
