// SPDX-License-Identifier: Apache-2.0
//
// Regions of addresses that nobody has, and a heap that is checked after each step.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "core/heap.hpp"

namespace weir::test {

// Makes regions, and owns them.
class region_maker {
 public:
  // `offset` moves the native allocation's begin off the granule.
  core::region* make(std::uint32_t granules, std::size_t offset = 0);
  // One that begins where the last one ends.
  core::region* make_beside(std::uint32_t granules);

 private:
  core::region* make_at(std::uintptr_t base, std::uint32_t granules);

  std::deque<core::region> all_;
  std::uintptr_t next_ = std::uintptr_t{1} << 40;
};

// The ranges of a region in order, as kind and count: "free 3, slab 1".
std::string layout(const core::region&);

// Fails the case where an invariant of the heap is broken.
void check(const core::heap&);

// Where a block in hand lies.
struct place {
  core::range* slab;
  unsigned block;
};
place place_of(const core::region&, const void* pointer);

}  // namespace weir::test
