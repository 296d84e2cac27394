// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/free_ranges.hpp"

#include <algorithm>
#include <iterator>

namespace weir::sim {
namespace {

using sized = std::pair<std::uint64_t, std::uint64_t>;  // bytes, begin

// The block at the high end of a range.
std::uint64_t high_end(const sized& range, std::uint64_t bytes, std::uint64_t alignment) {
  return (range.second + range.first - bytes) & ~(alignment - 1);
}

std::uint64_t align_up(std::uint64_t address, std::uint64_t alignment) {
  return (address + alignment - 1) & ~(alignment - 1);
}

// Best fit in one set. Ranges a little larger than the request may be misaligned, so a few of them are tried and then
// one that is large enough wherever it begins.
const sized* smallest_serving(const free_ranges::size_set& sizes, std::uint64_t bytes, std::uint64_t alignment) {
  constexpr int tries = 64;
  auto it = sizes.lower_bound({bytes, 0});
  for (int i = 0; i < tries && it != sizes.end(); ++i, ++it)
    if (align_up(it->second, alignment) + bytes <= it->second + it->first) return &*it;
  if (it == sizes.end()) return nullptr;
  it = sizes.lower_bound({std::max(bytes + alignment, it->first), 0});
  return it == sizes.end() ? nullptr : &*it;
}

}  // namespace

void free_ranges::link(std::uint64_t begin, const range& r) {
  by_address_.emplace(begin, r);
  by_size_[r.owner].emplace(r.end - begin, begin);
  if (r.end - begin >= large_bytes_) large_.emplace(r.end - begin, begin);
}

void free_ranges::unlink(std::uint64_t begin, const range& r) {
  const auto sizes = by_size_.find(r.owner);
  sizes->second.erase({r.end - begin, begin});
  if (sizes->second.empty()) by_size_.erase(sizes);
  if (r.end - begin >= large_bytes_) large_.erase({r.end - begin, begin});
  by_address_.erase(begin);
}

void free_ranges::insert(std::uint64_t begin, std::uint64_t end, range_owner owner) {
  if (const auto* before = ending_at(begin); before && before->second.owner == owner) {
    const auto [at, r] = *before;
    unlink(at, r);
    begin = at;
  }
  if (const auto* after = beginning_at(end); after && after->second.owner == owner) {
    const auto [at, r] = *after;
    unlink(at, r);
    end = r.end;
  }
  link(begin, {end, owner});
}

void free_ranges::remove(std::uint64_t begin, std::uint64_t end) {
  auto it = by_address_.upper_bound(begin);
  if (it != by_address_.begin() && std::prev(it)->second.end > begin) --it;
  while (it != by_address_.end() && it->first < end) {
    const auto [at, r] = *it++;
    unlink(at, r);
    if (at < begin) link(at, {begin, r.owner});
    if (r.end > end) link(end, r);
  }
}

std::optional<std::uint64_t> free_ranges::best_fit(std::uint64_t bytes, std::uint64_t alignment,
                                                   range_owner owner) const {
  const auto sizes = by_size_.find(owner);
  if (sizes == by_size_.end()) return std::nullopt;
  const sized* best = smallest_serving(sizes->second, bytes, alignment);
  if (!best) return std::nullopt;
  return high_end(*best, bytes, alignment);
}

std::optional<std::uint64_t> free_ranges::best_fit_of_all(std::uint64_t bytes, std::uint64_t alignment) const {
  const sized* best = nullptr;
  for (const auto& [owner, sizes] : by_size_) {
    const sized* found = smallest_serving(sizes, bytes, alignment);
    if (found && (!best || *found < *best)) best = found;
  }
  if (!best) return std::nullopt;
  return high_end(*best, bytes, alignment);
}

const free_ranges::address_map::value_type* free_ranges::ending_at(std::uint64_t address) const {
  const auto it = by_address_.lower_bound(address);
  if (it == by_address_.begin() || std::prev(it)->second.end != address) return nullptr;
  return &*std::prev(it);
}

const free_ranges::address_map::value_type* free_ranges::beginning_at(std::uint64_t address) const {
  const auto it = by_address_.find(address);
  return it == by_address_.end() ? nullptr : &*it;
}

}  // namespace weir::sim
