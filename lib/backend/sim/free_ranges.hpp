// SPDX-License-Identifier: Apache-2.0
//
// The free ranges of a native pool. A range is everybody's, or behind a point of one stream: that stream may use it at
// once, others when the point is complete or they are ordered after it. Ranges are kept by address (map, neighbours of
// the same owner coalesced), by size for each owner (best fit), and by completion time (to become everybody's).
// Every operation is O(log n) in the number of ranges, plus the ranges it removes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "backend/sim/vector_clock.hpp"

namespace weir::sim {

// Where in the order of things a range was freed.
struct free_point {
  stream_slot stream = 0;  // 0: complete, everybody's
  std::uint64_t tick = 0;
  std::uint64_t complete_at_ns = 0;
};

// Who asks: a stream, and what it is ordered after.
struct taker {
  stream_slot stream = 0;
  const vector_clock* clock = nullptr;

  bool may_use(const free_point& point) const noexcept {
    return point.stream == 0 || point.stream == stream || (*clock)[point.stream] >= point.tick;
  }
};

class free_ranges {
 public:
  struct range {
    std::uint64_t end = 0;
    free_point point;
  };
  using address_map = std::map<std::uint64_t, range>;
  using size_set = std::set<std::pair<std::uint64_t, std::uint64_t>>;  // bytes, begin

  void insert(std::uint64_t begin, std::uint64_t end, free_point point);
  // Takes [begin, end) out of whatever ranges it meets; what they have outside stays as it was.
  void remove(std::uint64_t begin, std::uint64_t end);
  // Points complete by `now_ns` are everybody's from here on.
  void settle(std::uint64_t now_ns);

  // Address of the smallest range that can serve, lowest first; `alignment` is a power of two.
  std::optional<std::uint64_t> best_fit(std::uint64_t bytes, std::uint64_t alignment, const taker& who) const;
  // The same among ranges that `who` may not use yet, with the point to wait for.
  std::optional<std::pair<std::uint64_t, free_point>> best_fit_pending(std::uint64_t bytes,
                                                                       std::uint64_t alignment) const;

  // The range that ends or begins at an address, or null.
  const address_map::value_type* ending_at(std::uint64_t address) const;
  const address_map::value_type* beginning_at(std::uint64_t address) const;
  const address_map& by_address() const noexcept { return by_address_; }
  // Everybody's ranges by size.
  const size_set& complete() const noexcept { return complete_; }

 private:
  using sizes_by_stream = std::unordered_map<stream_slot, size_set>;

  void link(std::uint64_t begin, const range&);
  void unlink(std::uint64_t begin, const range&);
  size_set& sizes_of(stream_slot stream) { return stream == 0 ? complete_ : pending_sizes_[stream]; }

  address_map by_address_;
  size_set complete_;
  sizes_by_stream pending_sizes_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> pending_;  // complete_at_ns, begin
};

}  // namespace weir::sim
