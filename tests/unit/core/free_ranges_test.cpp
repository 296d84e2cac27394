// SPDX-License-Identifier: Apache-2.0
#include "core/free_ranges.hpp"

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <set>
#include <vector>

#include "property/random_source.hpp"

using weir::core::epoch_any;
using weir::core::free_ranges;
using weir::core::range;

namespace {

std::unique_ptr<range> of(std::uint32_t count, weir::core::epoch last = 0) {
  auto r = std::make_unique<range>();
  r->count = count;
  r->last = last;
  return r;
}

}  // namespace

TEST_CASE("free ranges: none is found where there is none") {
  free_ranges ranges;
  CHECK(ranges.find(1, epoch_any) == nullptr);
  CHECK(ranges.largest() == 0);
}

TEST_CASE("free ranges: the exact size is preferred, the next larger serves") {
  free_ranges ranges;
  const auto small = of(10), large = of(1000);
  ranges.insert(large.get());
  ranges.insert(small.get());
  CHECK(ranges.find(10, epoch_any) == small.get());
  CHECK(ranges.find(11, epoch_any) == large.get());
  CHECK(ranges.find(1001, epoch_any) == nullptr);
  CHECK(ranges.largest() == 1000);
}

TEST_CASE("free ranges: what was removed is not found") {
  free_ranges ranges;
  const auto a = of(64), b = of(64);
  ranges.insert(a.get());
  ranges.insert(b.get());
  ranges.remove(b.get());
  CHECK(ranges.find(1, epoch_any) == a.get());
  ranges.remove(a.get());
  CHECK(ranges.find(1, epoch_any) == nullptr);
}

TEST_CASE("free ranges: one that was used too lately is passed over") {
  free_ranges ranges;
  const auto young = of(16, 9), old = of(40, 3);
  ranges.insert(young.get());
  ranges.insert(old.get());
  CHECK(ranges.find(16, epoch_any) == young.get());
  CHECK(ranges.find(16, 8) == old.get());
  CHECK(ranges.find(16, 2) == nullptr);
}

TEST_CASE("free ranges: every size up to 16 GiB has its list") {
  free_ranges ranges;
  for (std::uint32_t count = 1; count <= 1u << 20; count = count < 64 ? count + 1 : count * 2 - 1) {
    const auto r = of(count);
    ranges.insert(r.get());
    REQUIRE(ranges.find(count, epoch_any) == r.get());
    REQUIRE(ranges.largest() == count);
    ranges.remove(r.get());
  }
}

// A list is searched a few looks deep only, so a fit in the request's own list may be missed, one in a later may not.
TEST_CASE("free ranges: random sizes find a fit wherever a size an eighth above has one") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    INFO("seed " << seed);
    weir::test::random_source r(seed);
    free_ranges ranges;
    std::vector<std::unique_ptr<range>> all;
    std::multiset<std::uint32_t> counts;
    for (unsigned step = 0; step < 500; ++step) {
      if (all.empty() || r.chance(55)) {
        all.push_back(of(static_cast<std::uint32_t>(r.log_uniform(4000))));
        ranges.insert(all.back().get());
        counts.insert(all.back()->count);
      } else {
        const std::size_t i = r.below(all.size());
        ranges.remove(all[i].get());
        counts.erase(counts.find(all[i]->count));
        all[i] = std::move(all.back());
        all.pop_back();
      }
      const auto wanted = static_cast<std::uint32_t>(r.log_uniform(4000));
      const range* found = ranges.find(wanted, epoch_any);
      if (found) REQUIRE(found->count >= wanted);
      if (!found) REQUIRE(counts.lower_bound(wanted + wanted / 8 + 1) == counts.end());
      REQUIRE(ranges.largest() == (counts.empty() ? 0 : *counts.rbegin()));
    }
  }
}
