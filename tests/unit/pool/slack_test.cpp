// SPDX-License-Identifier: Apache-2.0
//
// What `slack` allows.
#include "scene.hpp"

namespace weir::test {
namespace {

TEST_CASE("slack: within it the pool grows and gives nothing back, past it it recycles") {
  for (const double slack : {0.0, 0.5}) {
    INFO(slack);
    scene s({.big_cache_share = 1, .slack = slack});
    const weir::stream stream = s.make_stream();
    const auto pass_by = [&](std::size_t bytes) {
      s.put(s.get(bytes, stream), bytes, stream);
      s.device->synchronize();
    };
    void* stays = s.get(320 * MiB, stream);
    pass_by(64 * MiB);
    pass_by(96 * MiB);
    CHECK(s.pool.statistics().native.deallocate == (slack > 0 ? 0 : 1));
    for (std::size_t i = 0; i < 6; ++i) pass_by((112 + 16 * i) * MiB);
    const auto end = s.pool.statistics();
    CHECK(end.native.deallocate > 0);
    const double in_use = static_cast<double>(320 + 192) * MiB;
    CHECK(static_cast<double>(end.reserved_peak) <= (1 + slack) * in_use + 64 * MiB);
    s.put(stays, 320 * MiB, stream);
  }
}

}  // namespace
}  // namespace weir::test
