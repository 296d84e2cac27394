// SPDX-License-Identifier: Apache-2.0
//
// What native calls cost on the simulated device, in virtual time and on the calling thread's clock. The figures are
// those of the measurement the model is built from.
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <thread>
#include <vector>

#include "support/results.hpp"
#include "weir/sim.hpp"

namespace weir::test {
namespace {

constexpr std::size_t MiB = std::size_t{1} << 20;

struct bench {
  std::shared_ptr<sim::device> device = sim::device::make();
  std::unique_ptr<backend> target = device->make_backend();
  stream_handle stream = device->create_stream();

  template <class Call>
  std::uint64_t ns(Call call) {
    const std::uint64_t before = device->now_ns();
    call();
    return device->now_ns() - before;
  }
  void* allocate(std::size_t bytes) { return must(target->allocate(bytes, stream)); }
  void deallocate(void* pointer) { must(target->deallocate(pointer, stream)); }
};

TEST_CASE("costs: growth takes 0.9 us a MiB of whole chunks") {
  bench b;
  CHECK(b.ns([&] { b.allocate(2 * MiB); }) == 550 + 32 * 900);
  CHECK(b.ns([&] { b.allocate(1024 * MiB); }) == 550 + 1024 * 900);
}

TEST_CASE("costs: reuse and a free take half a microsecond at any size") {
  bench b;
  for (const std::size_t bytes : {std::size_t{512}, MiB, 256 * MiB}) {
    void* pointer = b.allocate(bytes);
    CHECK(b.ns([&] { b.deallocate(pointer); }) == 480);
    CHECK(b.ns([&] { b.allocate(bytes); }) == 550);
  }
}

TEST_CASE("costs: remapping takes 31 us a chunk") {
  for (const std::size_t chunks : {2u, 8u, 64u}) {
    bench b;
    std::vector<void*> all;
    for (std::size_t i = 0; i < 2 * chunks; ++i) all.push_back(b.allocate(32 * MiB));
    for (std::size_t i = 0; i < all.size(); i += 2) b.deallocate(all[i]);
    const std::uint64_t cost = b.ns([&] { b.allocate(chunks * 32 * MiB); });
    CHECK(must(b.target->pool_bytes()).reserved == 2 * chunks * 32 * MiB);
    CHECK(cost >= 550 + (chunks - 1) * 31'000);  // one free chunk may lie at the edge and stay where it is
    CHECK(cost <= 550 + chunks * 31'000);
    CHECK(b.device->calls().remap == 1);
  }
}

TEST_CASE("costs: whole free chunks of another stream are taken over where they are") {
  bench b;
  b.deallocate(b.allocate(64 * MiB));
  const stream_handle other = b.device->create_stream();
  CHECK(b.ns([&] { must(b.target->allocate(64 * MiB, other)); }) == 550);
}

TEST_CASE("costs: events, queries, identities and memory") {
  bench b;
  backend_event* event = nullptr;
  CHECK(b.ns([&] { event = must(b.target->create_event()); }) == 180);
  CHECK(b.ns([&] { must(b.target->record(event, b.stream)); }) == 246);
  CHECK(b.ns([&] { must(b.target->query(event)); }) == 295);
  CHECK(b.ns([&] { must(b.target->wait(b.stream, event)); }) == 244);
  CHECK(b.ns([&] { must(b.target->synchronize(event)); }) == 406);
  CHECK(b.ns([&] { must(b.target->identify(b.stream)); }) == 67);
  CHECK(b.ns([&] { must(b.target->memory()); }) == 6511);
  CHECK(b.ns([&] { must(b.target->pool_bytes()); }) == 0);
  b.target->destroy_event(event);
}

TEST_CASE("costs: trim and direct allocation grow with the bytes") {
  bench b;
  b.deallocate(b.allocate(1024 * MiB));
  CHECK(b.ns([&] { must(b.target->trim(0)); }) == 36'000);  // complete, but nobody waited for it
  CHECK(must(b.target->pool_bytes()).reserved == 1024 * MiB);
  backend_event* event = must(b.target->create_event());
  must(b.target->record(event, b.stream));
  must(b.target->synchronize(event));
  b.target->destroy_event(event);
  CHECK(b.ns([&] { must(b.target->trim(0)); }) == 36'000 + 1024 * 1000);
  void* direct = nullptr;
  CHECK(b.ns([&] { direct = must(b.target->allocate_direct(1024 * MiB)); }) == 35'000 + 1024 * 67);
  CHECK(b.ns([&] { must(b.target->deallocate_direct(direct)); }) == 35'000 + 1024 * 290);
}

TEST_CASE("costs: waiting takes until the work is done") {
  bench b;
  b.device->launch(b.stream, 5'000'000, {});
  CHECK(b.ns([&] { must(b.target->synchronize_device()); }) == 5'000'000);
  CHECK(b.ns([&] { must(b.target->synchronize_device()); }) == 406);
}

TEST_CASE("costs: measured time plus the adjustment is the modelled time") {
  bench b;
  const auto began = std::chrono::steady_clock::now();
  const std::int64_t before = b.target->clock_adjustment_ns();
  b.allocate(100 * 1024 * MiB);
  const std::int64_t adjusted = b.target->clock_adjustment_ns() - before;
  const auto real = std::chrono::nanoseconds(std::chrono::steady_clock::now() - began).count();
  const std::int64_t modelled = 550 + 100 * 1024 * 900;
  CHECK(adjusted + real >= modelled);
  CHECK(adjusted <= modelled);
}

TEST_CASE("costs: the adjustment is the calling thread's own") {
  bench b;
  const std::int64_t before = b.target->clock_adjustment_ns();
  std::thread([&] { (void)b.target->allocate(MiB, b.stream); }).join();
  CHECK(b.target->clock_adjustment_ns() == before);
}

}  // namespace
}  // namespace weir::test
