// SPDX-License-Identifier: Apache-2.0
//
// The numbers: they fit each other, the user's account, and what a walk finds.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t small = 3000, medium = 12 * MiB, big = 64 * MiB;

std::uint64_t sum(const served_counts& s) {
  return s.cache + s.heap + s.big_cache + s.other_passed + s.native + s.other_waited + s.direct;
}

void fit_each_other(const weir::pool& pool) {
  const auto s = pool.statistics();
  CHECK(s.allocated + s.free == s.held + s.direct);
  CHECK(s.reserved >= s.held);
  CHECK(s.cached + s.pending <= s.free);
  CHECK(s.largest_free <= s.free);
  CHECK(s.fragmentation >= 0);
  CHECK(s.fragmentation <= 1);
  CHECK(s.live_count == s.allocations - s.deallocations);
  CHECK(sum(s.served) == s.allocations);
  CHECK(s.allocated_peak >= s.allocated);
  CHECK(s.held_peak >= s.held);
  CHECK(s.reserved_peak >= s.reserved);
  CHECK(s.native.allocate >= s.native.grow);
  std::size_t in_streams = 0, cached = 0, pending = 0, cached_by_class = 0;
  for (const stream_statistics& of : s.streams) {
    CHECK(of.free + of.pending + of.cached <= of.held + s.cached);
    in_streams += of.held;
    cached += of.cached;
    pending += of.pending;
  }
  for (const class_statistics& of : s.classes) cached_by_class += of.cached_count * of.bytes;
  CHECK(in_streams <= s.held);
  CHECK(cached == s.cached);
  CHECK(cached_by_class + s.cached_large == s.cached);
  CHECK(pending <= s.pending);
}

// Every held byte at most once; those that no block can have, at margins, few.
void walk_fits(const weir::pool& pool) {
  const auto s = pool.statistics();
  live_ranges seen;
  std::size_t live = 0, cached = 0, other = 0, direct = 0;
  std::uint64_t live_count = 0;
  bool overlapping = false;
  pool.walk([&](const block_info& b) {
    if (!seen.add(b.pointer, b.bytes)) overlapping = true;
    if (b.direct) direct += b.bytes;
    if (b.state == block_state::live) live += b.bytes, ++live_count;
    if (b.state == block_state::cached) cached += b.bytes;
    if (b.state == block_state::free || b.state == block_state::pending) other += b.bytes;
  });
  CHECK_FALSE(overlapping);
  CHECK(live == s.allocated);
  CHECK(live_count == s.live_count);
  CHECK(direct == s.direct);
  CHECK(cached == s.cached);
  CHECK(live - direct + cached + other <= s.held);
  CHECK(live - direct + cached + other + s.held / 16 >= s.held);
}

TEST_CASE("statistics: after every step of a random program the numbers and the walk fit each other") {
  scene s({.bytes_max = 1 * GiB});
  std::mt19937 random(5);
  std::uniform_real_distribution<double> exponent(6, 27);
  std::vector<weir::stream> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(s.make_stream());
  struct block {
    void* begin;
    std::size_t bytes;
    bool direct;
  };
  std::vector<block> blocks;
  std::uint64_t allocations = 0, deallocations = 0, failures = 0;
  for (int i = 0; i < 600; ++i) {
    const weir::stream& on = streams[random() % streams.size()];
    if (!blocks.empty() && random() % 5 < 2) {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      for (const weir::stream& each : streams) s.order(each, on);
      s.put(blocks.back().begin, blocks.back().bytes, on);
      blocks.pop_back();
      ++deallocations;
    } else {
      const auto bytes = static_cast<std::size_t>(std::exp2(exponent(random)));
      const bool direct = random() % 20 == 0;
      auto p = direct ? s.pool.try_allocate_direct(bytes) : s.pool.try_allocate(bytes, on);
      ++(p ? allocations : failures);
      if (p) {
        s.write(*p, bytes, on);
        blocks.push_back({*p, bytes, direct});
      }
    }
    if (random() % 50 == 0) must(s.pool.defragment());
    fit_each_other(s.pool);
    walk_fits(s.pool);
    const auto now = s.pool.statistics();
    REQUIRE(now.allocations == allocations);
    REQUIRE(now.deallocations == deallocations);
    REQUIRE(now.failures == failures);
    REQUIRE(now.live_count == blocks.size());
    const std::size_t asked = std::accumulate(blocks.begin(), blocks.end(), std::size_t{0},
                                              [](std::size_t n, const block& b) { return n + b.bytes; });
    REQUIRE(now.allocated >= asked);
    REQUIRE(now.allocated <= asked + asked / 8 + (2 * blocks.size() + 2) * 16 * KiB + now.held / 8);
    REQUIRE(now.reserved == must(s.pool.backend().pool_bytes()).reserved);
    REQUIRE(now.held == must(s.pool.backend().pool_bytes()).used);
  }
  CHECK(failures > 0);
  CHECK(s.pool.statistics().served.cache > 0);
}

TEST_CASE("statistics: each allocation is counted where it was served") {
  scene s({.bytes_max = 256 * MiB});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  const auto served = [&] { return s.pool.statistics().served; };
  void* p = s.get(small, a);
  CHECK(served().native == 1);
  void* q = s.get(small, a);
  CHECK(served().cache == 1);
  void* r = s.get(medium, a);
  CHECK(served().heap == 1);
  void* t = s.get(big, a);
  CHECK(served().native == 2);
  s.put(t, big, a);
  t = s.get(big, a);
  CHECK(served().cache == 2);
  s.put(t, big, a);
  s.device->synchronize();
  t = s.get(big, b);
  CHECK(served().big_cache + served().other_passed == 1);
  void* d = s.pool.allocate_direct(small);
  CHECK(served().direct == 1);
  s.busy(b);
  s.put(t, big, b);
  t = s.get(3 * big, a);
  const auto end = s.pool.statistics();
  CHECK(sum(end.served) == end.allocations);
  CHECK(end.allocations == 8);
  CHECK(end.cached_rate() == 2.0 / 8);
  CHECK(end.hit_rate() == 1 - static_cast<double>(end.served.native + end.served.direct) / 8);
  s.put(p, small, a);
  s.put(q, small, a);
  s.put(r, medium, a);
  s.put(t, 3 * big, a);
  s.pool.deallocate_direct(d);
}

TEST_CASE("statistics: rates of a pool that served nothing are 0") {
  scene s;
  CHECK(s.pool.statistics().cached_rate() == 0);
  CHECK(s.pool.statistics().hit_rate() == 0);
  CHECK(s.pool.statistics().fragmentation == 0);
}

TEST_CASE("statistics: classes count live and cached blocks") {
  scene s;
  const weir::stream stream = s.make_stream();
  std::vector<void*> blocks;
  for (int i = 0; i < 5; ++i) blocks.push_back(s.get(512, stream));
  void* other = s.get(MiB, stream);
  s.put(blocks.back(), 512, stream);
  for (const class_statistics& c : s.pool.statistics().classes) {
    INFO(c.bytes);
    CHECK(c.live_count == (c.bytes == 512 ? 4u : c.bytes == MiB ? 1u : 0u));
    if (c.bytes != 512 && c.bytes != MiB) CHECK(c.cached_count == 0);
    if (c.bytes == 512) CHECK(c.cached_count >= 1);
  }
  CHECK(s.pool.statistics().classes.size() == 80);
  s.put(other, MiB, stream);
  blocks.pop_back();
  for (void* p : blocks) s.put(p, 512, stream);
}

TEST_CASE("statistics: streams have what is theirs") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* p = s.get(medium, a);
  void* q = s.get(medium, a);
  s.order(a, b);
  s.busy(b);
  s.put(p, medium, b);
  s.put(s.get(small, b), small, b);
  for (const stream_statistics& of : s.pool.statistics().streams) {
    if (of.id == a.id()) {
      CHECK(of.held == 32 * MiB);
      CHECK(of.pending == medium);
      CHECK(of.free == 8 * MiB);
      CHECK(of.cached == 0);
    } else {
      CHECK(of.id == b.id());
      CHECK(of.pending == 0);
      CHECK(of.cached > 0);
    }
    CHECK_FALSE(of.retired);
  }
  s.put(q, medium, a);
}

TEST_CASE("statistics: peaks stay when memory goes") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(4 * big, stream);
  s.put(p, 4 * big, stream);
  s.device->synchronize();
  must(s.pool.trim(0));
  const auto end = s.pool.statistics();
  CHECK(end.held == 0);
  CHECK(end.allocated_peak == 4 * big);
  CHECK(end.held_peak == 4 * big);
  CHECK(end.reserved_peak == 4 * big);
}

TEST_CASE("statistics: native calls are those the device saw") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  for (int i = 0; i < 20; ++i)
    for (const std::size_t bytes : {small, medium, big, big + 20 * MiB * static_cast<std::size_t>(i)}) {
      void* p = s.get(bytes, a);
      s.order(a, b);
      s.put(p, bytes, b);
    }
  must(s.pool.trim(0));
  const auto ours = s.pool.statistics().native;
  const auto seen = s.device->calls();
  CHECK(ours.allocate == seen.allocate);
  CHECK(ours.deallocate == seen.deallocate);
  CHECK(ours.grow == seen.grow);
  CHECK(ours.trim == seen.trim);
  CHECK(ours.record == seen.record);
  CHECK(ours.query == seen.query);
  CHECK(ours.wait == seen.wait);
  CHECK(ours.synchronize == seen.synchronize);
}

TEST_CASE("walk: an aligned big block lies inside its native allocation") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(40 * MiB + 512, stream);
  void* q = s.get(20 * MiB, stream, 64 * MiB);
  void* r = s.get(40 * MiB, stream);
  live_ranges seen;
  bool overlapping = false, found = false;
  std::size_t bytes = 0;
  s.pool.walk([&](const block_info& b) {
    if (!seen.add(b.pointer, b.bytes)) overlapping = true;
    if (b.pointer == q && b.state == block_state::live && b.bytes >= 20 * MiB) found = true;
    bytes += b.bytes;
  });
  CHECK_FALSE(overlapping);
  CHECK(found);
  CHECK(bytes == s.pool.statistics().held);
  s.put(p, 40 * MiB + 512, stream);
  s.put(q, 20 * MiB, stream);
  s.put(r, 40 * MiB, stream);
}

}  // namespace
}  // namespace weir::test
