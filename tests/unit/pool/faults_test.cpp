// SPDX-License-Identifier: Apache-2.0
//
// Native calls that fail in the middle: nothing is lost, all can be freed, and it works afterwards.
#include <array>
#include <cmath>
#include <random>

#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t small = 3000, medium = 12 * MiB, big = 64 * MiB;

using sim::fault;

// All is freed, the pool is sound, and every byte can be given back.
void comes_clean(scene& s) {
  s.device->synchronize();
  CHECK(s.pool.validate().empty());
  CHECK(s.pool.statistics().allocated == 0);
  must(s.pool.trim(0));
  CHECK(s.pool.statistics().held == 0);
  CHECK(s.pool.statistics().reserved == 0);
  CHECK(must(s.pool.backend().pool_bytes()).used == 0);
}

TEST_CASE(
    "fault: a native allocation that fails is met by the pressure chain, and by an answer when it fails for good") {
  for (const std::size_t bytes : {small, medium, big}) {
    scene s;
    const weir::stream stream = s.make_stream();
    s.device->inject(fault::allocate, 1);
    void* p = s.get(bytes, stream);
    CHECK(s.pool.statistics().pressure_events == 1);
    s.put(p, bytes, stream);
    s.device->inject(fault::allocate, 1000);
    s.device->inject(fault::allocate_direct, 1000);
    CHECK(why(s.pool.try_allocate(2 * big, stream)) == errc::out_of_memory);
    s.device->inject(fault::allocate, 0);
    s.device->inject(fault::allocate_direct, 0);
    s.put(s.get(2 * big, stream), 2 * big, stream);
    comes_clean(s);
  }
}

TEST_CASE("fault: what the native pool refuses for good though the device has room is a direct block") {
  bool is_asked = false;
  scene s({.on_out_of_memory = [&](auto...) {
    is_asked = true;
    return false;
  }});
  const weir::stream stream = s.make_stream();
  s.device->inject(fault::allocate, 1000);
  CHECK(why(s.pool.try_allocate(medium, stream)) == errc::out_of_memory);
  CHECK(is_asked);
  is_asked = false;
  void* p = s.get(big, stream);
  void* aligned = s.get(big, stream, 4 * MiB);
  CHECK_FALSE(is_asked);
  CHECK(s.pool.statistics().direct >= 2 * big);
  CHECK(s.pool.statistics().served.direct == 2);
  s.device->inject(fault::allocate, 0);
  must(s.pool.record_use(p, stream));
  s.put(aligned, big, stream);
  s.put(p, big, stream);
  CHECK(s.pool.statistics().direct == 0);
  comes_clean(s);
}

// The device is full of what another stream still uses, and goes back to the native pool behind it: what comes from
// there is late on the reservoir's own stream, and the taker needs an event. The first of each call is the relief's.
TEST_CASE("fault: fresh memory that a stream could not be made to wait for is handed out in order only") {
  for (const fault kind : {fault::create_event, fault::record, fault::wait}) {
    for (const std::size_t bytes : {small, medium, big}) {
      INFO("fault " << static_cast<int>(kind) << ", " << bytes << " bytes");
      scene s({.order = {.other_streams_wait = false}}, {.bytes_total = 128 * MiB});
      const weir::stream a = s.make_stream(), b = s.make_stream();
      void* p = s.get(128 * MiB, a);
      s.busy(a);
      s.put(p, 128 * MiB, a);
      s.device->inject(kind, 1, 1);
      CHECK(why(s.pool.try_allocate(bytes, b)) == errc::cuda);
      CHECK(s.pool.validate().empty());
      s.put(s.get(bytes, b), bytes, b);
      CHECK(s.device->now_ns() < long_ns);  // nobody has waited
      comes_clean(s);
    }
  }
}

TEST_CASE("fault: fresh memory that nobody could be made to wait for can be given back unused") {
  scene s({.order = {.other_streams_wait = false}}, {.bytes_total = 128 * MiB});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  std::vector<void*> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(s.get(medium, a));
  s.busy(a);
  for (void* p : blocks) s.put(p, medium, a);
  s.device->inject(fault::wait, 1, 1);
  CHECK(why(s.pool.try_allocate(big, b)) == errc::cuda);
  comes_clean(s);
}

// Of a stream that always has more to do, only an event says how far it has come.
TEST_CASE("fault: an event that could not be recorded is recorded the next time") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(big, stream);
  s.busy(stream);
  s.put(p, big, stream);
  s.device->inject(fault::record, 1);
  CHECK(must(s.pool.trim(0)).reserved_after > 0);
  CHECK(must(s.pool.trim(0)).reserved_after > 0);
  s.busy(stream, 100 * long_ns);
  s.device->advance(2 * long_ns);
  CHECK(must(s.pool.trim(0)).reserved_after == 0);
}

// Hundreds of events behind one long kernel: once it is known that all has passed, none of them is asked about.
TEST_CASE("fault: a device that was waited for is not asked about each event of the past") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  s.busy(a);
  for (int i = 0; i < 200; ++i) {
    void* p = s.get(medium, b);
    s.order(b, a);
    s.put(p, medium, a);
    must(s.pool.defragment());
    (void)s.pool.set_bytes_max(s.pool.statistics().reserved + 32 * MiB).has_value();
  }
  const auto before = s.device->calls();
  CHECK(!s.pool.try_allocate(std::size_t{1} << 40, b));
  CHECK(s.device->calls().query - before.query < 60);
}

TEST_CASE("fault: any call failing anywhere in a crowded program leaves a sound pool and every byte accounted for") {
  for (const fault kind : {fault::allocate, fault::deallocate, fault::trim, fault::create_event, fault::record,
                           fault::wait, fault::query, fault::synchronize, fault::allocate_direct}) {
    for (unsigned seed = 0; seed < 12; ++seed) {
      INFO("fault " << static_cast<int>(kind) << ", seed " << seed);
      scene s({.bytes_max = 192 * MiB});
      std::mt19937 random(seed);
      std::uniform_real_distribution<double> exponent(8, 26);
      std::array<weir::stream, 3> streams{s.make_stream(), s.make_stream(), s.make_stream()};
      struct block {
        void* begin;
        std::size_t bytes, owner;
      };
      std::vector<block> blocks;
      const auto drop = [&] {
        std::swap(blocks[random() % blocks.size()], blocks.back());
        const block b = blocks.back();
        blocks.pop_back();
        const std::size_t on = random() % streams.size();
        s.order(streams[b.owner], streams[on]);
        s.read(b.begin, b.bytes, streams[on], 100'000);
        // A direct block is refused by a failing synchronisation only; it stays and is freed later.
        const auto done = s.pool.try_deallocate(b.begin, b.bytes, streams[on]);
        if (!done) blocks.push_back({b.begin, b.bytes, on});
      };
      for (int i = 0; i < 150; ++i) {
        if (i % 10 == 0) s.device->inject(kind, 1 + static_cast<unsigned>(random() % 2), random() % 4);
        const std::size_t on = random() % streams.size();
        const auto bytes = static_cast<std::size_t>(std::exp2(exponent(random)));
        const auto p = random() % 10 ? s.pool.try_allocate(bytes, streams[on]) : s.pool.try_allocate_direct(bytes);
        if (p) {
          s.write(*p, bytes, streams[on]);
          blocks.push_back({*p, bytes, on});
        }
        if (i % 20 == 19) (void)s.pool.trim(64 * MiB).has_value();
        while (blocks.size() > 8 || (!p && !blocks.empty() && random() % 2)) drop();
        const auto broken = s.pool.validate();
        REQUIRE(broken.empty());
      }
      s.device->inject(kind, 0);
      while (!blocks.empty()) drop();
      comes_clean(s);
    }
  }
}

// --- in the middle --------------------------------------------------------------------------------------------------

// A pool in which each of the acts below takes several backend calls. Streams a and b have one live block of every
// size, a has kept blocks and free regions behind running work, and c has as many that nobody uses.
struct crowded {
  explicit crowded(std::size_t room) : s({.big_cache_share = 1}) {
    for (const weir::stream& stream : {a, b})
      for (const std::size_t bytes : {small, medium, big})
        live.push_back({s.get(bytes, stream), bytes, stream.handle()});
    for (const weir::stream& stream : {a, c}) {
      std::vector<std::pair<void*, std::size_t>> gone;
      for (int i = 0; i < 3; ++i)
        for (const std::size_t bytes : {small, medium, big}) gone.emplace_back(s.get(bytes, stream), bytes);
      if (stream == a) s.busy(a);
      for (const auto& [p, bytes] : gone) s.put(p, bytes, stream);
    }
    s.device->advance(10'000);
    if (room != SIZE_MAX) must(s.pool.set_bytes_max(s.pool.statistics().reserved + room));
  }

  struct block {
    void* begin;
    std::size_t bytes;
    stream_handle on;  // a retired token has none
  };
  scene s;
  weir::stream a = s.make_stream(), b = s.make_stream(), c = s.make_stream();
  std::vector<block> live;

  void keep(const result<void*>& got, std::size_t bytes, const weir::stream& on) {
    if (!got) return;
    s.write(*got, bytes, on);
    live.push_back({*got, bytes, on.handle()});
  }
  std::size_t live_bytes() const {
    std::size_t sum = 0;
    for (const block& each : live) sum += each.bytes;
    return sum;
  }
};

errc allocate_on_b(crowded& c, std::size_t bytes, int count) {
  errc last = errc::ok;
  for (; count > 0 && last == errc::ok; --count) {
    const auto got = c.s.pool.try_allocate(bytes, c.b);
    c.keep(got, bytes, c.b);
    last = why(got);
  }
  return last;
}

struct act {
  const char* what;
  std::size_t room;  // under the limit, beside what is reserved
  errc (*run)(crowded&);
};

const act acts[] = {
    {"growth", SIZE_MAX, [](crowded& c) { return allocate_on_b(c, 512 * MiB, 1); }},
    {"growth within a limit", 32 * MiB, [](crowded& c) { return allocate_on_b(c, 192 * MiB, 1); }},
    {"big blocks of other streams", 0, [](crowded& c) { return allocate_on_b(c, big, 6); }},
    {"regions of other streams", 0, [](crowded& c) { return allocate_on_b(c, medium, 6); }},
    {"small blocks of other streams", 0, [](crowded& c) { return allocate_on_b(c, MiB, 60); }},
    {"a trim", SIZE_MAX, [](crowded& c) { return why(c.s.pool.trim(0)); }},
    {"a defragmentation", SIZE_MAX, [](crowded& c) { return why(c.s.pool.defragment()); }},
    {"a lower limit", SIZE_MAX, [](crowded& c) { return why(c.s.pool.set_bytes_max(256 * MiB)); }},
    {"a retired stream", SIZE_MAX, [](crowded& c) { return why(c.s.pool.retire(c.a)); }},
};

// What was live is, nothing is counted twice, and with the device well again all that is not live can be had: first by
// the driver and then by whoever asks.
void check_whole(crowded& c) {
  CHECK(c.s.pool.validate().empty());
  CHECK(c.s.pool.statistics().live_count == c.live.size());
  CHECK(c.s.pool.statistics().allocated >= c.live_bytes());
  for (const auto& each : c.live) {
    c.s.device->order(each.on, c.b.handle());
    c.s.put(each.begin, each.bytes, c.b);
  }
  c.live.clear();
  must(c.s.pool.set_bytes_max(SIZE_MAX));
  // A stream whose event failed is known complete once the device was waited for, which running out does.
  CHECK(!c.s.pool.try_allocate(SIZE_MAX / 8, c.b));
  comes_clean(c.s);
}

// Else the cases below fail calls that nobody makes.
TEST_CASE("fault: the acts together make every kind of call") {
  sim::device::call_counts sum;
  for (const act& each : acts) {
    crowded c(each.room);
    const auto before = c.s.device->calls();
    (void)each.run(c);
    const auto after = c.s.device->calls();
    sum.allocate += after.allocate - before.allocate;
    sum.deallocate += after.deallocate - before.deallocate;
    sum.trim += after.trim - before.trim;
    sum.record += after.record - before.record;
    sum.query += after.query - before.query;
    sum.wait += after.wait - before.wait;
    sum.synchronize += after.synchronize - before.synchronize;
  }
  for (const std::uint64_t count :
       {sum.allocate, sum.deallocate, sum.trim, sum.record, sum.query, sum.wait, sum.synchronize})
    CHECK(count > 1);
}

TEST_CASE("fault: each backend call of a growth, a transfer, a trim failing in turn loses nothing") {
  for (const act& each : acts) {
    for (const fault kind : {fault::allocate, fault::deallocate, fault::trim, fault::create_event, fault::record,
                             fault::wait, fault::query, fault::synchronize}) {
      for (unsigned after = 0; after < 8; ++after) {
        INFO(each.what << ", fault " << static_cast<int>(kind) << " after " << after << " calls");
        crowded c(each.room);
        c.s.device->inject(kind, 1, after);
        const errc code = each.run(c);
        c.s.device->inject(kind, 0);
        CHECK(
            (code == errc::ok || code == errc::cuda || code == errc::out_of_memory || code == errc::limit_below_live));
        check_whole(c);
      }
    }
  }
}

// A kernel's fault strikes anywhere, and stays. Whatever was in the middle, blocks can still be freed, the pool is
// sound, and it can end.
TEST_CASE("fault: a device lost in the middle of a growth, a transfer, a trim still takes every free") {
  for (const act& each : acts) {
    for (unsigned after = 0; after < 24; ++after) {
      INFO(each.what << ", lost after " << after << " calls");
      crowded c(each.room);
      c.s.device->inject(fault::sticky, 1, after);
      (void)each.run(c);
      c.s.device->inject(fault::sticky, 1);
      CHECK(why(c.s.pool.try_allocate(250 * MiB, c.b)) == errc::device_lost);
      // Each on the other's stream, so that nothing is as simple as it could be.
      for (const auto& [begin, bytes, on] : c.live) {
        const weir::stream& other = on == c.b.handle() && c.a.handle() ? c.a : c.b;
        const auto done = c.s.pool.try_deallocate(begin, bytes, other);
        CHECK(why(done) == errc::ok);
      }
      CHECK(c.s.pool.statistics().live_count == 0);
      CHECK(c.s.pool.validate().empty());
      CHECK(why(c.s.pool.trim(0)) == errc::device_lost);
    }
  }
}

TEST_CASE("fault: retiring a stream whose event cannot be recorded keeps its memory until the device was waited for") {
  scene s;
  const stream_handle handle = s.device->create_stream();
  const weir::stream a = must(s.pool.stream(handle)), b = s.make_stream();
  void* p = s.get(big, a);
  s.busy(a);
  s.put(p, big, a);
  s.device->inject(fault::record, 1);
  CHECK(why(s.pool.retire(a)) == errc::cuda);
  CHECK(why(s.pool.try_allocate(small, a)) == errc::stream_retired);
  s.device->destroy_stream(handle);
  CHECK(s.get(big, b) != p);
  must(s.pool.set_bytes_max(3 * big));
  void* rest = s.get(2 * big, b);  // under pressure the device is waited for
  s.put(rest, 2 * big, b);
}

TEST_CASE("fault: a device lost to an earlier error is called that, and the pool can still be destroyed") {
  auto device = sim::device::make();
  auto pool = std::make_unique<weir::pool>(pool::make(device->make_backend()));
  const weir::stream stream = must(pool->stream(device->create_stream()));
  void* p = pool->allocate(small, stream);
  void* q = pool->allocate(big, stream);
  device->inject(fault::sticky, 1);
  const auto refusal = pool->try_allocate(2 * big, stream);
  REQUIRE(why(refusal) == errc::device_lost);
  CHECK(refusal.error().native_code == 700);
  CHECK_THROWS_AS(pool->allocate(2 * big, stream), weir::cuda_error);
  CHECK(why(pool->try_allocate_direct(512)) == errc::device_lost);
  CHECK(why(pool->trim(0)) == errc::device_lost);
  CHECK(why(pool->try_deallocate(p, stream)) == errc::ok);
  CHECK(why(pool->try_deallocate(q, stream)) == errc::ok);
  pool.reset();
}

}  // namespace
}  // namespace weir::test
