// SPDX-License-Identifier: Apache-2.0
#include "weir/pools.hpp"

#include <array>
#include <atomic>
#include <set>
#include <thread>

#include "scene.hpp"

namespace weir::test {
namespace {

// Three simulated devices; counts the backends made.
struct machine {
  std::array<std::shared_ptr<sim::device>, 3> devices{
      sim::device::make({.ordinal = 0}), sim::device::make({.ordinal = 1}), sim::device::make({.ordinal = 2})};
  std::array<std::atomic<int>, 3> made{};

  weir::pools make_pools(pool_options options = {}) {
    return {3,
            [this](int device) -> result<std::unique_ptr<backend>> {
              ++made[static_cast<std::size_t>(device)];
              return devices[static_cast<std::size_t>(device)]->make_backend();
            },
            std::move(options)};
  }
};

TEST_CASE("pools: one for each device, made at first use and once") {
  machine m;
  auto pools = m.make_pools();
  CHECK(must(pools.device_count()) == 3);
  CHECK(pools.statistics().pools == 0);
  pool* const second = must(pools.on(1));
  CHECK(second->device() == 1);
  CHECK(must(pools.on(1)) == second);
  CHECK(m.made[0] == 0);
  CHECK(m.made[1] == 1);
  CHECK(m.made[2] == 0);
  CHECK(must(pools.on(0)) != second);
  CHECK(must(pools.on(1)) == second);
}

TEST_CASE("pools: a stream leads to its own device's") {
  machine m;
  auto pools = m.make_pools();
  for (int device = 2; device >= 0; --device) {
    const raw_stream stream = m.devices[static_cast<std::size_t>(device)]->create_stream();
    pool* const here = must(pools.on(stream));
    CHECK(here->device() == device);
    CHECK(here == must(pools.on(device)));
    here->deallocate(here->allocate(1000, stream), stream);
  }
  CHECK(must(pools.on(raw_stream(legacy_stream())))->device() == 0);
}

TEST_CASE("pools: a stream of none of the devices, or none at all, is refused") {
  machine m;
  auto pools = m.make_pools();
  const auto other = sim::device::make({.ordinal = 3});
  CHECK(why(pools.on(raw_stream(other->create_stream()))) == errc::wrong_device);
  CHECK(why(pools.on(raw_stream(reinterpret_cast<stream_handle>(std::uintptr_t{0x7770})))) == errc::wrong_device);
}

TEST_CASE("pools: a device that does not exist is refused, with both numbers") {
  machine m;
  auto pools = m.make_pools();
  for (const int device : {-1, 3, 1000}) {
    const auto refusal = pools.on(device);
    REQUIRE(why(refusal) == errc::no_such_device);
    CHECK(refusal.error().message() == "no such device: device " + std::to_string(device) + " of 3");
  }
  CHECK(pools.statistics().pools == 0);
}

TEST_CASE("pools: a device whose backend cannot be made says why, and can be asked again") {
  bool broken = true;
  const auto device = sim::device::make();
  weir::pools pools(1, [&](int) -> result<std::unique_ptr<backend>> {
    if (broken) return error{.code = errc::device_lost};
    return device->make_backend();
  });
  CHECK(why(pools.on(0)) == errc::device_lost);
  broken = false;
  CHECK(why(pools.on(0)) == errc::ok);
}

TEST_CASE("pools: statistics are the sums over those made") {
  machine m;
  auto pools = m.make_pools();
  std::vector<std::pair<pool*, weir::stream>> used;
  for (const int device : {0, 2}) {
    pool* const here = must(pools.on(device));
    used.emplace_back(here, must(here->stream(m.devices[static_cast<std::size_t>(device)]->create_stream())));
  }
  std::vector<void*> live;
  for (auto& [here, stream] : used) {
    live.push_back(here->allocate(4096, stream));
    here->deallocate(here->allocate(64 * MiB, stream), stream);
    here->deallocate_direct(here->allocate_direct(100));
    CHECK(why(here->try_allocate(1, stream, 3)) == errc::invalid_alignment);
  }
  const auto sum = pools.statistics();
  const auto a = used[0].first->statistics(), b = used[1].first->statistics();
  CHECK(sum.pools == 2);
  CHECK(sum.allocated == 2 * 4096);
  CHECK(sum.live_count == 2);
  CHECK(sum.held == a.held + b.held);
  CHECK(sum.free == a.free + b.free);
  CHECK(sum.reserved == a.reserved + b.reserved);
  CHECK(sum.cached == a.cached + b.cached);
  CHECK(sum.pending == a.pending + b.pending);
  CHECK(sum.allocations == 6);
  CHECK(sum.deallocations == 4);
  CHECK(sum.failures == 2);
  CHECK(sum.served.native == a.served.native + b.served.native);
  CHECK(sum.served.direct == 2);
  CHECK(sum.native.allocate == a.native.allocate + b.native.allocate);
  CHECK(sum.native.query == a.native.query + b.native.query);
  CHECK(sum.largest_free == std::max(a.largest_free, b.largest_free));
  CHECK(sum.held_peak == a.held_peak + b.held_peak);
  CHECK(sum.streams.empty());
  CHECK(sum.classes.empty());
  for (std::size_t i = 0; i < 2; ++i) used[i].first->deallocate(live[i], used[i].second);
}

TEST_CASE("pools: options go to every pool") {
  machine m;
  auto pools = m.make_pools({.bytes_max = 64 * MiB});
  for (int device = 0; device < 3; ++device) {
    pool* const here = must(pools.on(device));
    const raw_stream stream = m.devices[static_cast<std::size_t>(device)]->create_stream();
    CHECK(why(here->try_allocate(65 * MiB, stream)) == errc::out_of_memory);
  }
}

TEST_CASE("pools: many threads at once get the same pools, made once each") {
  machine m;
  auto pools = m.make_pools();
  std::array<std::array<pool*, 3>, 8> seen{};
  std::vector<std::thread> threads;
  for (auto& mine : seen)
    threads.emplace_back([&] {
      for (int i = 0; i < 30; ++i) {
        const auto device = static_cast<std::size_t>(i % 3);
        const auto here = pools.on(i % 3);
        if (!here) return;
        mine[device] = *here;
        (void)pools.statistics();
        const raw_stream stream = legacy_stream();
        if (auto p = (*here)->try_allocate(1000, stream)) (*here)->deallocate(*p, stream);
      }
    });
  for (std::thread& t : threads) t.join();
  for (const auto& mine : seen) CHECK(mine == seen[0]);
  for (std::size_t device = 0; device < 3; ++device) {
    CHECK(seen[0][device] != nullptr);
    CHECK(m.made[device] == 1);
  }
  CHECK(pools.statistics().allocations == 240);
  CHECK(pools.statistics().allocated == 0);
}

}  // namespace
}  // namespace weir::test
