// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/free_ranges.hpp"

#include <iterator>

namespace weir::sim {
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

std::optional<std::uint64_t> free_ranges::best_fit(std::uint64_t bytes, range_owner owner) const {
  const auto sizes = by_size_.find(owner);
  if (sizes == by_size_.end()) return std::nullopt;
  const auto best = sizes->second.lower_bound({bytes, 0});
  if (best == sizes->second.end()) return std::nullopt;
  return best->second + best->first - bytes;
}

std::optional<std::uint64_t> free_ranges::best_fit_of_all(std::uint64_t bytes) const {
  const size_set::value_type* best = nullptr;
  for (const auto& [owner, sizes] : by_size_) {
    const auto found = sizes.lower_bound({bytes, 0});
    if (found != sizes.end() && (!best || *found < *best)) best = &*found;
  }
  if (!best) return std::nullopt;
  return best->second + best->first - bytes;
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
