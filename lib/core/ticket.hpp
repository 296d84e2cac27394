// SPDX-License-Identifier: Apache-2.0
//
// A ticket is a point in a stream's order: everything the stream was given before its epoch `epoch` was closed. It is
// a pair of numbers; pool/timeline turns it into an event when someone asks, and knows which have passed.
//
// Epochs count from 1 and only grow. A ticket of a stream implies all earlier ones of that stream, so a set keeps the
// highest of each stream and no more.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace weir::core {

using stream_index = std::uint32_t;  // dense, within one pool, never reused
using epoch = std::uint64_t;

inline constexpr epoch epoch_any = ~epoch{0};

struct ticket {
  stream_index stream = 0;
  core::epoch epoch = 0;
};

// Tickets that must all have passed. Nearly always one or two.
class ticket_set {
 public:
  ticket_set() = default;
  ticket_set(ticket only) : tickets_{only} {}

  bool is_empty() const noexcept { return tickets_.empty(); }
  auto begin() const noexcept { return tickets_.begin(); }
  auto end() const noexcept { return tickets_.end(); }

  void add(ticket more) {
    const auto same = std::find_if(tickets_.begin(), tickets_.end(), [&](ticket t) { return t.stream == more.stream; });
    if (same == tickets_.end())
      tickets_.push_back(more);
    else
      same->epoch = std::max(same->epoch, more.epoch);
  }
  void add(const ticket_set& more) {
    for (ticket t : more) add(t);
  }

  template <class Passed>
  bool all(Passed passed) const {
    return std::all_of(tickets_.begin(), tickets_.end(), passed);
  }

 private:
  std::vector<ticket> tickets_;
};

}  // namespace weir::core
