// SPDX-License-Identifier: Apache-2.0
//
// Who a stream is: tokens, raw handles, handles that come back, the default streams, retiring.
#include <array>
#include <thread>

#include "cache/gate.hpp"
#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t small = 3000, medium = 12 * MiB, big = 64 * MiB;

TEST_CASE("tokens: the same stream gives the same token, and each its handle and id") {
  scene s;
  const stream_handle handle = s.device->create_stream();
  const weir::stream a = must(s.pool.stream(handle));
  CHECK(a == must(s.pool.stream(handle)));
  CHECK(a != s.make_stream());
  CHECK(a.handle() == handle);
  CHECK(a.id() == must(s.pool.backend().identify(handle)));
}

TEST_CASE("tokens: calls with one ask nobody who the stream is") {
  scene s;
  const weir::stream stream = s.make_stream();
  s.put(s.get(small, stream), small, stream);
  const auto before = s.device->calls().identify;
  for (int i = 0; i < 10; ++i) s.put(s.get(small, stream), small, stream);
  CHECK(s.device->calls().identify == before);
}

TEST_CASE("raw handles: verified at every allocation, and with it what was freed before, unless trusted") {
  for (const bool trust : {false, true}) {
    scene s({.trust_handles = trust});
    const raw_stream handle = s.device->create_stream();
    s.pool.deallocate(s.pool.allocate(small, handle), handle);
    const auto before = s.device->calls().identify;
    for (int i = 0; i < 10; ++i) s.pool.deallocate(s.pool.allocate(small, handle), small, handle);
    const auto asked = s.device->calls().identify - before;
    if (trust || cache::has_asymmetric_barrier())
      CHECK(asked == (trust ? 0 : 10));
    else
      CHECK(asked >= 20);  // without hits, frees too
  }
}

// The frees of a handle are believed until somebody allocates: what was freed on a stream that took the place of
// another waits as the other's, and nobody gets it before the device was waited for. Where there are no hits, frees are
// verified, and the block is the new stream's.
TEST_CASE("raw handles: a block freed on the stream that came back under a handle is not handed out in its old name") {
  for (unsigned i = 0; i < 6; ++i) {
    const std::size_t bytes = std::array{small, medium, big}[i / 2];
    const bool is_reclaimed = i % 2;
    INFO(bytes << (is_reclaimed ? " in the heap" : " in a cache"));
    scene s;
    const stream_handle handle = s.device->create_stream();
    void* p = s.pool.allocate(bytes, raw_stream(handle));
    s.pool.deallocate(p, bytes, raw_stream(handle));
    p = s.pool.allocate(bytes, raw_stream(handle));
    s.device->launch(handle, long_ns, {{p, bytes}});
    s.device->synchronize();
    s.device->destroy_stream(handle);
    REQUIRE(s.device->create_stream() == handle);
    s.device->launch(handle, long_ns, {{p, bytes}});
    s.pool.deallocate(p, bytes, raw_stream(handle));
    if (is_reclaimed) {
      const weir::stream other = s.make_stream();
      must(s.pool.defragment());
      void* elsewhere = s.get(bytes, other);
      CHECK_FALSE(overlap(p, bytes, elsewhere, bytes));
      s.put(elsewhere, bytes, other);
    }
    void* q = s.pool.allocate(bytes, raw_stream(handle));
    if (cache::has_asymmetric_barrier()) CHECK_FALSE(overlap(p, bytes, q, bytes));
    s.device->launch(handle, long_ns, {{q, bytes}});
    CHECK(s.device->violations().empty());
    s.pool.deallocate(q, bytes, raw_stream(handle));
  }
}

TEST_CASE("raw handles: they and the token are one stream") {
  scene s;
  const weir::stream token = s.make_stream();
  const raw_stream raw = token.handle();
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.pool.allocate(bytes, raw);
    s.put(p, bytes, token);
    CHECK(s.pool.allocate(bytes, raw) == p);
    s.pool.deallocate(p, bytes, raw);
  }
  CHECK(s.pool.statistics().streams.size() == 1);
}

// A stream without a token cannot be made to record: what it freed after its last event has to wait for the next.
TEST_CASE("raw handles: who waits for a stream's event takes nothing that was freed behind it") {
  constexpr std::size_t bytes = 8 * MiB;
  scene s({.bytes_max = 32 * MiB});
  const stream_handle a = s.device->create_stream();
  const weir::stream b = s.make_stream();
  const auto get = [&](std::size_t n) { return s.pool.allocate(n, raw_stream(a)); };
  const auto put = [&](void* p, std::size_t n) {
    s.device->launch(a, long_ns, {{p, n}});
    s.pool.deallocate(p, raw_stream(a));
  };
  void* early = get(bytes);
  void* between = get(12 * MiB);
  void* late = get(bytes);
  put(early, bytes);
  must(s.pool.trim(0));       // asks for an event
  void* beside = get(small);  // and here it is
  put(late, bytes);
  void* p = s.get(bytes, b);
  CHECK(p == early);
  CHECK(s.pool.statistics().waits_inserted == 1);
  s.put(p, bytes, b);
  put(between, 12 * MiB);
  put(beside, small);
}

TEST_CASE("retire: what the stream freed behind running work is others' once that has passed, without a wait") {
  for (const std::size_t bytes : {small, medium, big}) {
    INFO(bytes);
    scene s;
    const stream_handle handle = s.device->create_stream();
    const weir::stream a = must(s.pool.stream(handle)), b = s.make_stream(), c = s.make_stream();
    void* p = s.get(bytes, a);
    s.busy(a);
    s.put(p, bytes, a);
    must(s.pool.retire(a));
    s.device->destroy_stream(handle);
    void* q = s.get(bytes, b);
    CHECK_FALSE(overlap(p, bytes, q, bytes));
    const std::size_t held = s.pool.statistics().held;
    s.device->advance(2 * long_ns);
    s.get(bytes, c);
    CHECK(s.pool.statistics().held == held);
    CHECK(s.pool.statistics().native.synchronize == 0);
  }
}

TEST_CASE("retire: it empties every thread's cache for the stream") {
  scene s;
  const weir::stream a = s.make_stream();
  std::thread([&] {
    s.pool.deallocate(s.pool.allocate(small, a), a);
    s.pool.deallocate(s.pool.allocate(40 * KiB, a), a);
  }).join();
  s.pool.deallocate(s.pool.allocate(small, a), a);
  must(s.pool.retire(a));
  CHECK(s.pool.statistics().cached == 0);
  CHECK(s.pool.statistics().streams.front().retired);
}

TEST_CASE("retire: blocks still live stay valid and are freed on other streams") {
  for (const std::size_t bytes : {small, medium, big}) {
    scene s;
    const stream_handle handle = s.device->create_stream();
    const weir::stream a = must(s.pool.stream(handle)), b = s.make_stream();
    void* p = s.get(bytes, a);
    s.order(a, b);
    must(s.pool.retire(a));
    s.device->destroy_stream(handle);
    s.put(p, bytes, b);
    CHECK(s.pool.statistics().allocated == 0);
    s.device->synchronize();
    must(s.pool.trim(0));
    CHECK(s.pool.statistics().reserved == 0);
  }
}

TEST_CASE("retire: a use announced on the stream is honoured after it has gone") {
  scene s;
  const stream_handle handle = s.device->create_stream();
  const weir::stream a = s.make_stream(), b = must(s.pool.stream(handle));
  void* p = s.get(big, a);
  s.order(a, b);
  must(s.pool.record_use(p, b));
  s.read(p, big, b, long_ns);
  must(s.pool.retire(b));
  s.device->destroy_stream(handle);
  must(s.pool.try_deallocate(p, a));
  CHECK(s.get(big, a) != p);
  s.device->advance(2 * long_ns);
  CHECK(s.get(big, a) == p);
  CHECK(s.pool.statistics().native.synchronize == 0);
}

TEST_CASE("retire: the same where the stream has a past, which has passed") {
  scene s;
  const stream_handle handle = s.device->create_stream();
  const weir::stream a = s.make_stream(), b = must(s.pool.stream(handle));
  for (int i = 0; i < 3; ++i) {
    s.put(s.get(big, b), big, b);
    s.device->advance(long_ns);
    must(s.pool.trim(0));
  }
  void* p = s.get(big, a);
  s.order(a, b);
  must(s.pool.record_use(p, b));
  s.read(p, big, b, long_ns);
  must(s.pool.retire(b));
  s.device->destroy_stream(handle);
  must(s.pool.try_deallocate(p, a));
  CHECK(s.get(big, a) != p);
}

TEST_CASE("handle reuse: a new stream under an old handle is not taken for the old one") {
  for (const std::size_t bytes : {small, medium, big}) {
    INFO(bytes);
    scene s;
    const stream_handle handle = s.device->create_stream();
    void* p = s.pool.allocate(bytes, raw_stream(handle));
    s.device->launch(handle, long_ns, {{p, bytes}});
    s.pool.deallocate(p, raw_stream(handle));
    s.device->destroy_stream(handle);
    REQUIRE(s.device->create_stream() == handle);
    void* q = s.pool.allocate(bytes, raw_stream(handle));
    CHECK_FALSE(overlap(p, bytes, q, bytes));
    s.device->launch(handle, 1000, {{q, bytes}});
    CHECK(s.pool.statistics().streams.size() == 2);
    CHECK(s.pool.statistics().streams.front().retired);
    s.pool.deallocate(q, raw_stream(handle));
  }
}

TEST_CASE("handle reuse: a token of the stream that was is refused once the new one has been seen") {
  scene s;
  const stream_handle handle = s.device->create_stream();
  const weir::stream old = must(s.pool.stream(handle));
  s.device->destroy_stream(handle);
  REQUIRE(s.device->create_stream() == handle);
  const weir::stream fresh = must(s.pool.stream(handle));
  CHECK(fresh != old);
  CHECK(fresh.id() != old.id());
  CHECK(why(s.pool.try_allocate(small, old)) == errc::stream_retired);
  s.put(s.get(small, fresh), small, fresh);
}

TEST_CASE("handle reuse: that token gets nothing either of what the thread's cache holds for it") {
  for (const std::size_t bytes : {small, medium, big}) {
    scene s;
    const stream_handle handle = s.device->create_stream();
    const weir::stream old = must(s.pool.stream(handle));
    s.put(s.get(bytes, old), bytes, old);
    s.device->destroy_stream(handle);
    REQUIRE(s.device->create_stream() == handle);
    const weir::stream fresh = must(s.pool.stream(handle));
    CHECK(why(s.pool.try_allocate(bytes, old)) == errc::stream_retired);
    CHECK(s.pool.statistics().cached == 0);
    s.put(s.get(bytes, fresh), bytes, fresh);
  }
}

TEST_CASE("handle reuse: what the lost stream freed comes back when memory is needed") {
  scene s({.bytes_max = 128 * MiB});
  for (int i = 0; i < 20; ++i) {
    const stream_handle handle = s.device->create_stream();
    for (const std::size_t bytes : {small, medium, big}) {
      void* p = s.pool.allocate(bytes, raw_stream(handle));
      s.device->launch(handle, long_ns, {{p, bytes}});
      s.pool.deallocate(p, raw_stream(handle));
    }
    s.device->destroy_stream(handle);
  }
  CHECK(s.pool.statistics().allocated == 0);
}

TEST_CASE("legacy default stream: null means it, and other streams' memory goes to it in order") {
  scene s;
  const raw_stream by_null(nullptr);
  CHECK(by_null.handle() == legacy_stream());
  const weir::stream a = s.make_stream();
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.get(bytes, a);
    s.busy(a);
    s.put(p, bytes, a);
    void* q = s.pool.allocate(bytes, by_null);
    CHECK_FALSE(overlap(p, bytes, q, bytes));
    s.device->launch(legacy_stream(), long_ns, {{q, bytes}});
    s.pool.deallocate(q, bytes, by_null);
    void* r = s.get(bytes, a);
    CHECK_FALSE(overlap(q, bytes, r, bytes));
    s.put(r, bytes, a);
    s.device->synchronize();
  }
  CHECK(s.pool.statistics().streams.size() == 2);
}

raw_stream per_thread() { return raw_stream(nullptr, detail::per_thread_by_default{}); }

TEST_CASE("per-thread default stream: another stream in each thread") {
  scene s;
  REQUIRE(per_thread().handle() == per_thread_stream());
  for (const std::size_t bytes : {small, medium, big}) {
    INFO(bytes);
    void* p = nullptr;
    std::thread([&] {
      p = s.pool.allocate(bytes, per_thread());
      s.device->launch(per_thread_stream(), long_ns, {{p, bytes}});
      s.pool.deallocate(p, bytes, per_thread());
    }).join();
    void* q = s.pool.allocate(bytes, per_thread());
    CHECK_FALSE(overlap(p, bytes, q, bytes));
    s.device->launch(per_thread_stream(), 1000, {{q, bytes}});
    s.pool.deallocate(q, bytes, per_thread());
  }
  CHECK(s.pool.statistics().streams.size() == 4);
}

TEST_CASE("per-thread default stream: another in each thread where handles are trusted, too") {
  scene s({.trust_handles = true});
  const auto use = [&] { s.pool.deallocate(s.pool.allocate(small, per_thread_stream()), per_thread_stream()); };
  use();
  std::thread(use).join();
  CHECK(s.pool.statistics().streams.size() == 2);
}

TEST_CASE("per-thread default stream: what dead threads left is had under pressure") {
  scene s({.bytes_max = 256 * MiB});
  bool failed = false;
  for (int i = 0; i < 20; ++i)
    std::thread([&] {
      for (const std::size_t bytes : {small, medium, big}) {
        const auto p = s.pool.try_allocate(bytes, per_thread());
        if (!p) return void(failed = true);
        s.device->launch(per_thread_stream(), long_ns, {{*p, bytes}});
        s.pool.deallocate(*p, per_thread());
      }
    }).join();
  CHECK_FALSE(failed);
  CHECK(s.pool.statistics().allocated == 0);
}

TEST_CASE("per-thread default stream: a token works in its own thread") {
  scene s;
  const weir::stream mine = must(s.pool.stream(per_thread()));
  s.put(s.get(medium, mine), medium, mine);
  must(s.pool.retire(mine));
}

TEST_CASE("capture: with guard_capture a capturing stream is refused by name, and served afterwards") {
  scene s({.guard_capture = true});
  const weir::stream stream = s.make_stream();
  void* p = s.get(small, stream);
  s.device->set_capturing(stream.handle(), true);
  for (const std::size_t bytes : {small, medium, big})
    CHECK(why(s.pool.try_allocate(bytes, stream)) == errc::stream_capturing);
  s.device->set_capturing(stream.handle(), false);
  s.put(s.get(small, stream), small, stream);
  s.put(p, small, stream);
}

}  // namespace
}  // namespace weir::test
