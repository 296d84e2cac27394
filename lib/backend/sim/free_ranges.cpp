// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/free_ranges.hpp"

#include <algorithm>
#include <iterator>

namespace weir::sim {
namespace {

std::uint64_t align_up(std::uint64_t address, std::uint64_t alignment) {
  return (address + alignment - 1) & ~(alignment - 1);
}

bool serves(std::uint64_t begin, std::uint64_t range_bytes, std::uint64_t bytes, std::uint64_t alignment) {
  return align_up(begin, alignment) + bytes <= begin + range_bytes;
}

// Best fit in one set. Ranges a little larger than the request may be misaligned, so a few of them are tried and then
// one that is large enough wherever it begins.
template <class Usable>
const std::pair<std::uint64_t, std::uint64_t>* smallest_serving(const free_ranges::size_set& sizes, std::uint64_t bytes,
                                                                std::uint64_t alignment, Usable usable) {
  constexpr int tries = 64;
  auto it = sizes.lower_bound({bytes, 0});
  for (int i = 0; i < tries && it != sizes.end(); ++i, ++it)
    if (serves(it->second, it->first, bytes, alignment) && usable(it->second)) return &*it;
  if (it == sizes.end()) return nullptr;
  it = sizes.lower_bound({std::max(bytes + alignment, it->first), 0});
  for (int i = 0; i < tries && it != sizes.end(); ++i, ++it)
    if (usable(it->second)) return &*it;
  return nullptr;
}

}  // namespace

void free_ranges::link(std::uint64_t begin, const range& r) {
  by_address_[begin] = r;
  sizes_of(r.point.stream).emplace(r.end - begin, begin);
  if (r.point.stream != 0) pending_.emplace(r.point.complete_at_ns, begin);
}

void free_ranges::unlink(std::uint64_t begin, const range& r) {
  size_set& sizes = sizes_of(r.point.stream);
  sizes.erase({r.end - begin, begin});
  if (r.point.stream != 0) {
    pending_.erase({r.point.complete_at_ns, begin});
    if (sizes.empty()) pending_sizes_.erase(r.point.stream);
  }
  by_address_.erase(begin);
}

void free_ranges::insert(std::uint64_t begin, std::uint64_t end, free_point point) {
  const auto absorb = [&](std::uint64_t at, range neighbour) {
    unlink(at, neighbour);
    begin = std::min(begin, at);
    end = std::max(end, neighbour.end);
    point.tick = std::max(point.tick, neighbour.point.tick);
    point.complete_at_ns = std::max(point.complete_at_ns, neighbour.point.complete_at_ns);
  };
  if (const auto* before = ending_at(begin); before && before->second.point.stream == point.stream)
    absorb(before->first, before->second);
  if (const auto* after = beginning_at(end); after && after->second.point.stream == point.stream)
    absorb(after->first, after->second);
  link(begin, {end, point});
}

void free_ranges::remove(std::uint64_t begin, std::uint64_t end) {
  auto it = by_address_.upper_bound(begin);
  if (it != by_address_.begin() && std::prev(it)->second.end > begin) --it;
  while (it != by_address_.end() && it->first < end) {
    const auto [at, r] = *it++;
    unlink(at, r);
    if (at < begin) link(at, {begin, r.point});
    if (r.end > end) link(end, {r.end, r.point});
  }
}

void free_ranges::settle(std::uint64_t now_ns) {
  while (!pending_.empty() && pending_.begin()->first <= now_ns) {
    const std::uint64_t begin = pending_.begin()->second;
    const range r = by_address_.find(begin)->second;
    unlink(begin, r);
    insert(begin, r.end, {});
  }
}

std::optional<std::uint64_t> free_ranges::best_fit(std::uint64_t bytes, std::uint64_t alignment,
                                                   const taker& who) const {
  const std::pair<std::uint64_t, std::uint64_t>* best = nullptr;
  const auto consider = [&](const size_set& sizes, auto usable) {
    const auto* found = smallest_serving(sizes, bytes, alignment, usable);
    if (found && (!best || *found < *best)) best = found;
  };
  consider(complete_, [](std::uint64_t) { return true; });
  for (const auto& [stream, sizes] : pending_sizes_) {
    if (stream == who.stream)
      consider(sizes, [](std::uint64_t) { return true; });
    else if ((*who.clock)[stream] != 0)
      consider(sizes, [&](std::uint64_t begin) { return who.may_use(by_address_.find(begin)->second.point); });
  }
  if (!best) return std::nullopt;
  return align_up(best->second, alignment);
}

std::optional<std::pair<std::uint64_t, free_point>> free_ranges::best_fit_pending(std::uint64_t bytes,
                                                                                  std::uint64_t alignment) const {
  const std::pair<std::uint64_t, std::uint64_t>* best = nullptr;
  for (const auto& [stream, sizes] : pending_sizes_) {
    const auto* found = smallest_serving(sizes, bytes, alignment, [](std::uint64_t) { return true; });
    if (found && (!best || *found < *best)) best = found;
  }
  if (!best) return std::nullopt;
  return std::pair{align_up(best->second, alignment), by_address_.find(best->second)->second.point};
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
