// SPDX-License-Identifier: Apache-2.0
#include "simulate_model.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace weir::simulation {

bool block::is_announced(unsigned stream) const { return std::ranges::find(announced, stream) != announced.end(); }

bool block::is_used_on(unsigned stream) const {
  return std::ranges::any_of(uses, [&](const use& u) { return u.stream == stream; });
}

void block::add_use(const use& u) {
  std::erase_if(uses, [&](const use& each) { return each.stream == u.stream; });
  uses.push_back(u);
}

const block* block_table::find_overlap(std::uintptr_t at, std::size_t bytes) const {
  const auto next = blocks_.lower_bound(at);
  if (next != blocks_.end() && next->first < at + bytes) return &next->second;
  if (next == blocks_.begin()) return nullptr;
  const block& before = std::prev(next)->second;
  return before.at + before.bytes > at ? &before : nullptr;
}

block& block_table::add(block b) {
  b.index = order_.size();
  block& here = blocks_.insert_or_assign(b.at, std::move(b)).first->second;
  order_.push_back(&here);
  return here;
}

void block_table::remove(std::uintptr_t at) {
  const auto found = blocks_.find(at);
  const std::size_t index = found->second.index;
  order_[index] = order_.back();
  order_[index]->index = index;
  order_.pop_back();
  blocks_.erase(found);
}

block* block_table::find(std::uintptr_t at) {
  const auto found = blocks_.find(at);
  return found == blocks_.end() ? nullptr : &found->second;
}

}  // namespace weir::simulation
