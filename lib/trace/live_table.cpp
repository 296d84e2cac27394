// SPDX-License-Identifier: Apache-2.0
#include "trace/live_table.hpp"

#include <algorithm>
#include <bit>
#include <random>

namespace weir::trace {

namespace {

// The finalizer of splitmix64.
std::uint64_t mix(std::uint64_t n) noexcept {
  n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9;
  n = (n ^ (n >> 27)) * 0x94d049bb133111eb;
  return n ^ (n >> 31);
}

}  // namespace

live_table::live_table() : index_(1024), salt_(std::random_device{}() * std::uint64_t{0x9e3779b97f4a7c15}) {}

std::size_t live_table::home_of(std::uint64_t id) const noexcept {
  return static_cast<std::size_t>(mix(id ^ salt_)) & (index_.size() - 1);
}

std::size_t live_table::place_of(std::uint64_t id) const noexcept {
  std::size_t place = home_of(id);
  while (index_[place] != 0 && blocks_[index_[place] - 1].id != id) place = next(place);
  return place;
}

std::size_t live_table::find(std::uint64_t id) const noexcept {
  const std::uint32_t entry = index_[place_of(id)];
  return entry == 0 ? absent : entry - 1;
}

std::size_t live_table::insert(const live_block& block) {
  if (2 * (count() + 1) > index_.size()) grow();
  std::size_t slot = blocks_.size();
  if (free_slots_.empty()) {
    blocks_.push_back(block);
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
    blocks_[slot] = block;
  }
  index_[place_of(block.id)] = static_cast<std::uint32_t>(slot + 1);
  return slot;
}

// Moves later entries of the run back into the gap, so that no tombstones gather.
void live_table::erase(std::uint64_t id) noexcept {
  std::size_t gap = place_of(id);
  free_slots_.push_back(index_[gap] - 1);
  const std::size_t mask = index_.size() - 1;
  for (std::size_t at = next(gap); index_[at] != 0; at = next(at)) {
    const std::size_t home = home_of(blocks_[index_[at] - 1].id);
    if (((at - home) & mask) < ((at - gap) & mask)) continue;
    index_[gap] = index_[at];
    gap = at;
  }
  index_[gap] = 0;
}

void live_table::grow() {
  const std::vector<std::uint32_t> old = std::move(index_);
  index_.assign(2 * old.size(), 0);
  for (const std::uint32_t entry : old) {
    if (entry != 0) index_[place_of(blocks_[entry - 1].id)] = entry;
  }
}

}  // namespace weir::trace
