// SPDX-License-Identifier: Apache-2.0
//
// Which free bytes were freed behind work that is not complete yet, and behind which point of which stream. Disjoint
// intervals by address, and by the time at which they are complete.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "backend/sim/vector_clock.hpp"

namespace weir::sim {

// Where in the order of things a range was freed.
struct free_point {
  stream_slot stream = 0;  // 0: complete long ago
  std::uint64_t tick = 0;
  std::uint64_t complete_at_ns = 0;
};

// Who asks for memory: a stream, and what it is ordered after.
struct taker {
  stream_slot stream = 0;
  const vector_clock* clock = nullptr;

  bool follows(const free_point& point) const noexcept {
    return point.stream == stream || (*clock)[point.stream] >= point.tick;
  }
};

class unfinished_frees {
 public:
  void insert(std::uint64_t begin, std::uint64_t end, const free_point&);
  // [begin, end) is in use again, or gone.
  void remove(std::uint64_t begin, std::uint64_t end);
  struct span {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  // Forgets what is complete by then, and answers it.
  std::vector<span> settle(std::uint64_t now_ns);

  bool any_in(std::uint64_t begin, std::uint64_t end) const;
  // Whether `who` is ordered after every free in [begin, end).
  bool all_before(const taker& who, std::uint64_t begin, std::uint64_t end) const;
  // The one in [begin, end) that is complete last; stream 0 where there is none.
  free_point last_in(std::uint64_t begin, std::uint64_t end) const;

 private:
  struct interval {
    std::uint64_t end = 0;
    free_point point;
  };
  using interval_map = std::map<std::uint64_t, interval>;

  interval_map::const_iterator first_in(std::uint64_t begin) const;
  void link(std::uint64_t begin, const interval&);
  void unlink(std::uint64_t begin, const interval&);

  interval_map by_address_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_time_;  // complete_at_ns, begin
};

}  // namespace weir::sim
