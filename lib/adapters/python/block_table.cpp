// SPDX-License-Identifier: Apache-2.0
#include "adapters/python/block_table.hpp"

#include <utility>

namespace weir::python {

namespace {

// Blocks begin at multiples of 256; the golden ratio spreads what is left.
std::uint64_t hash_of(const void* block) noexcept {
  return (reinterpret_cast<std::uintptr_t>(block) >> 8) * 0x9e3779b97f4a7c15U;
}

}  // namespace

block_table::shard& block_table::shard_of(const void* block) noexcept { return shards_[hash_of(block) >> 58]; }

std::size_t block_table::shard::home_of(const void* block) const noexcept {
  return (hash_of(block) >> 20) & (entries.size() - 1);
}

block_table::entry* block_table::shard::find(const void* block) noexcept {
  if (entries.empty()) return nullptr;
  const std::size_t mask = entries.size() - 1;
  for (std::size_t at = home_of(block); entries[at].block; at = (at + 1) & mask) {
    if (entries[at].block == block) return &entries[at];
  }
  return nullptr;
}

void block_table::shard::grow() {
  std::vector<entry> old(entries.empty() ? 64 : entries.size() * 2);
  entries.swap(old);
  const std::size_t mask = entries.size() - 1;
  for (entry& e : old) {
    if (!e.block) continue;
    std::size_t at = home_of(e.block);
    while (entries[at].block) at = (at + 1) & mask;
    entries[at] = std::move(e);
  }
}

// What follows without a gap moves up where it may, so no search ends too early.
void block_table::shard::erase(std::size_t at) noexcept {
  const std::size_t mask = entries.size() - 1;
  for (std::size_t next = (at + 1) & mask; entries[next].block; next = (next + 1) & mask) {
    const std::size_t home = home_of(entries[next].block);
    if (((next - home) & mask) < ((next - at) & mask)) continue;
    entries[at] = std::move(entries[next]);
    at = next;
  }
  entries[at] = {};
  --used;
}

void block_table::add(const void* block, live_block what) {
  shard& s = shard_of(block);
  const std::lock_guard lock(s.mutex);
  if ((s.used + 1) * 4 > s.entries.size() * 3) s.grow();
  const std::size_t mask = s.entries.size() - 1;
  std::size_t at = s.home_of(block);
  while (s.entries[at].block && s.entries[at].block != block) at = (at + 1) & mask;
  if (!s.entries[at].block) ++s.used;
  s.entries[at] = {block, std::move(what)};
}

std::optional<live_block> block_table::remove(const void* block) noexcept {
  shard& s = shard_of(block);
  const std::lock_guard lock(s.mutex);
  entry* found = s.find(block);
  if (!found) return std::nullopt;
  std::optional<live_block> what(std::move(found->what));
  s.erase(static_cast<std::size_t>(found - s.entries.data()));
  return what;
}

std::optional<int> block_table::device_of(const void* block) noexcept {
  shard& s = shard_of(block);
  const std::lock_guard lock(s.mutex);
  const entry* found = s.find(block);
  if (!found) return std::nullopt;
  return found->what.device;
}

std::size_t block_table::count() noexcept {
  std::size_t sum = 0;
  for (shard& s : shards_) {
    const std::lock_guard lock(s.mutex);
    sum += s.used;
  }
  return sum;
}

}  // namespace weir::python
