// SPDX-License-Identifier: Apache-2.0
//
// How much is asked of the native pool: of blocks and of regions, where it would grow and where it would not.
#include <vector>

#include "scene.hpp"

namespace weir::test {
namespace {

TEST_CASE("placement: a block that grows the native pool has its exact size, another is rounded") {
  scene s;
  const weir::stream a = s.make_stream();
  void* all = s.get(2000 * MiB, a);
  CHECK(s.pool.statistics().held == 2000 * MiB);
  s.put(all, 2000 * MiB, a);
  s.device->synchronize();
  must(s.pool.defragment());  // to the native pool, which keeps it
  REQUIRE(s.pool.statistics().held == 0);
  void* part = s.get(1001 * MiB, a);
  CHECK(s.pool.statistics().held == 1008 * MiB);
  s.put(part, 1001 * MiB, a);
}

TEST_CASE("placement: a block of exact size is found again by the same size") {
  scene s;
  const weir::stream a = s.make_stream();
  for (int i = 0; i < 10; ++i) s.put(s.get(1001 * MiB, a), 1001 * MiB, a);
  CHECK(s.pool.statistics().native.allocate == 1);
}

TEST_CASE("placement: a stream's first region is small, further ones grow with what it has") {
  scene s({.region_bytes = 128 * MiB, .region_bytes_min = 16 * MiB});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  s.get(1000, a);
  s.get(1000, b);
  CHECK(s.pool.statistics().held == 32 * MiB);
  constexpr std::size_t medium = 3 * MiB, count = 200;
  for (std::size_t i = 0; i < count; ++i) s.get(medium, a);
  const auto full = s.pool.statistics();
  CHECK(full.held <= count * medium * 5 / 4 + 64 * MiB);
  CHECK(full.native.allocate <= 24);
}

TEST_CASE("placement: a region that would grow the native pool is cut to fit a hole in a touched chunk") {
  for (const bool recycle : {true, false}) {
    INFO((recycle ? "with" : "without"));
    scene s({.order = {.recycle = recycle}});
    const weir::stream a = s.make_stream();
    s.get(40 * MiB, a);
    REQUIRE(s.pool.statistics().reserved == 64 * MiB);
    s.get(1000, a);
    CHECK(s.pool.statistics().reserved == (recycle ? 64 : 96) * MiB);
    // Too large for what is left of the hole: it grows.
    s.get(16 * MiB, a);
    s.get(16 * MiB, a);
    CHECK(s.pool.statistics().reserved > 64 * MiB);
  }
}

}  // namespace
}  // namespace weir::test
