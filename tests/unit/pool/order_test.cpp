// SPDX-License-Identifier: Apache-2.0
//
// Stream order: what one stream freed is its own at once, and another's when its work has passed, or is waited for.
#include <array>
#include <cmath>
#include <random>

#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t small = 3000, medium = 12 * MiB, big = 64 * MiB;

TEST_CASE("one stream alone: its memory comes back at once, and an event is made only where the pool grows meanwhile") {
  scene s;
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.get(bytes, stream);
    s.busy(stream);
    s.put(p, bytes, stream);
    CHECK(s.pool.allocate(bytes, stream) == p);
    s.put(p, bytes, stream);
  }
  std::mt19937 random(2);
  std::uniform_real_distribution<double> exponent(6, 24);
  for (int i = 0; i < 1000; ++i) {
    const auto bytes = static_cast<std::size_t>(std::exp2(exponent(random)));
    s.put(s.get(bytes, stream), bytes, stream);
  }
  const auto calls = s.device->calls();
  CHECK(calls.record <= calls.grow);
  CHECK(calls.wait == 0);
  CHECK(calls.synchronize == 0);
  CHECK(s.pool.statistics().waits_inserted == 0);
}

TEST_CASE("one stream alone: a hit makes no native call at all") {
  scene s;
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : {small, medium, big}) s.put(s.get(bytes, stream), bytes, stream);
  const auto before = s.pool.statistics().native;
  const std::uint64_t time = s.device->now_ns();
  for (int i = 0; i < 100; ++i)
    for (const std::size_t bytes : {small, medium, big}) s.put(s.get(bytes, stream), bytes, stream);
  const auto after = s.pool.statistics().native;
  CHECK(after.allocate == before.allocate);
  CHECK(after.query == before.query);
  CHECK(after.record == before.record);
  CHECK(s.device->now_ns() == time);
}

TEST_CASE("two streams: what A freed behind running work is not B's before that has passed") {
  for (const std::size_t bytes : {small, medium, big}) {
    INFO(bytes);
    scene s;
    const weir::stream a = s.make_stream(), b = s.make_stream();
    void* p = s.get(bytes, a);
    s.busy(a);
    s.put(p, bytes, a);
    const std::size_t held = s.pool.statistics().held;
    void* q = s.get(bytes, b);
    CHECK_FALSE(overlap(p, bytes, q, bytes));
    CHECK(s.pool.statistics().held > held);
    CHECK(s.pool.statistics().waits_inserted == 0);
    CHECK(s.pool.statistics().served.other_passed == 0);
  }
}

TEST_CASE("two streams: what A freed is B's once it has passed, in virtual time or because the host waited") {
  for (const bool host_waits : {false, true}) {
    for (const std::size_t bytes : {small, medium, big}) {
      INFO(bytes << (host_waits ? ", host waits" : ", time passes"));
      scene s;
      const weir::stream a = s.make_stream(), b = s.make_stream();
      void* p = s.get(bytes, a);
      s.busy(a);
      s.put(p, bytes, a);
      host_waits ? s.device->synchronize() : s.device->advance(2 * long_ns);
      const auto before = s.pool.statistics();
      void* q = s.get(bytes, b);
      const auto after = s.pool.statistics();
      CHECK(after.held == before.held);
      CHECK(after.served.other_passed == before.served.other_passed + 1);
      CHECK(after.native.allocate == before.native.allocate);
      if (bytes != small) CHECK(q == p);
      s.put(q, bytes, b);
    }
  }
}

TEST_CASE("record_use: a block is not reused, not even by its own stream, before the other is done with it") {
  for (const std::size_t bytes : {small, medium, big}) {
    INFO(bytes);
    scene s;
    const weir::stream a = s.make_stream(), b = s.make_stream();
    void* p = s.get(bytes, a);
    s.order(a, b);
    must(s.pool.record_use(p, b));
    s.read(p, bytes, b, long_ns);  // also work given after the announcement counts
    must(s.pool.try_deallocate(p, bytes, a));
    std::array<void*, 3> others{};
    for (void*& q : others) {
      q = s.get(bytes, a);
      CHECK_FALSE(overlap(p, bytes, q, bytes));
    }
    for (void* q : others) s.put(q, bytes, a);
    CHECK(s.pool.statistics().pending >= bytes);
    s.device->advance(2 * long_ns);
    must(s.pool.defragment());
    CHECK(s.pool.statistics().pending == 0);
    bool comes_back = false;
    for (int i = 0; i < 40 && !comes_back; ++i) comes_back = overlap(s.get(bytes, a), bytes, p, bytes);
    CHECK(comes_back);
  }
}

TEST_CASE("record_use: on several streams, all are waited for") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream(), c = s.make_stream();
  void* p = s.get(big, a);
  for (const weir::stream& other : {b, c}) {
    s.order(a, other);
    must(s.pool.record_use(p, other));
    must(s.pool.record_use(p, other));
  }
  s.busy(b, 1000);
  s.busy(c);
  must(s.pool.try_deallocate(p, a));
  s.device->synchronize(b.handle());
  CHECK(s.get(big, a) != p);
  s.device->synchronize(c.handle());
  CHECK(s.get(big, a) == p);
}

TEST_CASE("record_use: said of one life of a block, it is forgotten in the next") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.get(bytes, a);
    must(s.pool.record_use(p, b));
    s.put(p, bytes, a);
    s.device->synchronize();
    must(s.pool.defragment());
    void* q = s.get(bytes, a);
    s.busy(b);
    s.put(q, bytes, a);
    CHECK(s.get(bytes, a) == q);
    s.put(q, bytes, a);
    s.device->synchronize();
  }
}

// A limit that leaves no room beside one big block.
constexpr std::size_t tight = 128 * MiB, most = 96 * MiB;

TEST_CASE("waiting: only when there is no room is B made to wait for A, and it is counted") {
  scene s({.bytes_max = tight});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* p = s.get(most, a);
  s.busy(a);
  s.put(p, most, a);
  void* q = s.get(most, b);
  const auto after = s.pool.statistics();
  CHECK(q == p);
  CHECK(after.waits_inserted == 1);
  CHECK(after.served.other_waited == 1);
  CHECK(after.pressure_events == 0);
  CHECK(s.device->calls().synchronize == 0);
  CHECK(s.device->now_ns() < long_ns);  // the host did not wait
}

TEST_CASE("waiting: small and medium memory of another stream, too") {
  for (const std::size_t bytes : {small, medium}) {
    INFO(bytes);
    scene s({.bytes_max = 32 * MiB});
    const weir::stream a = s.make_stream(), b = s.make_stream();
    void* p = s.get(bytes, a);
    s.busy(a);
    s.put(p, bytes, a);
    void* q = s.get(bytes, b);
    CHECK(s.pool.statistics().waits_inserted == 1);
    CHECK(s.pool.statistics().served.other_waited == 1);
    s.put(q, bytes, b);
  }
}

TEST_CASE("order steps: without other_streams_passed, memory of others is not looked at while there is room") {
  scene s({.order = {.other_streams_passed = false, .recycle = false}});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  for (const std::size_t bytes : {medium, small}) {
    s.put(s.get(bytes, a), bytes, a);
    s.device->synchronize();
    s.put(s.get(bytes, b), bytes, b);
  }
  CHECK(s.pool.statistics().served.other_passed == 0);
  CHECK(s.pool.statistics().native.allocate == 2);
}

TEST_CASE("order steps: without recycling, a request that free memory could be made into makes the pool grow") {
  for (const bool recycle : {true, false}) {
    INFO((recycle ? "with" : "without"));
    scene s({.order = {.recycle = recycle}, .big_cache_share = 1});
    const weir::stream stream = s.make_stream();
    std::array<void*, 4> blocks{};
    for (void*& p : blocks) p = s.get(big, stream);
    for (void* p : blocks) s.put(p, big, stream);
    s.device->synchronize();
    void* all = s.get(4 * big, stream);
    CHECK(s.pool.statistics().reserved == (recycle ? 4 * big : 8 * big));
    s.put(all, 4 * big, stream);
  }
}

TEST_CASE("order steps: without other_streams_wait, no stream waits and the pressure chain comes first") {
  scene s({.bytes_max = tight, .order = {.other_streams_wait = false}});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* p = s.get(most, a);
  s.busy(a);
  s.put(p, most, a);
  s.get(most, b);
  const auto after = s.pool.statistics();
  CHECK(after.served.other_waited == 0);
  CHECK(after.waits_inserted == 0);
  CHECK(after.pressure_events == 1);
}

TEST_CASE("several streams: in a random program every use is ordered after the last") {
  scene s({.bytes_max = 768 * MiB});
  std::mt19937 random(3);
  std::uniform_real_distribution<double> exponent(8, 26);
  std::vector<weir::stream> streams;
  for (int i = 0; i < 4; ++i) streams.push_back(s.make_stream());
  struct block {
    void* begin;
    std::size_t bytes, owner;
  };
  std::vector<block> blocks;
  for (int i = 0; i < 4000; ++i) {
    const std::size_t at = random() % streams.size();
    if (blocks.size() > 24 || (!blocks.empty() && random() % 3 == 0)) {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      const block b = blocks.back();
      blocks.pop_back();
      switch (random() % 3) {
        case 0: s.put(b.begin, b.bytes, streams[b.owner]); break;
        case 1:
          s.order(streams[b.owner], streams[at]);
          s.put(b.begin, b.bytes, streams[at]);
          break;
        default:
          s.order(streams[b.owner], streams[at]);
          s.read(b.begin, b.bytes, streams[at], 100'000);
          must(s.pool.record_use(b.begin, streams[at]));
          s.put(b.begin, b.bytes, streams[b.owner]);
      }
    } else {
      const auto bytes = static_cast<std::size_t>(std::exp2(exponent(random)));
      blocks.push_back({s.get(bytes, streams[at]), bytes, at});
      if (i % 5 == 0) s.busy(streams[at], 200'000);
    }
  }
  for (const block& b : blocks) s.put(b.begin, b.bytes, streams[b.owner]);
  const auto end = s.pool.statistics();
  CHECK(end.allocated == 0);
  CHECK(end.served.other_passed + end.served.other_waited > 0);  // or it tested nothing
}

}  // namespace
}  // namespace weir::test
