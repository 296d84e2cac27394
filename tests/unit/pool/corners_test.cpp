// SPDX-License-Identifier: Apache-2.0
//
// What random programs and a second reading found: memory that was there and not had, or had too early.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <thread>
#include <vector>

#include "unit/pool/scene.hpp"

using weir::errc;
using weir::test::GiB;
using weir::test::KiB;
using weir::test::long_ns;
using weir::test::MiB;
using weir::test::must;
using weir::test::scene;
using weir::test::why;

TEST_CASE("capture: that another stream is being captured fails no allocation of this one") {
  scene s({.bytes_max = 64 * MiB});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* p = s.get(8 * MiB, a);
  s.write(p, 8 * MiB, a, long_ns);
  must(s.pool.try_deallocate(p, a));  // behind running work: whoever wants it waits, for an event on `a`
  s.device->set_capturing(a.handle(), true);
  std::vector<void*> all;
  for (;;) {
    const auto q = s.pool.try_allocate(8 * MiB, b);
    if (!q) {
      CHECK(why(q) == errc::out_of_memory);
      break;
    }
    all.push_back(*q);
  }
  CHECK(all.size() >= 4);
  s.device->set_capturing(a.handle(), false);
  for (void* q : all) must(s.pool.try_deallocate(q, b));
}

TEST_CASE(
    "retire: what the stream left can be waited for while its work runs, in whole regions or beside live blocks") {
  const bool is_beside_live = GENERATE(false, true);
  scene s({.bytes_max = 64 * MiB});
  weir::stream a = s.make_stream();
  const weir::stream b = s.make_stream();
  const weir::stream_handle handle = a.handle();
  std::vector<void*> all;
  while (const auto p = s.pool.try_allocate(15 * MiB, a)) all.push_back(*p);
  std::vector<void*> beside;
  while (const auto p = s.pool.try_allocate(MiB, a)) beside.push_back(*p);
  s.busy(a);
  if (!is_beside_live)
    for (void* p : beside) must(s.pool.try_deallocate(p, a));
  for (void* p : all) must(s.pool.try_deallocate(p, a));
  must(s.pool.retire(a));
  s.device->destroy_stream(handle);
  const auto calls = s.device->calls();
  void* p = s.get(15 * MiB, b);
  CHECK(s.pool.statistics().served.other_waited == 1);
  CHECK(s.device->calls().synchronize == calls.synchronize);
  s.put(p, 15 * MiB, b);
  if (is_beside_live)
    for (void* q : beside) must(s.pool.try_deallocate(q, b));
}

TEST_CASE("per-thread default stream: with a token in another thread nothing is put on the wrong stream") {
  scene s({.bytes_max = 64 * MiB});
  const weir::stream a = s.make_stream();
  weir::stream token;
  std::thread([&] { token = must(s.pool.stream(weir::per_thread_stream())); }).join();
  std::vector<void*> all;
  while (const auto p = s.pool.try_allocate(12 * MiB, a)) all.push_back(*p);
  s.busy(a);
  for (void* p : all) must(s.pool.try_deallocate(p, a));
  // The token's stream cannot be made to wait from here, so the host waits.
  void* p = must(s.pool.try_allocate(12 * MiB, token));
  CHECK(s.pool.statistics().waits_inserted == 0);
  CHECK(s.device->calls().synchronize > 0);
  must(s.pool.try_deallocate(p, token));
}

TEST_CASE("per-thread default stream: with a token in another thread nothing is given back ahead of the device") {
  scene s;
  weir::stream token;
  std::thread([&] {
    token = must(s.pool.stream(weir::per_thread_stream()));
    s.busy(token);
    s.put(s.get(64 * MiB, token), 64 * MiB, token);
  }).join();
  // What the token's stream is not done with could go back on that stream only, which the handle does not mean here.
  must(s.pool.try_deallocate(must(s.pool.try_allocate(128 * MiB, token)), token));
  CHECK(s.device->violations().empty());
}

TEST_CASE("big blocks: one that is far too large is given back rather than pinned by a smaller") {
  scene s({.bytes_max = 544 * MiB, .big_cache_share = 1});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  s.put(s.get(512 * MiB, a), 512 * MiB, a);
  std::vector<void*> all;
  for (unsigned i = 0; i < 8; ++i) all.push_back(s.get(60 * MiB, b));
  CHECK(s.pool.statistics().allocated < 520 * MiB);
  for (void* p : all) s.put(p, 60 * MiB, b);
}

TEST_CASE("out of memory: a small block is cut from any range that holds it, though a usual slab does not fit") {
  scene s({.bytes_max = 32 * MiB});
  const weir::stream a = s.make_stream();
  std::vector<void*> all;
  while (const auto p = s.pool.try_allocate(1100 * KiB, a)) all.push_back(*p);
  must(s.pool.try_deallocate(all[3], a));  // 1.1 MiB: half of what a slab of 256 KiB blocks wants
  for (unsigned i = 0; i < 4; ++i) {
    const auto p = s.pool.try_allocate(256 * KiB, a);
    REQUIRE(p);
    all[3] = *p;
    if (i < 3) all.push_back(*p);
  }
  for (void* p : all) must(s.pool.try_deallocate(p, a));
}

TEST_CASE("out of memory: where nothing else is free a block of a larger class serves, and takes its size back") {
  scene s({.bytes_max = 32 * MiB});
  const weir::stream a = s.make_stream();
  std::vector<void*> all;
  while (const auto p = s.pool.try_allocate(64 * KiB, a)) all.push_back(*p);
  while (const auto p = s.pool.try_allocate(256, a)) all.push_back(*p);
  must(s.pool.try_deallocate(all[5], a));
  const auto p = s.pool.try_allocate(1000, a);
  REQUIRE(p);
  CHECK(*p == all[5]);
  CHECK(why(s.pool.try_deallocate(*p, 65 * KiB, a)) == errc::size_mismatch);
  must(s.pool.try_deallocate(*p, 1000, a));
  all[5] = nullptr;
  for (void* q : all) must(s.pool.try_deallocate(q, a));
}

TEST_CASE("direct: what is free behind running work is waited for before a direct block is refused") {
  scene s({.bytes_max = 256 * MiB});
  const weir::stream a = s.make_stream();
  void* p = s.get(200 * MiB, a);
  s.write(p, 200 * MiB, a, long_ns);
  must(s.pool.try_deallocate(p, a));
  void* direct = must(s.pool.try_allocate_direct(200 * MiB));
  must(s.pool.try_deallocate_direct(direct));
}

TEST_CASE("caches: what a thread holds for one stream in small blocks never passes cache_bytes_max") {
  scene s({.cache_bytes_max = 2 * MiB});
  const weir::stream a = s.make_stream();
  for (std::size_t bytes = 256; bytes <= MiB; bytes += bytes / 8 < 256 ? 256 : bytes / 8) {
    void* p = s.get(bytes, a);
    CHECK(s.pool.statistics().cached <= 2 * MiB);
    s.put(p, bytes, a);
    CHECK(s.pool.statistics().cached <= 2 * MiB);
  }
}
