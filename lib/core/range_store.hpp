// SPDX-License-Identifier: Apache-2.0
//
// Descriptors of ranges and regions, recycled and never deleted before their pool: a free of a bad pointer may still
// read one. Takes memory from the host in batches.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "core/extent.hpp"

namespace weir::core {

// Of one heap, behind its lock.
class range_store {
 public:
  range* take() {
    if (free_.empty()) return &all_.emplace_back();
    range* r = free_.back();
    free_.pop_back();
    return r;
  }
  void give(range* r) { free_.push_back(r); }

 private:
  std::deque<range> all_;
  std::vector<range*> free_;
};

}  // namespace weir::core
