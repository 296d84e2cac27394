// SPDX-License-Identifier: Apache-2.0
//
// A ticket is a point in a stream's order: everything the stream was given before its epoch `epoch` was closed. It is
// a pair of numbers; pool/timeline turns it into an event when someone asks, and knows which have passed.
//
// Epochs count from 1 and only grow. A ticket of a stream implies all earlier ones of that stream, so a set keeps the
// highest of each stream and no more.
#pragma once

#include <algorithm>
#include <array>
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

// Tickets that must all have passed. Nearly always one or two, which take nothing from the host.
class ticket_set {
 public:
  ticket_set() = default;
  ticket_set(ticket only) : few_{only}, few_count_(1) {}

  bool is_empty() const noexcept { return begin() == end(); }
  const ticket* begin() const noexcept { return many_.empty() ? few_.data() : many_.data(); }
  const ticket* end() const noexcept { return many_.empty() ? few_.data() + few_count_ : many_.data() + many_.size(); }

  void add(ticket more) {
    for (ticket* t = const_cast<ticket*>(begin()); t != end(); ++t) {
      if (t->stream != more.stream) continue;
      t->epoch = std::max(t->epoch, more.epoch);
      return;
    }
    if (many_.empty() && few_count_ < few_.size()) {
      few_[few_count_++] = more;
      return;
    }
    if (many_.empty()) many_.assign(few_.begin(), few_.end());
    many_.push_back(more);
  }
  void add(const ticket_set& more) {
    for (ticket t : more) add(t);
  }

  template <class Passed>
  bool all(Passed passed) const {
    return std::all_of(begin(), end(), passed);
  }

 private:
  std::array<ticket, 2> few_{};
  std::uint32_t few_count_ = 0;
  std::vector<ticket> many_;  // all of them, once there were more than few
};

}  // namespace weir::core
