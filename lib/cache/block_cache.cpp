// SPDX-License-Identifier: Apache-2.0
#include "cache/block_cache.hpp"

#include <algorithm>

#include "base/bits.hpp"

namespace weir::cache {

namespace {

// A magazine holds at most this many blocks, and this many bytes where that is fewer: enough that a batch of a hundred
// small blocks goes through the heap's lock a few times only, and little enough that 80 classes cannot park much.
constexpr std::size_t magazine_blocks_max = 64;
constexpr std::size_t magazine_bytes_max = 4 * base::mib;

}  // namespace

unsigned block_cache::capacity(core::size_class index) const noexcept {
  const std::size_t bytes = std::min(magazine_bytes_max, bytes_max_);
  return static_cast<unsigned>(std::clamp<std::size_t>(bytes / core::class_bytes(index), 1, magazine_blocks_max));
}

unsigned block_cache::refill_count(core::size_class index) const noexcept {
  const std::lock_guard lock(mutex_);
  const std::size_t room = (bytes_max_ - std::min(bytes_, bytes_max_)) / core::class_bytes(index);
  return static_cast<unsigned>(std::min<std::size_t>((capacity(index) + 1) / 2, 1 + room));
}

unsigned block_cache::give(core::size_class index, core::block b, core::block* overflow) {
  static_assert(overflow_max == (magazine_blocks_max + 1 + 1) / 2);
  const std::lock_guard lock(mutex_);
  std::vector<core::block>& m = magazines_[index];
  if (m.capacity() == 0) m.reserve(capacity(index) + 1);
  b.state->store(core::life_cached, std::memory_order_relaxed);
  ++counters_.deallocations[index];
  m.push_back(b);
  bytes_ += core::class_bytes(index);
  if (m.size() <= capacity(index) && bytes_ <= bytes_max_) return 0;
  const std::size_t out = (m.size() + 1) / 2;
  const auto end = m.begin() + static_cast<std::ptrdiff_t>(out);
  std::copy(m.begin(), end, overflow);
  m.erase(m.begin(), end);
  bytes_ -= out * core::class_bytes(index);
  return static_cast<unsigned>(out);
}

void block_cache::refill(core::size_class index, const core::block* blocks, unsigned count) {
  const std::lock_guard lock(mutex_);
  std::vector<core::block>& m = magazines_[index];
  if (m.capacity() == 0) m.reserve(capacity(index) + 1);
  for (unsigned i = 0; i < count; ++i) {
    blocks[i].state->store(core::life_cached, std::memory_order_relaxed);
    m.push_back(blocks[i]);
  }
  bytes_ += count * core::class_bytes(index);
}

void block_cache::count_allocation(core::size_class index) noexcept {
  const std::lock_guard lock(mutex_);
  ++counters_.allocations[index];
}

void block_cache::empty(std::vector<core::block>& out) {
  const std::lock_guard lock(mutex_);
  for (unsigned index = 0; index < core::class_count; ++index) {
    out.insert(out.end(), magazines_[index].begin(), magazines_[index].end());
    magazines_[index].clear();
  }
  bytes_ = 0;
}

std::size_t block_cache::bytes() const noexcept {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void block_cache::sum(block_counters& total, std::array<std::uint64_t, core::class_count>& held) const {
  const std::lock_guard lock(mutex_);
  for (unsigned index = 0; index < core::class_count; ++index) {
    total.allocations[index] += counters_.allocations[index];
    total.deallocations[index] += counters_.deallocations[index];
    held[index] += magazines_[index].size();
  }
  total.hits += counters_.hits;
}

}  // namespace weir::cache
