// SPDX-License-Identifier: Apache-2.0
//
// Giving memory back: trims and what they report, policies, defragmentation.
#include <array>

#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t small = 3000, medium = 12 * MiB, big = 64 * MiB;

void adds_up(const trim_report& r) {
  CHECK(r.reserved_after <= r.reserved_before);
  CHECK(r.kept_live + r.kept_pending + r.kept_partial + r.kept_free == r.reserved_after);
}

TEST_CASE("trim: after all is freed and passed, nothing stays") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  for (const std::size_t bytes : {small, medium, big}) {
    s.put(s.get(bytes, a), bytes, a);
    void* p = s.get(bytes, a);
    s.order(a, b);
    s.put(p, bytes, b);
  }
  s.device->synchronize();
  const auto r = must(s.pool.trim(0));
  CHECK(r.reserved_before > 0);
  CHECK(r.reserved_after == 0);
  adds_up(r);
  CHECK(s.pool.statistics().held == 0);
  CHECK(s.pool.statistics().reserved == 0);
  CHECK(s.pool.statistics().free == 0);
  CHECK(s.pool.statistics().cached == 0);
  CHECK(must(s.pool.backend().pool_bytes()).reserved == 0);
}

TEST_CASE("trim: it keeps what it is told to keep") {
  scene s;
  const weir::stream stream = s.make_stream();
  for (const std::size_t keep : {512 * MiB, 200 * MiB, 64 * MiB, 0 * MiB}) {
    std::array<void*, 6> blocks{};
    for (void*& p : blocks) p = s.get(big, stream);
    for (void* p : blocks) s.put(p, big, stream);
    s.device->synchronize();
    const auto r = must(s.pool.trim(keep));
    adds_up(r);
    CHECK(r.reserved_before >= 6 * big);
    CHECK(r.reserved_after <= keep);
    CHECK(r.reserved_after + 32 * MiB > std::min(keep, r.reserved_before));  // and gives back no more than it must
  }
}

TEST_CASE("trim: what is live stays and is reported so") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(small, stream);
  void* q = s.get(big, stream);
  s.put(s.get(2 * big, stream), 2 * big, stream);
  s.device->synchronize();
  const auto r = must(s.pool.trim(0));
  adds_up(r);
  CHECK(r.kept_live == 32 * MiB + big);
  CHECK(r.kept_pending == 0);
  CHECK(r.reserved_after == 32 * MiB + big);
  s.write(p, small, stream);
  s.write(q, big, stream);
  s.put(p, small, stream);
  s.put(q, big, stream);
}

TEST_CASE("trim: what was freed behind running work stays, and is reported pending, not live") {
  for (const std::size_t bytes : {small, medium, big}) {
    INFO(bytes);
    scene s;
    const weir::stream stream = s.make_stream();
    void* p = s.get(bytes, stream);
    s.busy(stream);
    s.put(p, bytes, stream);
    const auto r = must(s.pool.trim(0));
    adds_up(r);
    CHECK(r.reserved_after == r.reserved_before);
    CHECK(r.kept_pending == r.reserved_after);
    CHECK(r.kept_live == 0);
    s.device->advance(2 * long_ns);
    CHECK(must(s.pool.trim(0)).reserved_after == 0);
  }
}

TEST_CASE("trim: what waits for another stream stays, and is reported pending") {
  for (const std::size_t bytes : {medium, big}) {
    INFO(bytes);
    scene s;
    const weir::stream a = s.make_stream(), b = s.make_stream();
    void* p = s.get(bytes, a);
    s.order(a, b);
    s.busy(b);
    s.put(p, bytes, b);
    const auto r = must(s.pool.trim(0));
    adds_up(r);
    CHECK(r.kept_pending >= bytes);
    CHECK(r.reserved_after == r.reserved_before);
  }
}

TEST_CASE("trim: a chunk shared with a live block is reported as part of one") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(40 * MiB, stream);
  const auto r = must(s.pool.trim(0));
  adds_up(r);
  CHECK(r.kept_live == 40 * MiB);
  CHECK(r.kept_partial == 24 * MiB);
  s.put(p, 40 * MiB, stream);
}

TEST_CASE("trim: it never waits for the device") {
  scene s;
  const weir::stream a = s.make_stream();
  s.put(s.get(big, a), big, a);
  s.busy(a);
  must(s.pool.trim(0));
  must(s.pool.defragment());
  CHECK(s.device->now_ns() < long_ns);
}

TEST_CASE("policy: retain keeps everything, also at trim without an argument") {
  scene s({.trim = {retain()}});
  const weir::stream stream = s.make_stream();
  s.put(s.get(10 * big, stream), 10 * big, stream);
  s.device->synchronize();
  CHECK(must(s.pool.trim()).reserved_after == 10 * big);
}

TEST_CASE("policy: release_above gives memory back on the slow path, and at trim without an argument") {
  scene s({.trim = {release_above(4 * big)}});
  const weir::stream stream = s.make_stream();
  s.put(s.get(10 * big, stream), 10 * big, stream);
  s.device->synchronize();
  CHECK(s.pool.statistics().reserved == 10 * big);  // not on a free
  void* p = s.get(big, stream);                     // of another size: slow path
  CHECK(s.pool.statistics().reserved <= 4 * big);
  s.put(p, big, stream);
  void* q = s.get(8 * big, stream);
  s.put(q, 8 * big, stream);
  s.device->synchronize();
  const auto r = must(s.pool.trim());
  adds_up(r);
  CHECK(r.reserved_after <= 4 * big);
}

TEST_CASE("policy: release_above runs where a heap grew, too") {
  scene s({.trim = {release_above(64 * MiB)}});
  const weir::stream stream = s.make_stream();
  s.put(s.get(4 * big, stream), 4 * big, stream);
  s.device->synchronize();
  void* p = s.get(medium, stream);
  CHECK(s.pool.statistics().reserved <= 64 * MiB);
  s.put(p, medium, stream);
}

TEST_CASE("policy: release_above does nothing on a hit") {
  scene s({.trim = {release_above(0)}});
  const weir::stream stream = s.make_stream();
  void* stays = s.get(small, stream);
  s.put(s.get(small, stream), small, stream);
  const auto trims = s.device->calls().trim;
  for (int i = 0; i < 100; ++i) s.put(s.get(small, stream), small, stream);
  CHECK(s.device->calls().trim == trims);
  s.put(stays, small, stream);
}

TEST_CASE("policy: defragment_above brings free memory together on the slow path") {
  for (const bool with : {true, false}) {
    INFO((with ? "with" : "without"));
    pool_options options;
    if (with) options.trim = {defragment_above(0.1)};
    options.order.recycle = false;
    options.big_cache_share = 1;
    scene s(options);
    const weir::stream a = s.make_stream(), b = s.make_stream();
    std::array<void*, 6> blocks{};
    for (void*& p : blocks) p = s.get(big, a);
    for (void* p : blocks) s.put(p, big, a);
    s.device->synchronize();
    const double before = s.pool.statistics().fragmentation;
    CHECK(before > 0.5);
    s.get(2 * big, b);
    const auto after = s.pool.statistics();
    if (with)
      CHECK(after.free == 0);
    else
      CHECK(after.free == 6 * big);
  }
}

TEST_CASE("defragment: caches and pending blocks come together, and it says by how much") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  std::vector<void*> blocks;
  for (int i = 0; i < 80; ++i) blocks.push_back(s.get(MiB, a));
  void* stays = s.get(small, a);  // so that the region stays
  s.order(a, b);
  for (std::size_t i = 0; i < blocks.size(); ++i) s.put(blocks[i], MiB, i % 2 ? a : b);
  s.device->synchronize();
  const auto before = s.pool.statistics();
  REQUIRE(before.cached > 0);
  REQUIRE(before.pending > 0);
  const auto r = must(s.pool.defragment());
  const auto after = s.pool.statistics();
  CHECK(r.fragmentation_before == before.fragmentation);
  CHECK(r.fragmentation_after == after.fragmentation);
  CHECK(r.fragmentation_after < r.fragmentation_before);
  CHECK(r.largest_free_before == before.largest_free);
  CHECK(r.largest_free_after == after.largest_free);
  CHECK(r.merged == before.cached + before.pending);
  CHECK(after.cached == 0);
  CHECK(after.pending == 0);
  s.put(stays, small, a);
}

TEST_CASE("defragment: wholly free regions and blocks go back to the native pool, which keeps them") {
  scene s({.order = {.recycle = false}});
  const weir::stream stream = s.make_stream();
  s.put(s.get(medium, stream), medium, stream);
  s.put(s.get(big, stream), big, stream);
  s.device->synchronize();
  const auto r = must(s.pool.defragment());
  CHECK(r.gathered == 32 * MiB + big);
  CHECK(s.pool.statistics().held == 0);
  CHECK(s.pool.statistics().reserved == 32 * MiB + big);
}

TEST_CASE("defragment: a second one finds nothing to do") {
  scene s;
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : {small, medium, big}) s.put(s.get(bytes, stream), bytes, stream);
  s.device->synchronize();
  must(s.pool.defragment());
  const auto r = must(s.pool.defragment());
  CHECK(r.merged == 0);
  CHECK(r.gathered == 0);
  CHECK(r.fragmentation_after == r.fragmentation_before);
}

// The pool is told not to recycle before it grows, so that only defragment() does.
TEST_CASE("defragment: after it, what was in pieces serves as one block, and without it the pool grows") {
  for (const bool with : {true, false}) {
    INFO((with ? "with" : "without"));
    pool_options options{.big_cache_share = 1};
    options.order.recycle = false;
    scene s(options);
    const weir::stream stream = s.make_stream();
    std::array<void*, 8> blocks{};
    for (void*& p : blocks) p = s.get(big, stream);
    for (void* p : blocks) s.put(p, big, stream);
    s.device->synchronize();
    const std::size_t before = s.pool.statistics().reserved;
    if (with) {
      const auto r = must(s.pool.defragment());
      CHECK(r.gathered == 8 * big);
    }
    s.put(s.get(8 * big, stream), 8 * big, stream);
    CHECK(s.pool.statistics().reserved == (with ? before : 2 * before));
  }
}

TEST_CASE("defragment: blocks in caches become one range of their region, and without it the heap grows") {
  for (const bool with : {true, false}) {
    INFO((with ? "with" : "without"));
    scene s({.cache_bytes_max = 32 * MiB});
    const weir::stream stream = s.make_stream();
    std::vector<void*> blocks;
    void* stays = s.get(15 * MiB, stream);
    for (int i = 0; i < 16; ++i) blocks.push_back(s.get(MiB, stream));
    for (void* p : blocks) s.put(p, MiB, stream);
    REQUIRE(s.pool.statistics().held == 32 * MiB);
    REQUIRE(s.pool.statistics().cached > MiB);
    if (with) CHECK(must(s.pool.defragment()).largest_free_after >= 16 * MiB);
    const auto grown = s.pool.statistics().native.allocate;
    void* p = s.get(16 * MiB, stream);
    CHECK((s.pool.statistics().native.allocate == grown) == with);
    s.put(p, 16 * MiB, stream);
    s.put(stays, 15 * MiB, stream);
  }
}

TEST_CASE("defragment: live blocks never move and their neighbours stay theirs") {
  scene s;
  const weir::stream stream = s.make_stream();
  std::vector<void*> live;
  for (int i = 0; i < 40; ++i) {
    live.push_back(s.get(small, stream));
    s.put(s.get(40 * KiB, stream), 40 * KiB, stream);
    live.push_back(s.get(MiB, stream));
  }
  must(s.pool.defragment());
  must(s.pool.trim(0));
  for (std::size_t i = 0; i < live.size(); ++i) s.put(live[i], i % 2 ? MiB : small, stream);
  CHECK(s.pool.statistics().allocated == 0);
}

TEST_CASE("trim: memory used by raw handles is reported pending until their streams are met again") {
  scene s;
  const raw_stream raw = s.device->create_stream();
  void* p = s.pool.allocate(medium, raw);
  s.pool.deallocate(p, raw);
  s.device->synchronize();
  const auto r = must(s.pool.trim(0));
  adds_up(r);
  CHECK(r.kept_live == 0);
  CHECK(r.kept_pending == r.reserved_after);
  must(s.pool.retire(raw));
  CHECK(must(s.pool.trim(0)).reserved_after == 0);
}

TEST_CASE("trim: a raw handle's stream is looked at where the call names it") {
  scene s;
  const raw_stream raw = s.device->create_stream(), other = s.device->create_stream();
  void* p = s.pool.allocate(medium, raw);
  s.device->launch(raw.handle(), long_ns, {{p, medium}});
  s.pool.deallocate(p, raw);
  CHECK(must(s.pool.trim(0, raw)).reserved_after > 0);  // its work goes on
  s.device->synchronize(raw.handle());
  CHECK(must(s.pool.trim(0, other)).reserved_after > 0);
  const auto r = must(s.pool.trim(0, raw));
  adds_up(r);
  CHECK(r.reserved_after == 0);
}

TEST_CASE("trim: after a wait for the device nothing stays for running work, whoever's stream that is") {
  scene s;
  const raw_stream raw = s.device->create_stream();
  void* p = s.pool.allocate(medium, raw);
  void* q = s.pool.allocate(300 * MiB, raw);
  s.device->launch(raw.handle(), 1'000'000, {{p, medium}, {q, 300 * MiB}});
  s.pool.deallocate(p, raw);
  s.pool.deallocate(q, raw);
  CHECK(must(s.pool.trim(0)).kept_pending > 0);
  const auto r = must(s.pool.synchronize_and_trim(0));
  adds_up(r);
  CHECK(r.reserved_after == 0);
}

}  // namespace
}  // namespace weir::test
