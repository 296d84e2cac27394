// SPDX-License-Identifier: Apache-2.0
//
// What policies promise holds for what waits in the caches of other threads, too; and those are not disturbed for
// nothing.
#include <array>
#include <chrono>

#include "pool/pool_impl.hpp"
#include "scene.hpp"
#include "worker.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t small = 3000, medium = 12 * MiB, big = 64 * MiB;
constexpr std::uint64_t second_ns = 1'000'000'000;

// What goes, went by policy: the pool gives back nothing before it grows, and keeps every big block.
pool_options keeping(std::vector<trim_policy> policies) {
  return {.trim = std::move(policies), .order = {.recycle = false}, .big_cache_share = 1};
}

void tick(const weir::stream& of_pool) { of_pool.state()->owner.load()->tick(); }

std::size_t reserved(const scene& s) { return s.pool.statistics().reserved; }
std::size_t cached_large(const scene& s) { return s.pool.statistics().cached_large; }

// Blocks that are live at once and then free, in the cache of the thread that does this.
void use(scene& s, const weir::stream& stream, std::size_t count, std::size_t bytes) {
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < count; ++i) blocks.push_back(s.get(bytes, stream));
  for (void* p : blocks) s.put(p, bytes, stream);
  s.device->synchronize();
}

// A miss that grows the pool, and stays.
void* miss(scene& s, const weir::stream& stream) { return s.get(17 * MiB, stream); }

TEST_CASE("cached elsewhere: each policy gives it back, on demand and in a tick") {
  for (const trim_policy& policy : {release_above(0), watermark(0, big), decay(1s), idle(1s), on_pressure(140 * GiB)})
    for (const std::size_t bytes : {medium, big})
      for (const bool in_tick : {true, false}) {
        INFO("rule " << static_cast<int>(policy.kind) << ", " << bytes << " bytes" << (in_tick ? ", in a tick" : ""));
        scene s(keeping({policy}));
        const weir::stream stream = s.make_stream();
        const auto run = [&] { in_tick ? tick(stream) : static_cast<void>(must(s.pool.trim())); };
        worker other;
        other.run([&] { use(s, stream, 8, bytes); });
        REQUIRE(cached_large(s) == 8 * bytes);
        run();
        s.device->advance(20 * second_ns);
        run();
        CHECK(reserved(s) == 0);
      }
}

TEST_CASE("cached elsewhere: it has decayed since the first run, not since somebody needed it") {
  scene s(keeping({decay(1s)}));
  const weir::stream stream = s.make_stream();
  worker other;
  other.run([&] { use(s, stream, 16, big); });
  tick(stream);
  for (const std::size_t left : {8, 4, 2}) {
    s.device->advance(second_ns);
    tick(stream);
    CHECK(reserved(s) == left * big);
  }
}

TEST_CASE("cached elsewhere: it decays on the slow path alone") {
  scene s(keeping({decay(1s)}));
  const weir::stream stream = s.make_stream();
  const std::array<weir::stream, 2> mine{s.make_stream(), s.make_stream()};
  worker other;
  other.run([&] { use(s, stream, 16, big); });
  for (std::size_t i = 0; i <= 16; ++i) {  // a miss each time: the other stream freed the block
    use(s, mine[i % 2], 1, 32 * MiB);
    s.device->advance(second_ns / 16);
  }
  CHECK(reserved(s) >= 8 * big);
  CHECK(reserved(s) <= 9 * big);
}

TEST_CASE("cached elsewhere: past the soft limit it goes, and makes room for a direct allocation") {
  for (const bool direct : {true, false}) {
    unsigned told = 0;
    scene s({.soft_bytes_max = 4 * big, .on_soft_limit = [&](auto, auto) { ++told; }, .big_cache_share = 1});
    const weir::stream stream = s.make_stream(), mine = s.make_stream();
    worker other;
    other.run([&] { use(s, stream, 4, big); });
    void* p = direct ? s.pool.allocate_direct(big) : s.get(2 * big, mine);
    CHECK(told == 0);
    CHECK(reserved(s) <= (direct ? 3 * big : 4 * big));
    direct ? s.pool.deallocate_direct(p) : s.put(p, 2 * big, mine);
  }
}

TEST_CASE("cached elsewhere: defragment_above sees it") {
  scene s(keeping({defragment_above(0.5)}));
  const weir::stream stream = s.make_stream();
  worker other;
  other.run([&] { use(s, stream, 8, big); });
  REQUIRE(s.pool.statistics().fragmentation > 0.5);
  tick(stream);
  CHECK(s.pool.statistics().held == 0);
}

TEST_CASE("cached elsewhere: the slow path disturbs other threads every ten milliseconds at most") {
  scene s(keeping({release_above(0)}));
  const weir::stream stream = s.make_stream(), mine = s.make_stream();
  worker other;
  other.run([&] { use(s, stream, 1, big); });
  s.device->advance(second_ns);
  std::vector<void*> live{miss(s, mine)};
  CHECK(cached_large(s) == 0);
  other.run([&] { use(s, stream, 1, big); });
  for (int i = 0; i < 3; ++i) live.push_back(miss(s, mine));
  CHECK(cached_large(s) == big);
  s.device->advance(second_ns / 100);
  live.push_back(miss(s, mine));
  CHECK(cached_large(s) == 0);
  for (void* p : live) s.put(p, 17 * MiB, mine);
}

TEST_CASE("cached elsewhere: a report of a trim calls it free, though nothing is to be given back") {
  for (const bool by_policy : {true, false}) {
    scene s;
    const weir::stream stream = s.make_stream();
    worker other;
    other.run([&] { use(s, stream, 4, big); });
    const auto r = must(by_policy ? s.pool.trim() : s.pool.trim(GiB));
    CHECK(r.kept_free + r.kept_pending == 4 * big);
    CHECK(r.kept_live == 0);
    CHECK(r.reserved_after == 4 * big);
  }
}

TEST_CASE("largest free: a cached block above 1 MiB is a range, a small one is not") {
  scene s;
  const weir::stream stream = s.make_stream();
  s.put(s.get(big, stream), big, stream);
  REQUIRE(cached_large(s) == big);
  CHECK(s.pool.statistics().largest_free == big);
  CHECK(s.pool.statistics().fragmentation == 0);
}

TEST_CASE("idle: a thread at work keeps the blocks it uses, and its small ones stay with it") {
  scene s(keeping({idle(1s)}));
  const weir::stream stream = s.make_stream();
  worker other;
  void* used = nullptr;
  std::size_t cached = 0;
  other.run([&] {
    use(s, stream, 20, small);
    use(s, stream, 6, big);
    used = s.get(big, stream);
    s.put(used, big, stream);
    cached = s.pool.statistics().cached - cached_large(s);
  });
  REQUIRE(cached > 0);
  for (int i = 0; i < 20; ++i) {
    tick(stream);
    s.device->advance(second_ns / 5);
    other.run([&] {
      void* p = s.get(big, stream);
      CHECK(p == used);  // kept by the run that took it back, and found there
      s.put(p, big, stream);
      s.put(s.get(small, stream), small, stream);
    });
    CHECK(s.pool.statistics().cached - cached_large(s) == cached);
    if (i < 4) CHECK(reserved(s) == 6 * big + 32 * MiB);
  }
  CHECK(reserved(s) == big + 32 * MiB);
}

TEST_CASE("policies: a stream that is never idle when they run gives back too, for one event each time it was used") {
  scene s(keeping({release_above(0)}));
  const weir::stream stream = s.make_stream();
  use(s, stream, 1, big);
  s.busy(stream);
  s.put(s.get(big, stream), big, stream);
  const auto records = s.device->calls().record;
  for (int i = 0; i < 5; ++i) tick(stream);
  CHECK(s.device->calls().record == records + 1);
  CHECK(reserved(s) == big);
  s.device->advance(2 * long_ns);
  s.busy(stream);
  tick(stream);
  CHECK(reserved(s) == 0);
}

}  // namespace
}  // namespace weir::test
