// SPDX-License-Identifier: Apache-2.0
//
// What an observer is told: everything once, what was left at the end, and what failed.
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t small = 3000, medium = 12 * MiB, big = 64 * MiB;

// Keeps an account of its own; what does not balance is counted as wrong.
class account final : public observer {
 public:
  void on_allocate(const allocation_event& e) noexcept override {
    const std::lock_guard lock(mutex);
    ++allocated;
    last = e;
    if (!live.emplace(e.pointer, e.bytes).second) ++wrong;
  }
  void on_deallocate(const allocation_event& e) noexcept override {
    const std::lock_guard lock(mutex);
    ++deallocated;
    last = e;
    if (live.erase(e.pointer) != 1) ++wrong;
  }
  void on_failure(const error& e) noexcept override {
    const std::lock_guard lock(mutex);
    failures.push_back(e.code);
  }
  void on_native(const native_event& e) noexcept override {
    const std::lock_guard lock(mutex);
    switch (e.call) {
      case native_call::allocate:
      case native_call::direct_allocate: wrong += !native.emplace(e.pointer, e.bytes).second; break;
      case native_call::deallocate:
      case native_call::direct_deallocate: wrong += native.erase(e.pointer) != 1; break;
      case native_call::trim: ++trims; break;
    }
    reserved = e.reserved;
  }
  void on_leak(const leak_event& e) noexcept override { leaks.push_back(e); }

  std::mutex mutex;
  unsigned allocated = 0, deallocated = 0, wrong = 0, trims = 0;
  allocation_event last;
  std::map<const void*, std::size_t> live, native;
  std::vector<errc> failures;
  std::vector<leak_event> leaks;
  std::size_t reserved = 0;
};

TEST_CASE("observer: told of each allocation and each free, once, with what was asked") {
  const auto told = std::make_shared<account>();
  scene s({.observer = told});
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.get(bytes, stream, 1024);
    CHECK(told->last.pointer == p);
    CHECK(told->last.bytes == bytes);
    CHECK(told->last.alignment == 1024);
    CHECK(told->last.stream_id == stream.id());
    CHECK(told->last.device == s.pool.device());
    CHECK(told->last.kind == allocation_kind::pool);
    CHECK(told->live.size() == 1);
    s.put(p, bytes, stream);
    CHECK(told->last.bytes == bytes);
    CHECK(told->live.empty());
  }
  void* p = s.pool.allocate_direct(small);
  CHECK(told->last.kind == allocation_kind::direct);
  CHECK(told->last.stream_id == 0);
  s.pool.deallocate_direct(p);
  CHECK(told->allocated == 4);
  CHECK(told->deallocated == 4);
  s.pool.deallocate(s.pool.allocate(0, stream), stream);
  CHECK(told->allocated == 4);
  CHECK(told->wrong == 0);
}

TEST_CASE("observer: native events follow what is held and reserved") {
  const auto told = std::make_shared<account>();
  scene s({.observer = told});
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : {small, medium, big, 3 * big}) {
    s.put(s.get(bytes, stream), bytes, stream);
    std::size_t held = 0;
    for (const auto& [p, n] : told->native) held += n;
    CHECK(held == s.pool.statistics().held);
    CHECK(told->reserved == s.pool.statistics().reserved);
  }
  s.device->synchronize();
  must(s.pool.trim(0));
  CHECK(told->native.empty());
  CHECK(told->reserved == 0);
  CHECK(told->trims > 0);
  CHECK(told->wrong == 0);
}

TEST_CASE("observer: told of failures, and not of frees that were refused") {
  const auto told = std::make_shared<account>();
  scene s({.bytes_max = 128 * MiB, .observer = told});
  const weir::stream stream = s.make_stream();
  CHECK(why(s.pool.try_allocate(256 * MiB, stream)) == errc::out_of_memory);
  CHECK(why(s.pool.try_allocate_direct(256 * MiB)) == errc::out_of_memory);
  CHECK(why(s.pool.try_allocate(1, stream, 3)) == errc::invalid_alignment);
  CHECK(told->failures == std::vector{errc::out_of_memory, errc::out_of_memory, errc::invalid_alignment});
  void* p = s.get(small, stream);
  CHECK(why(s.pool.try_deallocate(p, 1, stream)) == errc::size_mismatch);
  CHECK(told->deallocated == 0);
  s.put(p, small, stream);
  CHECK(why(s.pool.try_deallocate(p, stream)) == errc::double_free);
  CHECK(told->deallocated == 1);
}

TEST_CASE("observer: from several threads at once, the account balances") {
  const auto told = std::make_shared<account>();
  scene s({.observer = told});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, stream = s.make_stream()] {
      for (std::size_t i = 0; i < 200; ++i) {
        const std::size_t bytes = 100 << (i % 18);
        if (auto p = s.pool.try_allocate(bytes, stream)) s.pool.deallocate(*p, bytes, stream);
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(told->allocated == 800);
  CHECK(told->deallocated == 800);
  CHECK(told->live.empty());
  CHECK(told->wrong == 0);
}

TEST_CASE("leaks: blocks live at the end are reported with count, bytes and the oldest, and given back") {
  for (const bool direct : {false, true}) {
    const auto told = std::make_shared<account>();
    const auto device = sim::device::make();
    void* oldest = nullptr;
    {
      weir::pool pool = pool::make(device->make_backend(), {.observer = told});
      const weir::stream stream = must(pool.stream(device->create_stream()));
      pool.deallocate(pool.allocate(small, stream), stream);
      pool.deallocate(pool.allocate(big, stream), stream);
      oldest = direct ? pool.allocate_direct(big) : pool.allocate(big, stream);
      (void)pool.allocate(2 * big, stream);
      (void)pool.allocate(medium, stream);
      (void)pool.allocate(4096, stream);
      (void)pool.allocate(4096, stream);
    }
    REQUIRE(told->leaks.size() == 1);
    const leak_event& leak = told->leaks.front();
    CHECK(leak.count == 5);
    CHECK(leak.bytes == 3 * big + medium + 2 * 4096);
    CHECK(leak.oldest == oldest);
    CHECK(leak.oldest_bytes == big);
    CHECK(leak.device == 0);
    CHECK(device->calls().deallocate == device->calls().allocate);
    CHECK(device->calls().direct_deallocate == device->calls().direct_allocate);
    CHECK(must(device->make_backend()->memory()).free == must(device->make_backend()->memory()).total);
  }
}

TEST_CASE("leaks: of small blocks alone, the oldest is one of them") {
  const auto told = std::make_shared<account>();
  const auto device = sim::device::make();
  std::set<const void*> blocks;
  {
    weir::pool pool = pool::make(device->make_backend(), {.observer = told});
    const weir::stream stream = must(pool.stream(device->create_stream()));
    for (int i = 0; i < 3; ++i) blocks.insert(pool.allocate(512, stream));
  }
  REQUIRE(told->leaks.size() == 1);
  CHECK(told->leaks[0].count == 3);
  CHECK(told->leaks[0].bytes == 3 * 512);
  CHECK(blocks.contains(told->leaks[0].oldest));
  CHECK(told->leaks[0].oldest_bytes == 512);
}

TEST_CASE("leaks: a pool whose blocks were all freed, cached or pending, reports none") {
  const auto told = std::make_shared<account>();
  const auto device = sim::device::make();
  {
    weir::pool pool = pool::make(device->make_backend(), {.observer = told});
    const weir::stream a = must(pool.stream(device->create_stream()));
    const weir::stream b = must(pool.stream(device->create_stream()));
    for (const std::size_t bytes : {small, medium, big}) {
      void* p = pool.allocate(bytes, a);
      device->launch(a.handle(), long_ns, {{p, bytes}});
      device->order(a.handle(), b.handle());
      pool.deallocate(p, b);
      pool.deallocate(pool.allocate(bytes, a), a);
    }
  }
  CHECK(told->leaks.empty());
  CHECK(device->violations().empty());
  CHECK(device->now_ns() >= long_ns);  // it waited for the device
}

TEST_CASE("observer: a direct free that a lost device refuses leaves the block live") {
  const auto told = std::make_shared<account>();
  scene s({.observer = told});
  void* p = must(s.pool.try_allocate_direct(small));
  s.device->inject(sim::fault::sticky, 1);
  CHECK(why(s.pool.try_deallocate_direct(p)) == errc::device_lost);
  CHECK(told->live.size() == 1);
  CHECK(told->wrong == 0);
  CHECK(s.pool.statistics().live_count == 1);
}

}  // namespace
}  // namespace weir::test
