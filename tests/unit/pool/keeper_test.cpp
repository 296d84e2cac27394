// SPDX-License-Identifier: Apache-2.0
//
// What is prepared ahead of need, and what `slack` allows.
#include <chrono>
#include <deque>
#include <thread>

#include "scene.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

template <class What>
bool becomes(What what) {
  for (int i = 0; i < 2000; ++i) {
    if (what()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

constexpr std::size_t old_bytes = 64 * MiB, new_bytes = 96 * MiB;

// A dozen old blocks, each in turn outgrown by a new one, as a cache of keys and values is; `between` after each.
template <class Between>
void outgrow(scene& s, const weir::stream& stream, Between between) {
  std::deque<void*> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(s.get(old_bytes, stream));
  void* spare = s.get(4 * old_bytes, stream);  // room for the first new ones
  s.put(spare, 4 * old_bytes, stream);
  for (int i = 0; i < 8; ++i) {
    blocks.push_back(s.get(new_bytes, stream));
    for (int n = 0; n < 2; ++n) {
      s.put(blocks.front(), old_bytes, stream);
      blocks.pop_front();
    }
    s.device->synchronize();
    between(i);
  }
  for (void* p : blocks) s.put(p, new_bytes, stream);
}

TEST_CASE("keeper: blocks of a size that is asked for in a row are there before they are, and the pool does not grow") {
  std::uint64_t native[2], reserved[2], misses[2];
  for (const bool keeper : {false, true}) {
    scene s({.background = 3600s, .keeper = keeper});
    const weir::stream stream = s.make_stream();
    std::uint64_t made_for_calls = 0;
    outgrow(s, stream, [&](int i) {
      if (i < 2 || !keeper) return;
      const std::uint64_t before = s.pool.statistics().native.allocate;
      if (i < 4) (void)becomes([&] { return s.pool.statistics().native.allocate > before; });
      std::this_thread::sleep_for(2ms);
      made_for_calls += s.pool.statistics().native.allocate - before;
    });
    const auto end = s.pool.statistics();
    native[keeper] = end.native.allocate;
    misses[keeper] = end.served.native;
    reserved[keeper] = end.reserved_peak;
    CHECK(s.pool.validate().empty());
  }
  CHECK(misses[1] + 3 <= misses[0]);
  CHECK(native[1] <= native[0] + 2);
  CHECK(reserved[1] <= reserved[0]);
}

TEST_CASE("keeper: sizes that never come again are not prepared") {
  scene s({.background = 3600s, .keeper = true});
  const weir::stream stream = s.make_stream();
  for (std::size_t i = 0; i < 12; ++i) s.put(s.get((20 + 5 * i) * MiB, stream), (20 + 5 * i) * MiB, stream);
  std::this_thread::sleep_for(5ms);
  const auto end = s.pool.statistics();
  CHECK(end.native.allocate == end.served.native);
}

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
