// SPDX-License-Identifier: Apache-2.0
//
// A program that is ahead of the device: what it frees has not passed when it asks for more.
#include <algorithm>
#include <random>

#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t least = 20 * MiB, step = 3 * MiB;

// One block at a time, of sizes that rarely come again, behind work that runs all the while.
void one_at_a_time(scene& s, const weir::stream& stream, unsigned blocks) {
  std::mt19937 random(7);
  s.busy(stream);
  for (unsigned i = 0; i < blocks; ++i) {
    const std::size_t bytes = least + random() % 12 * step;
    s.put(s.get(bytes, stream), bytes, stream);
  }
}

constexpr std::size_t most = least + 11 * step;

}  // namespace

TEST_CASE("ahead of the device: a stream takes again what it gave back, in its own order, and no more is held for it") {
  for (const bool recycles : {true, false}) {
    INFO((recycles ? "with" : "without"));
    scene s({.order = {.recycle_unfinished = recycles}});
    const weir::stream stream = s.make_stream();
    one_at_a_time(s, stream, 60);
    const auto after = s.pool.statistics();
    if (recycles) {
      CHECK(after.reserved_peak <= 4 * most);
      CHECK(after.native.record == 0);
    } else {
      CHECK(after.reserved_peak > 6 * most);
    }
    CHECK(after.waits_inserted == 0);
  }
}

TEST_CASE("ahead of the device: a quarter is kept for reuse of what else would be") {
  scene s({.big_cache_share = 1});
  const weir::stream stream = s.make_stream();
  one_at_a_time(s, stream, 60);
  const auto after = s.pool.statistics();
  CHECK(after.free - after.cached <= most / 4);
}

TEST_CASE("ahead of the device: no other stream waits for it, and what it gave back is theirs when it has passed") {
  scene s;
  const weir::stream busy = s.make_stream(), other = s.make_stream();
  one_at_a_time(s, busy, 20);
  void* p = s.get(most, other);
  CHECK(s.pool.statistics().waits_inserted == 0);
  CHECK(s.pool.statistics().waits_fresh == 0);
  s.put(p, most, other);
  s.device->synchronize();
  const std::size_t reserved = s.pool.statistics().reserved;
  p = s.get(reserved - 32 * MiB, other);
  CHECK(s.pool.statistics().reserved == reserved);
  s.put(p, reserved - 32 * MiB, other);
}

// A raw handle is nobody's to touch but in the call that gives it. What was freed natively on it must be there to trim
// all the same: for who asks without a stream, and on another.
TEST_CASE("ahead of the device: what raw handles gave back makes room for others under a limit") {
  for (const bool is_direct : {true, false}) {
    INFO((is_direct ? "direct" : "another stream"));
    scene s({.bytes_max = 1 * GiB, .big_cache_share = 0});
    const stream_handle busy = s.device->create_stream(), other = s.device->create_stream();
    s.device->launch(busy, long_ns, {});
    for (int i = 0; i < 3; ++i)
      for (const std::size_t bytes : {260 * MiB, 200 * MiB, 240 * MiB}) {
        void* p = s.pool.allocate(bytes, raw_stream(busy));
        s.pool.deallocate(p, bytes, raw_stream(busy));
      }
    CHECK(s.pool.statistics().native.deallocate > 4);
    if (is_direct) {
      void* p = s.pool.allocate_direct(900 * MiB);
      s.pool.deallocate_direct(p);
    } else {
      void* p = s.pool.allocate(900 * MiB, raw_stream(other));
      s.pool.deallocate(p, raw_stream(other));
    }
  }
}

TEST_CASE("ahead of the device: another stream does not count on what is not done with, and gives back its own") {
  scene s({.big_cache_share = 0.3});
  const weir::stream busy = s.make_stream(), other = s.make_stream();
  void* theirs = s.get(96 * MiB, other);
  s.busy(busy);
  s.put(s.get(256 * MiB, busy), 256 * MiB, busy);
  void* small = s.get(least, busy);  // for which the large one goes back
  CHECK(s.pool.statistics().native.deallocate == 1);
  s.put(theirs, 96 * MiB, other);
  s.device->synchronize(other.handle());
  const std::size_t reserved = s.pool.statistics().reserved;
  theirs = s.get(112 * MiB, other);
  CHECK(s.pool.statistics().reserved <= reserved + 32 * MiB);
  s.put(theirs, 112 * MiB, other);
  s.put(small, least, busy);
}

TEST_CASE("ahead of the device: what others are at work with is not given back for it, and it waits for nobody") {
  for (const std::size_t theirs : {8 * MiB, 100 * MiB}) {  // in a region, and a block of its own
    scene s({.big_cache_share = 1});
    const weir::stream other = s.make_stream(), ahead = s.make_stream();
    void* p = s.get(theirs, other);
    void* q = s.get(40 * MiB, ahead);
    s.busy(other);
    s.busy(ahead);
    s.put(p, theirs, other);
    s.put(q, 40 * MiB, ahead);
    q = s.get(200 * MiB, ahead);
    CHECK(s.pool.statistics().native.deallocate == 1);
    CHECK(s.pool.statistics().waits_inserted == 0);
    s.put(q, 200 * MiB, ahead);
  }
}

TEST_CASE("ahead of the device: a trim gives all of it back once it has passed, whoever's stream it was") {
  scene s;
  const weir::stream first = s.make_stream(), second = s.make_stream();
  one_at_a_time(s, first, 10);
  one_at_a_time(s, second, 10);
  CHECK(must(s.pool.trim(0)).reserved_after > 0);
  s.device->synchronize();
  CHECK(must(s.pool.trim(0)).reserved_after == 0);
}

TEST_CASE("ahead of the device: the memory of a stream that is retired meanwhile is not lost") {
  scene s;
  {
    const weir::stream gone = s.make_stream();
    one_at_a_time(s, gone, 10);
    must(s.pool.retire(gone));
  }
  const weir::stream stays = s.make_stream();
  s.put(s.get(most, stays), most, stays);
  s.device->synchronize();
  CHECK(must(s.pool.trim(0)).reserved_after == 0);
}

TEST_CASE("ahead of the device: raw handles give back and take again as tokens do") {
  scene s;
  const stream_handle handle = s.device->create_stream();
  s.device->launch(handle, long_ns, {});
  for (unsigned i = 0; i < 60; ++i) {
    const std::size_t bytes = least + i * 7 % 12 * step;
    s.pool.deallocate(s.pool.allocate(bytes, raw_stream(handle)), raw_stream(handle));
  }
  CHECK(s.pool.statistics().reserved_peak <= 4 * most);
}

TEST_CASE("ahead of the device: under a limit all of it can be had, by whichever stream asks") {
  scene s({.bytes_max = 512 * MiB});
  const weir::stream busy = s.make_stream(), other = s.make_stream();
  one_at_a_time(s, busy, 20);
  void* p = s.get(480 * MiB, other);
  s.put(p, 480 * MiB, other);
  one_at_a_time(s, busy, 20);
  p = s.get(480 * MiB, busy);
  s.put(p, 480 * MiB, busy);
}

}  // namespace weir::test
