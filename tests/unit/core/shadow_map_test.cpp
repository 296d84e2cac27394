// SPDX-License-Identifier: Apache-2.0
#include "core/shadow_map.hpp"

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <map>
#include <set>

#include "property/random_source.hpp"

using weir::core::shadow_map;

namespace {

constexpr std::size_t chunk = 1000;  // any number will do

std::size_t touched(const std::map<std::uintptr_t, std::size_t>& spans) {
  std::set<std::size_t> chunks;
  for (const auto& [at, bytes] : spans)
    for (std::size_t c = at / chunk; c <= (at + bytes - 1) / chunk; ++c) chunks.insert(c);
  return chunks.size();
}

}  // namespace

TEST_CASE("shadow map: a chunk that two allocations share is touched once") {
  shadow_map map(chunk);
  map.add(0, 500);
  map.add(500, 100);
  CHECK(map.touched_chunks() == 1);
  map.add(600, 900);
  CHECK(map.touched_chunks() == 2);
  map.remove(500);
  CHECK(map.touched_chunks() == 2);
  map.remove(0);
  map.remove(600);
  CHECK(map.touched_chunks() == 0);
  CHECK(map.count() == 0);
}

TEST_CASE("shadow map: what reserved chunks cannot hold is missing") {
  shadow_map map(chunk);
  map.add(0, 1500);
  CHECK(map.free_chunks(5 * chunk) == 3);
  CHECK(map.missing_chunks(3 * chunk, 5 * chunk) == 0);
  CHECK(map.missing_chunks(3 * chunk + 1, 5 * chunk) == 1);
  CHECK(map.missing_chunks(chunk, 2 * chunk) == 1);
}

TEST_CASE("shadow map: less reserved than is touched leaves nothing free") {
  shadow_map map(chunk);
  map.add(0, 3 * chunk);
  CHECK(map.free_chunks(2 * chunk) == 0);
  CHECK(map.missing_chunks(1, 2 * chunk) == 1);
}

TEST_CASE("shadow map: random allocations touch the chunks a count says") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    INFO("seed " << seed);
    weir::test::random_source r(seed);
    shadow_map map(chunk);
    std::map<std::uintptr_t, std::size_t> spans;
    for (unsigned step = 0; step < 300; ++step) {
      const std::uintptr_t at = r.below(60 * chunk);
      const std::size_t bytes = r.log_uniform(4 * chunk);
      const auto next = spans.lower_bound(at);
      const bool is_over_next = next != spans.end() && next->first < at + bytes;
      const bool is_in_last = next != spans.begin() && std::prev(next)->first + std::prev(next)->second > at;
      if (!is_over_next && !is_in_last) {
        map.add(at, bytes);
        spans[at] = bytes;
      } else if (next != spans.end()) {
        map.remove(next->first);
        spans.erase(next);
      }
      REQUIRE(map.touched_chunks() == touched(spans));
      REQUIRE(map.count() == spans.size());
    }
  }
}
