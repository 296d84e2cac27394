// SPDX-License-Identifier: Apache-2.0
//
// One-way traffic: allocated on one stream, freed on another, for ever. What comes home is bounded.
#include <algorithm>
#include <deque>
#include <thread>

#include "scene.hpp"

namespace weir::test {
namespace {

TEST_CASE("one way: thousands of blocks allocated on A and freed on B leave a bounded surplus") {
  for (const std::size_t bytes : {std::size_t{512}, 40 * KiB, 700 * KiB, 3 * MiB, 24 * MiB}) {
    INFO(bytes);
    scene s;
    const weir::stream a = s.make_stream(), b = s.make_stream();
    std::size_t live = 0;
    for (int i = 0; i < 2500; ++i) {
      void* p = s.get(bytes, a);
      live = std::max(live, s.pool.statistics().allocated);
      s.order(a, b);
      s.put(p, bytes, b);
      s.device->advance(10'000);  // so that the device keeps up
    }
    const auto end = s.pool.statistics();
    CHECK(end.allocated == 0);
    // A region or two, the streams' caches, and sixteen big blocks that go round, so that one look does for several.
    CHECK(end.reserved_peak <= live + std::max(96 * MiB, 17 * bytes));
    CHECK(end.native.allocate <= 17);
  }
}

TEST_CASE("one way: also when B is always late, memory is bounded by what it still uses") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  constexpr std::size_t bytes = 3 * MiB;
  constexpr std::uint64_t work_ns = 1'000'000;
  for (int i = 0; i < 1000; ++i) {
    void* p = s.get(bytes, a);
    s.order(a, b);
    s.read(p, bytes, b, work_ns);
    must(s.pool.try_deallocate(p, bytes, b));
    if (i >= 8) s.device->advance(work_ns);  // B is eight blocks behind
  }
  CHECK(s.pool.statistics().reserved_peak <= 192 * MiB);
}

TEST_CASE("one way: between two threads, one allocating and one freeing, memory stays bounded") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  constexpr std::size_t bytes = 64 * KiB, batch = 50;
  bool failed = false;
  for (int round = 0; round < 60; ++round) {
    std::vector<void*> blocks;
    std::thread([&] {
      for (std::size_t i = 0; i < batch; ++i) {
        const auto p = s.pool.try_allocate(bytes, a);
        if (!p) return void(failed = true);
        s.write(*p, bytes, a);
        blocks.push_back(*p);
      }
    }).join();
    s.order(a, b);
    std::thread([&] {
      for (void* p : blocks) {
        s.read(p, bytes, b);
        if (!s.pool.try_deallocate(p, bytes, b)) failed = true;
      }
    }).join();
    s.device->advance(1'000'000);
  }
  CHECK_FALSE(failed);
  CHECK(s.pool.statistics().allocated == 0);
  CHECK(s.pool.statistics().reserved_peak <= 64 * MiB);
}

// In a ring every stream frees what the one before it allocated.
TEST_CASE("ring: blocks handed on from stream to stream leave a bounded surplus") {
  scene s;
  std::vector<weir::stream> streams;
  for (int i = 0; i < 5; ++i) streams.push_back(s.make_stream());
  for (const std::size_t bytes : {std::size_t{4096}, 2 * MiB}) {
    for (std::size_t i = 0; i < 2000; ++i) {
      const weir::stream& from = streams[i % 5];
      const weir::stream& to = streams[(i + 1) % 5];
      void* p = s.get(bytes, from);
      s.order(from, to);
      s.put(p, bytes, to);
      s.device->advance(10'000);
    }
  }
  CHECK(s.pool.statistics().reserved_peak <= 7 * 32 * MiB);
}

TEST_CASE("short-lived streams: retired while their blocks live on, they leave nothing behind that cannot be used") {
  for (const std::size_t bytes : {std::size_t{64 * KiB}, 4 * MiB, 24 * MiB}) {
    INFO(bytes);
    scene s;
    const weir::stream home = s.make_stream();
    for (int i = 0; i < 150; ++i) {
      const stream_handle handle = s.device->create_stream();
      const weir::stream brief = must(s.pool.stream(handle));
      void* p = s.get(bytes, brief);
      s.order(brief, home);
      must(s.pool.retire(brief));
      s.device->destroy_stream(handle);
      s.put(p, bytes, home);
      s.device->advance(100'000);
    }
    CHECK(s.pool.statistics().reserved_peak <= 192 * MiB);
    CHECK(s.pool.statistics().native.synchronize == 0);
  }
}

}  // namespace
}  // namespace weir::test
