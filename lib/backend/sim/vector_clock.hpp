// SPDX-License-Identifier: Apache-2.0
//
// Order between streams and the host as numbers: component i of a clock is how much of stream i happened before.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir::sim {

// A stream's component in every clock; 0 is nobody's.
using stream_slot = std::uint32_t;

class vector_clock {
 public:
  std::uint64_t operator[](stream_slot slot) const noexcept { return slot < ticks_.size() ? ticks_[slot] : 0; }
  void raise(stream_slot slot, std::uint64_t tick) {
    if (slot >= ticks_.size()) ticks_.resize(slot + std::size_t{1});
    ticks_[slot] = std::max(ticks_[slot], tick);
  }
  void join(const vector_clock& other) {
    if (ticks_.size() < other.ticks_.size()) ticks_.resize(other.ticks_.size());
    for (std::size_t i = 0; i < other.ticks_.size(); ++i) ticks_[i] = std::max(ticks_[i], other.ticks_[i]);
  }

 private:
  std::vector<std::uint64_t> ticks_;
};

}  // namespace weir::sim
