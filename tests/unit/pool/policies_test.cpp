// SPDX-License-Identifier: Apache-2.0
//
// What each trim policy promises, in virtual time: on the slow path, on demand and in a tick of the background thread.
#include <array>
#include <chrono>
#include <set>

#include "pool/pool_impl.hpp"
#include "scene.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t small = 3000, medium = 12 * MiB, big = 64 * MiB;

std::uint64_t ns(std::chrono::nanoseconds time) { return static_cast<std::uint64_t>(time.count()); }

// Keeps every big block, so that what goes went by policy.
pool_options keeping(std::vector<trim_policy> policies) { return {.trim = std::move(policies), .big_cache_share = 1}; }

void tick(const weir::stream& of_pool) { of_pool.state()->owner.load()->tick(); }

// Time passes, and the background thread ticks.
void pass(scene& s, const weir::stream& of_pool, std::chrono::nanoseconds time, const auto& meanwhile) {
  for (std::chrono::nanoseconds at{0}; at < time; at += 50ms) {
    s.device->advance(ns(50ms));
    meanwhile();
    tick(of_pool);
  }
}
void pass(scene& s, const weir::stream& of_pool, std::chrono::nanoseconds time) {
  pass(s, of_pool, time, [] {});
}

// Blocks that are live at once and then free.
void use(scene& s, const weir::stream& stream, std::size_t count, std::size_t bytes) {
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < count; ++i) blocks.push_back(s.get(bytes, stream));
  for (void* p : blocks) s.put(p, bytes, stream);
  s.device->synchronize();
}

std::size_t reserved(const scene& s) { return s.pool.statistics().reserved; }

// A miss that needs nothing native once it has been here: the other stream freed the block, which nobody has looked at.
void pass_slow_path(scene& s, const weir::stream& a, const weir::stream& b) {
  for (const weir::stream& stream : {a, b}) {
    s.put(s.get(32 * MiB, stream), 32 * MiB, stream);
    s.device->synchronize();
  }
}

TEST_CASE("watermark: above the high mark it goes down to the low one, and below nothing happens") {
  scene s(keeping({watermark(4 * big, 8 * big)}));
  const weir::stream stream = s.make_stream();
  use(s, stream, 8, big);
  CHECK(reserved(s) == 8 * big);
  must(s.pool.trim());
  CHECK(reserved(s) == 8 * big);
  CHECK(s.device->calls().trim == 0);
  use(s, stream, 9, big);
  CHECK(reserved(s) == 9 * big);  // a free is no slow path
  const auto r = must(s.pool.trim());
  CHECK(r.reserved_before == 9 * big);
  CHECK(r.reserved_after == 4 * big);
  CHECK(r.kept_free == 4 * big);
  CHECK(r.kept_live + r.kept_pending + r.kept_partial == 0);
}

TEST_CASE("watermark: on the slow path, too") {
  scene s(keeping({watermark(4 * big, 8 * big)}));
  const weir::stream stream = s.make_stream();
  use(s, stream, 10, big);
  void* p = s.get(medium, stream);
  CHECK(reserved(s) == 4 * big);
  s.put(p, medium, stream);
}

TEST_CASE("watermark: the blocks freed last stay") {
  scene s(keeping({watermark(2 * big, 2 * big)}));
  const weir::stream stream = s.make_stream();
  std::array<void*, 8> blocks{};
  for (void*& p : blocks) p = s.get(big, stream);
  for (void* p : blocks) s.put(p, big, stream);
  s.device->synchronize();
  must(s.pool.trim());
  CHECK(reserved(s) == 2 * big);
  void* p = s.get(big, stream);
  void* q = s.get(big, stream);
  CHECK(std::set{p, q} == std::set{blocks[6], blocks[7]});
  s.put(p, big, stream);
  s.put(q, big, stream);
}

TEST_CASE("watermark: what is live is not counted away, and the slow path does not ask for it again and again") {
  scene s(keeping({watermark(0, big)}));
  const weir::stream stream = s.make_stream();
  std::vector<void*> blocks;
  for (int i = 0; i < 20; ++i) blocks.push_back(s.get(big, stream));
  CHECK(reserved(s) == 20 * big);
  CHECK(s.device->calls().trim == 0);
  for (void* p : blocks) s.put(p, big, stream);
}

TEST_CASE("decay: what is free halves every half life, on demand") {
  scene s(keeping({decay(1s)}));
  const weir::stream stream = s.make_stream();
  void* live = s.get(big, stream);
  use(s, stream, 16, big);
  must(s.pool.trim());
  CHECK(reserved(s) == 17 * big);
  for (const std::size_t left : {8, 4, 2, 1}) {
    s.device->advance(ns(1s));
    must(s.pool.trim());
    CHECK(reserved(s) == (left + 1) * big);
  }
  s.device->advance(ns(3s));
  must(s.pool.trim());
  CHECK(reserved(s) == big);
  s.put(live, big, stream);
}

TEST_CASE("decay: on the slow path alone") {
  scene s(keeping({decay(1s)}));
  const weir::stream a = s.make_stream(), b = s.make_stream();
  use(s, a, 16, big);
  pass_slow_path(s, a, b);
  for (int i = 0; i < 8; ++i) {
    s.device->advance(ns(125ms));
    pass_slow_path(s, a, b);
  }
  CHECK(reserved(s) >= 8 * big);
  CHECK(reserved(s) <= 9 * big);
}

// They go home from the thread's cache in the first quarter of a second, and are halved from then on.
TEST_CASE("decay: in ticks, and hits do not stop it") {
  scene s(keeping({decay(1s)}));
  const weir::stream stream = s.make_stream();
  use(s, stream, 16, big);
  pass(s, stream, 2s, [&] { use(s, stream, 1, big); });
  CHECK(reserved(s) >= 4 * big);
  CHECK(reserved(s) <= 6 * big);
}

TEST_CASE("idle: kept blocks go when nobody took them for the time, and not before") {
  scene s(keeping({idle(1s)}));
  const weir::stream stream = s.make_stream();
  use(s, stream, 6, big);
  pass(s, stream, 600ms);
  use(s, stream, 2, big);
  pass(s, stream, 350ms);
  CHECK(reserved(s) == 6 * big);
  pass(s, stream, 600ms);
  CHECK(reserved(s) == 2 * big);
  pass(s, stream, 450ms);
  CHECK(reserved(s) == 0);
}

TEST_CASE("idle: wholly free regions go, those in use stay") {
  scene s(keeping({idle(1s)}));
  const weir::stream busy = s.make_stream(), quiet = s.make_stream();
  std::vector<void*> blocks;
  for (int i = 0; i < 12; ++i) blocks.push_back(s.get(medium, i < 6 ? busy : quiet));
  for (std::size_t i = 0; i < 12; ++i) s.put(blocks[i], medium, i < 6 ? busy : quiet);
  s.device->synchronize();
  void* live = s.get(medium, quiet);
  const std::size_t before = reserved(s);
  REQUIRE(before == 6 * 32 * MiB);
  const auto work = [&] { use(s, busy, 6, medium); };
  pass(s, busy, 950ms, work);
  CHECK(reserved(s) == before);
  pass(s, busy, 500ms, work);
  CHECK(reserved(s) == before - 2 * 32 * MiB);
  s.put(live, medium, quiet);
}

TEST_CASE("idle: what the caches of a quiet stream hold goes home, and then away; a busy one keeps its own") {
  pool_options options = keeping({idle(1s)});
  options.order = {.other_streams_passed = false, .recycle = false};  // so that each has a region
  scene s(options);
  const weir::stream busy = s.make_stream(), quiet = s.make_stream();
  for (const weir::stream& stream : {busy, quiet}) use(s, stream, 20, small);
  const std::size_t cached = s.pool.statistics().cached;
  REQUIRE(cached > 0);
  REQUIRE(reserved(s) == 2 * 32 * MiB);
  const auto work = [&] { s.put(s.get(small, busy), small, busy); };
  pass(s, busy, 900ms, work);
  CHECK(reserved(s) == 2 * 32 * MiB);
  CHECK(quiet.state()->caches.size() == 1);
  pass(s, busy, 250ms, work);
  CHECK(quiet.state()->caches.empty());
  CHECK(busy.state()->caches.size() == 1);
  CHECK(s.pool.statistics().cached == cached / 2);
  CHECK(reserved(s) == 2 * 32 * MiB);  // the region is idle from now on
  pass(s, busy, 1100ms, work);
  CHECK(reserved(s) == 32 * MiB);
}

TEST_CASE("idle: native memory that nobody used for the time goes; what was used in between stays") {
  scene s({.trim = {idle(1s)}, .big_cache_share = 0});
  const weir::stream stream = s.make_stream();
  use(s, stream, 8, big);
  must(s.pool.defragment());  // all of it is free natively
  REQUIRE(s.pool.statistics().held == 0);
  REQUIRE(reserved(s) == 8 * big);
  tick(stream);
  s.device->advance(ns(500ms));
  use(s, stream, 3, big);
  must(s.pool.defragment());
  tick(stream);
  CHECK(reserved(s) == 8 * big);
  s.device->advance(ns(600ms));
  tick(stream);
  CHECK(reserved(s) == 3 * big);
  s.device->advance(ns(1100ms));
  tick(stream);
  CHECK(reserved(s) == 0);
}

TEST_CASE("idle: work that is still running keeps its blocks") {
  for (const std::size_t bytes : {medium, big}) {
    scene s(keeping({idle(1s)}));
    const weir::stream stream = s.make_stream();
    void* p = s.get(bytes, stream);
    s.busy(stream, ns(10s));
    s.put(p, bytes, stream);
    const std::size_t held = s.pool.statistics().held;
    for (int i = 0; i < 5; ++i) {
      tick(stream);
      s.device->advance(ns(1s));
    }
    CHECK(s.pool.statistics().held == held);
    CHECK(reserved(s) == held);
    s.device->advance(ns(10s));
    pass(s, stream, 1s);
    CHECK(reserved(s) == 0);
  }
}

TEST_CASE("pressure policy: when the device runs short, everything free goes, soon, on the slow path") {
  scene s(keeping({on_pressure(2 * GiB)}), {.bytes_total = 8 * GiB});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  use(s, a, 16, big);
  pass_slow_path(s, a, b);
  s.device->advance(ns(20ms));
  pass_slow_path(s, a, b);
  CHECK(reserved(s) >= GiB);
  s.device->set_neighbour_bytes(6 * GiB);
  s.device->advance(ns(20ms));
  pass_slow_path(s, a, b);
  CHECK(reserved(s) == 32 * MiB);
}

TEST_CASE("pressure policy: on demand at once, and the device is asked every ten milliseconds at most") {
  sim::options what{.bytes_total = 8 * GiB};
  what.costs = {.reuse_ns = 0, .deallocate_ns = 0, .grow_ns_per_mib = 0, .memory_ns = ns(1ms)};
  scene s(keeping({on_pressure(2 * GiB), release_above(8 * GiB)}), what);
  const weir::stream stream = s.make_stream();
  std::vector<void*> blocks;
  for (int i = 0; i < 30; ++i) blocks.push_back(s.get(big, stream));
  CHECK(s.device->now_ns() > ns(1ms));  // a question
  CHECK(s.device->now_ns() < ns(2ms));
  s.device->advance(ns(10ms));
  for (int i = 0; i < 5; ++i) blocks.push_back(s.get(big, stream));
  CHECK(s.device->now_ns() > ns(12ms));
  CHECK(s.device->now_ns() < ns(13ms));
  for (void* p : blocks) s.put(p, big, stream);
  s.device->synchronize();
  s.device->set_neighbour_bytes(5 * GiB);
  CHECK(must(s.pool.trim()).reserved_after == 0);
}

TEST_CASE("policies: on a hit none runs, whatever time has passed") {
  scene s(keeping({decay(1ms), idle(1ms), on_pressure(140 * GiB), release_above(0), defragment_above(0)}));
  const weir::stream stream = s.make_stream();
  use(s, stream, 4, big);
  use(s, stream, 4, small);
  s.device->advance(ns(10s));
  const auto before = s.device->calls();
  for (int i = 0; i < 100; ++i) {
    s.put(s.get(small, stream), small, stream);
    s.device->advance(ns(1s));
  }
  CHECK(s.device->calls().trim == before.trim);
  CHECK(s.device->calls().deallocate == before.deallocate);
}

// The device has no room for both blocks. So the first, on whose last use a stream still works, is given back natively
// behind that work, and the second is cut from it: the reservoir's own stream has now to wait.
TEST_CASE("policies: no run waits for the device, not where pressure made the reservoir's stream wait") {
  pool_options options = keeping({release_above(0)});
  options.order.other_streams_wait = false;
  scene s(options, {.bytes_total = 3 * big});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* p = s.get(2 * big, a);
  s.busy(a);
  s.put(p, 2 * big, a);
  void* q = s.get(3 * big / 2, b);
  REQUIRE(s.pool.statistics().pressure_events == 1);
  REQUIRE(s.device->now_ns() < long_ns / 2);
  must(s.pool.trim());
  must(s.pool.trim(0));
  tick(a);
  CHECK(s.device->now_ns() < long_ns / 2);
  s.put(q, 3 * big / 2, b);
}

TEST_CASE("idle: a stream that only its own calls may touch is idle no sooner") {
  scene s(keeping({idle(1s)}));
  const raw_stream raw = s.device->create_stream();
  const weir::stream other = s.make_stream();
  const auto use_raw = [&] {
    s.pool.deallocate(s.pool.allocate(medium, raw), raw);
    s.device->synchronize();
  };
  use_raw();
  pass(s, other, 600ms);
  use_raw();
  pass(s, other, 950ms);
  CHECK(reserved(s) == 32 * MiB);
  must(s.pool.retire(raw));
  pass(s, other, 1300ms);
  CHECK(reserved(s) == 0);
}

TEST_CASE("policies: what another stream freed goes too, once that is done, though nobody asks for memory any more") {
  for (const trim_policy& policy : {decay(1s), idle(1s)}) {
    INFO("rule " << static_cast<int>(policy.kind));
    scene s({.trim = {policy}});
    const weir::stream from = s.make_stream(), to = s.make_stream();
    std::vector<void*> blocks;
    for (int i = 0; i < 20; ++i) blocks.push_back(s.get(3 * MiB, from));
    s.order(from, to);
    for (void* p : blocks) s.put(p, 3 * MiB, to);
    s.device->synchronize();
    for (int i = 0; i < 4; ++i) {
      s.device->advance(ns(20s));
      must(s.pool.trim());
    }
    CHECK(s.pool.statistics().reserved == 0);
  }
}

TEST_CASE("policies: together each still has its way") {
  scene s(keeping({release_above(12 * big), decay(1s), idle(5s)}));
  const weir::stream stream = s.make_stream();
  use(s, stream, 16, big);
  must(s.pool.trim());
  CHECK(reserved(s) == 12 * big);
  s.device->advance(ns(1s));
  must(s.pool.trim());
  CHECK(reserved(s) == 6 * big);
  s.device->advance(ns(4500ms));
  must(s.pool.trim());
  CHECK(reserved(s) == 0);
}

TEST_CASE("policies: while a stream is captured they run, and leave it and what it freed alone") {
  for (const auto& policy : {release_above(0), decay(1ms), idle(1ms), defragment_above(0)}) {
    scene s(keeping({policy}));
    const weir::stream free = s.make_stream(), captured = s.make_stream();
    use(s, free, 2, big);
    void* p = s.get(big, captured);
    void* q = s.get(medium, captured);
    s.busy(captured, 1000);
    s.put(p, big, captured);
    s.put(q, medium, captured);
    s.device->synchronize();
    s.device->set_capturing(captured.handle(), true);
    for (int i = 0; i < 3; ++i) {
      tick(free);
      must(s.pool.trim());
      must(s.pool.defragment());
      s.device->advance(ns(100ms));
    }
    must(s.pool.trim(0));
    const std::size_t left = reserved(s);
    CHECK(left >= big);
    s.device->set_capturing(captured.handle(), false);
    must(s.pool.trim(0));
    CHECK(reserved(s) == 0);
  }
}

}  // namespace
}  // namespace weir::test
