// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/unfinished_frees.hpp"

#include <iterator>

namespace weir::sim {

// The first interval that ends after `begin`.
unfinished_frees::interval_map::const_iterator unfinished_frees::first_in(std::uint64_t begin) const {
  auto it = by_address_.upper_bound(begin);
  if (it != by_address_.begin() && std::prev(it)->second.end > begin) --it;
  return it;
}

void unfinished_frees::link(std::uint64_t begin, const interval& i) {
  by_address_.emplace(begin, i);
  by_time_.emplace(i.point.complete_at_ns, begin);
}

void unfinished_frees::unlink(std::uint64_t begin, const interval& i) {
  by_time_.erase({i.point.complete_at_ns, begin});
  by_address_.erase(begin);
}

void unfinished_frees::insert(std::uint64_t begin, std::uint64_t end, const free_point& point) {
  link(begin, {end, point});
}

void unfinished_frees::remove(std::uint64_t begin, std::uint64_t end) {
  if (by_address_.empty()) return;
  for (auto it = first_in(begin); it != by_address_.end() && it->first < end;) {
    const auto [at, i] = *it++;
    unlink(at, i);
    if (at < begin) link(at, {begin, i.point});
    if (i.end > end) link(end, i);
  }
}

std::vector<unfinished_frees::span> unfinished_frees::settle(std::uint64_t now_ns) {
  std::vector<span> complete;
  while (!by_time_.empty() && by_time_.begin()->first <= now_ns) {
    const auto at = by_address_.find(by_time_.begin()->second);
    complete.push_back({at->first, at->second.end});
    by_address_.erase(at);
    by_time_.erase(by_time_.begin());
  }
  return complete;
}

bool unfinished_frees::any_in(std::uint64_t begin, std::uint64_t end) const {
  const auto it = first_in(begin);
  return it != by_address_.end() && it->first < end;
}

bool unfinished_frees::all_before(const taker& who, std::uint64_t begin, std::uint64_t end) const {
  for (auto it = first_in(begin); it != by_address_.end() && it->first < end; ++it)
    if (!who.follows(it->second.point)) return false;
  return true;
}

free_point unfinished_frees::last_in(std::uint64_t begin, std::uint64_t end) const {
  free_point last;
  for (auto it = first_in(begin); it != by_address_.end() && it->first < end; ++it)
    if (it->second.point.complete_at_ns >= last.complete_at_ns) last = it->second.point;
  return last;
}

}  // namespace weir::sim
