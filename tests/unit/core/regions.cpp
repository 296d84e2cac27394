// SPDX-License-Identifier: Apache-2.0
#include "unit/core/regions.hpp"

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>

namespace weir::test {

core::region* region_maker::make(std::uint32_t granules, std::size_t offset) {
  core::region* r = make_at(next_ + offset, granules);
  next_ += base::round_up(offset + r->bytes, std::size_t{1} << 30);
  return r;
}

core::region* region_maker::make_beside(std::uint32_t granules) {
  const core::region& last = all_.back();
  return make_at(last.base + last.bytes, granules);
}

core::region* region_maker::make_at(std::uintptr_t base, std::uint32_t granules) {
  core::region& r = all_.emplace_back();
  r.base = base;
  r.begin = base::round_up(base, core::granule_bytes);
  r.bytes = r.begin - r.base + granules * core::granule_bytes;
  r.make_table(granules, 0);
  return &r;
}

std::string layout(const core::region& r) {
  std::string text;
  for (std::uint32_t g = 0; g < r.granules;) {
    const core::range& here = *r.table[g].load();
    switch (here.kind.load()) {
      case core::range_kind::free: text += "free "; break;
      case core::range_kind::pending: text += "pending "; break;
      case core::range_kind::medium: text += "medium "; break;
      case core::range_kind::slab: text += "slab "; break;
    }
    text += std::to_string(here.count);
    g += here.count;
    if (g < r.granules) text += ", ";
  }
  return text;
}

void check(const core::heap& heap) {
  std::vector<std::string> broken;
  heap.check(broken);
  std::string all;
  for (const std::string& one : broken) all += one + "\n";
  INFO(all);
  REQUIRE(broken.empty());
}

place place_of(const core::region& r, const void* pointer) {
  const std::uintptr_t at = base::address(pointer);
  core::range* slab = r.table[(at - r.begin) / core::granule_bytes].load();
  const core::slab_position where = core::position_in(*slab, at);
  REQUIRE(where.inside);
  return {slab, where.block};
}

}  // namespace weir::test
