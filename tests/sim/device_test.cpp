// SPDX-License-Identifier: Apache-2.0
//
// The simulated device itself: time, capacity, handles, faults, addresses.
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/results.hpp"
#include "weir/sim.hpp"

namespace weir::test {
namespace {

constexpr std::size_t MiB = std::size_t{1} << 20;
constexpr std::size_t GiB = std::size_t{1} << 30;

std::uintptr_t address(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

TEST_CASE("time: work takes its duration and begins after the stream's work before") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const stream_handle stream = device->create_stream();
  device->launch(stream, 1000, {});
  device->launch(stream, 2000, {});
  device->synchronize(stream);
  CHECK(device->now_ns() == 3000);
}

TEST_CASE("time: streams run side by side") {
  const auto device = sim::device::make();
  device->launch(device->create_stream(), 1000, {});
  device->launch(device->create_stream(), 2000, {});
  device->synchronize();
  CHECK(device->now_ns() == 2000);
}

TEST_CASE("time: asking for an event again and again ends") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const stream_handle stream = device->create_stream();
  backend_event* event = must(target->create_event());
  device->launch(stream, 100'000, {});
  must(target->record(event, stream));
  int queries = 1;
  while (!must(target->query(event))) ++queries;
  CHECK(queries > 100);
  CHECK(queries <= 100'000 / 295 + 1);
  target->destroy_event(event);
}

TEST_CASE("time: a launch takes the host its time, and waits while too many are unfinished on its stream") {
  const auto device = sim::device::make({.costs = {.launch_ns = 10}, .launches_max = 3});
  const stream_handle stream = device->create_stream(), other = device->create_stream();
  for (int i = 0; i < 3; ++i) device->launch(stream, 1000, {});  // complete at 1010, 2010, 3010
  CHECK(device->now_ns() == 30);
  device->launch(other, 1000, {});
  CHECK(device->now_ns() == 40);
  device->launch(stream, 1000, {});
  CHECK(device->now_ns() == 1010);
  device->advance(5000);
  for (int i = 0; i < 3; ++i) device->launch(stream, 1000, {});
  CHECK(device->now_ns() == 6040);
}

TEST_CASE("time: the work of a destroyed stream is waited for") {
  const auto device = sim::device::make();
  const stream_handle stream = device->create_stream();
  device->launch(stream, 5000, {});
  device->destroy_stream(stream);
  device->synchronize();
  CHECK(device->now_ns() == 5000);
}

TEST_CASE("capacity: pools, direct memory and the neighbour share what the device has") {
  const auto device = sim::device::make({.bytes_total = GiB});
  const auto first = device->make_backend();
  const auto second = device->make_backend();
  must(first->allocate(256 * MiB, first->own_stream()));
  must(second->allocate(256 * MiB, second->own_stream()));
  void* direct = must(first->allocate_direct(128 * MiB + 1));
  CHECK(must(first->memory()).free == (1024 - 512 - 130) * MiB);
  device->set_neighbour_bytes(256 * MiB);
  CHECK(must(second->memory()).free == (1024 - 512 - 130 - 256) * MiB);
  const auto refused = second->allocate(128 * MiB, second->own_stream());
  REQUIRE(why(refused) == errc::out_of_memory);
  CHECK(refused.error().bytes == 128 * MiB);
  CHECK(refused.error().limit == 96 * MiB);  // whole chunks of the 126 MiB left
  CHECK(why(second->allocate_direct(127 * MiB)) == errc::out_of_memory);
  must(first->deallocate_direct(direct));
  must(second->allocate(128 * MiB, second->own_stream()));
}

TEST_CASE("capacity: a pool that dies gives all back, blocks in use too") {
  const auto device = sim::device::make({.bytes_total = GiB});
  const auto stays = device->make_backend();
  auto dies = device->make_backend();
  must(dies->allocate(512 * MiB, dies->own_stream()));
  dies.reset();
  CHECK(must(stays->memory()).free == GiB);
}

TEST_CASE("capacity: a larger neighbour than there is room for leaves nothing, not less") {
  const auto device = sim::device::make({.bytes_total = GiB});
  const auto target = device->make_backend();
  device->set_neighbour_bytes(8 * GiB);
  CHECK(must(target->memory()).free == 0);
}

TEST_CASE("capacity: when the device gives nothing, a stream waits for what another has freed") {
  const auto device = sim::device::make({.bytes_total = GiB});
  const auto target = device->make_backend();
  const stream_handle a = device->create_stream();
  const stream_handle b = device->create_stream();
  void* all = must(target->allocate(GiB, a));
  device->launch(a, 10'000'000, {});
  must(target->deallocate(all, a));
  CHECK(must(target->allocate(GiB, b)) == all);
  CHECK_FALSE(must(target->is_idle(b)));
  device->launch(b, 0, {{all, GiB}});
  CHECK(device->violations().empty());
}

TEST_CASE("capacity: all of the device in one piece") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  must(target->allocate(140 * GiB, target->own_stream()));
  CHECK(must(target->memory()).free == 0);
}

TEST_CASE("capacity: a range freed, reused and freed again is behind its last free") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const stream_handle a = device->create_stream();
  const stream_handle b = device->create_stream();
  void* range = must(target->allocate(32 * MiB, a));
  device->launch(a, 10'000'000, {});
  must(target->deallocate(range, a));
  CHECK(must(target->allocate(32 * MiB, a)) == range);
  device->launch(a, 50'000'000, {});
  must(target->deallocate(range, a));
  device->advance(20'000'000);  // past the first free, not past the second
  CHECK(must(target->allocate(32 * MiB, b)) != range);
  device->advance(50'000'000);
  CHECK(must(target->allocate(32 * MiB, b)) == range);
}

TEST_CASE("handle: the last one destroyed comes back first, with a new identity") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const stream_handle a = device->create_stream();
  const stream_handle b = device->create_stream();
  const std::uint64_t old = must(target->identify(b));
  device->destroy_stream(a);
  device->destroy_stream(b);
  CHECK(device->create_stream() == b);
  CHECK(device->create_stream() == a);
  CHECK(must(target->identify(b)) != old);
}

TEST_CASE("handle: a dead one and a made-up one are refused by name") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  backend_event* event = must(target->create_event());
  const stream_handle dead = device->create_stream();
  device->destroy_stream(dead);
  for (const stream_handle bad : {dead, reinterpret_cast<stream_handle>(std::uintptr_t{0xdead})}) {
    CHECK(why(target->allocate(MiB, bad)) == errc::invalid_argument);
    CHECK(why(target->is_idle(bad)) == errc::invalid_argument);
    CHECK(why(target->identify(bad)) == errc::invalid_argument);
    CHECK(why(target->examine(bad)) == errc::invalid_argument);
    CHECK(why(target->record(event, bad)) == errc::invalid_argument);
    CHECK(why(target->wait(bad, event)) == errc::invalid_argument);
    CHECK(why(target->destroy_stream(bad)) == errc::invalid_argument);
  }
  CHECK(device->violations().empty());
  device->launch(dead, 10, {});
  CHECK(device->violations().size() == 1);
  target->destroy_event(event);
}

TEST_CASE("handle: a stream of another device is refused as that") {
  const auto here = sim::device::make();
  const auto there = sim::device::make({.ordinal = 1});
  const auto target = here->make_backend();
  const stream_handle foreign = there->create_stream();
  CHECK(why(target->examine(foreign)) == errc::wrong_device);
  CHECK(why(target->allocate(MiB, foreign)) == errc::wrong_device);
  CHECK(must(target->identify(foreign)) != 0);
}

TEST_CASE("capture: of a blocking stream, it takes the legacy stream out of use") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const stream_handle blocking = device->create_stream(false);
  const stream_handle other = device->create_stream();
  device->set_capturing(other, true);
  CHECK(why(target->identify(legacy_stream())) == errc::ok);
  device->set_capturing(blocking, true);
  CHECK(why(target->identify(legacy_stream())) == errc::stream_capturing);
  CHECK(why(target->examine(legacy_stream())) == errc::stream_capturing);
  CHECK(why(target->allocate(MiB, legacy_stream())) == errc::stream_capturing);
  CHECK(why(sim::device::make()->make_backend()->identify(blocking)) == errc::stream_capturing);
  device->set_capturing(blocking, false);
  CHECK(why(target->examine(legacy_stream())) == errc::ok);
}

TEST_CASE("native pool: a power of two behind others is not aligned to itself") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const stream_handle stream = device->create_stream();
  must(target->allocate(33 * 1024, stream));  // at the chunk's low end; what follows comes from its high end
  for (std::size_t bytes = 64 * 1024; bytes <= 16 * MiB; bytes *= 4) {
    must(target->allocate(33 * 1024, stream));
    CHECK(reinterpret_cast<std::uintptr_t>(must(target->allocate(bytes, stream))) % bytes != 0);
  }
}

TEST_CASE("addresses: no two devices or backends share any, and none is real") {
  std::vector<std::shared_ptr<sim::device>> devices;
  std::vector<std::unique_ptr<backend>> backends;
  std::set<void*> all;
  for (int i = 0; i < 4; ++i) devices.push_back(sim::device::make());
  for (const auto& device : devices)
    for (int i = 0; i < 2; ++i) {
      backends.push_back(device->make_backend());
      CHECK(all.insert(must(backends.back()->allocate(MiB, backends.back()->own_stream()))).second);
      CHECK(all.insert(must(backends.back()->allocate_direct(MiB))).second);
    }
  CHECK(address(*all.begin()) >= std::uintptr_t{1} << 47);
  CHECK(address(*all.rbegin()) < std::uintptr_t{1} << 49);
}

TEST_CASE("addresses: windows and parts come back") {
  for (int i = 0; i < 200; ++i) {
    const auto device = sim::device::make();
    for (int j = 0; j < 20; ++j) CHECK(device->make_backend() != nullptr);
  }
}

TEST_CASE("addresses: more devices or backends than there is room for are refused") {
  const auto device = sim::device::make();
  std::vector<std::unique_ptr<backend>> backends;
  CHECK_THROWS_AS(
      [&] {
        for (;;) backends.push_back(device->make_backend());
      }(),
      std::runtime_error);
  CHECK(backends.size() >= 8);
  std::vector<std::shared_ptr<sim::device>> devices;
  CHECK_THROWS_AS(
      [&] {
        for (;;) devices.push_back(sim::device::make());
      }(),
      std::runtime_error);
  CHECK(devices.size() >= 32);
}

TEST_CASE("addresses: a long run of odd sizes stays in its part") {
  const auto device = sim::device::make({.bytes_total = 8 * GiB});
  const auto target = device->make_backend();
  const stream_handle stream = target->own_stream();
  std::vector<void*> live;
  std::uint64_t seed = 1;
  for (int i = 0; i < 20'000; ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    if (live.size() > 20) {
      must(target->deallocate(live[(seed >> 33) % live.size()], stream));
      live.erase(live.begin() + static_cast<std::ptrdiff_t>((seed >> 33) % live.size()));
    }
    live.push_back(must(target->allocate((seed >> 40) % (300 * MiB) + 1, stream)));
  }
  CHECK(must(target->pool_bytes()).reserved <= 8 * GiB);
}

TEST_CASE("fault: the calls planned fail, those before and after do not") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const stream_handle stream = target->own_stream();
  device->inject(sim::fault::allocate, 2, 1);
  must(target->allocate(MiB, stream));
  const auto refused = target->allocate(MiB, stream);
  REQUIRE(why(refused) == errc::out_of_memory);
  CHECK(refused.error().bytes == MiB);
  CHECK(why(target->allocate(MiB, stream)) == errc::out_of_memory);
  must(target->allocate(MiB, stream));
  CHECK(must(target->pool_bytes()).used == 2 * MiB);
}

TEST_CASE("fault: each kind strikes its own call and changes nothing") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const stream_handle stream = target->own_stream();
  void* pointer = must(target->allocate(MiB, stream));
  backend_event* event = must(target->create_event());
  for (const sim::fault kind :
       {sim::fault::deallocate, sim::fault::trim, sim::fault::create_event, sim::fault::record, sim::fault::wait,
        sim::fault::query, sim::fault::synchronize, sim::fault::allocate_direct})
    device->inject(kind, 1);
  CHECK(why(target->deallocate(pointer, stream)) == errc::cuda);
  CHECK(why(target->trim(0)) == errc::cuda);
  CHECK(why(target->create_event()) == errc::cuda);
  CHECK(why(target->record(event, stream)) == errc::cuda);
  CHECK(why(target->wait(stream, event)) == errc::cuda);
  CHECK(why(target->query(event)) == errc::cuda);
  CHECK(why(target->synchronize(event)) == errc::cuda);
  CHECK(why(target->allocate_direct(MiB)) == errc::out_of_memory);
  must(target->deallocate(pointer, stream));
  must(target->synchronize_device());
  target->destroy_event(event);
}

TEST_CASE("fault: an unfinished one is seen by who asks, not by who waits") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const stream_handle stream = target->own_stream();
  backend_event* event = must(target->create_event());
  must(target->record(event, stream));
  device->inject(sim::fault::unfinished, 3);
  CHECK_FALSE(must(target->query(event)));
  CHECK_FALSE(must(target->is_idle(stream)));
  must(target->synchronize(event));
  CHECK_FALSE(must(target->query(event)));
  CHECK(must(target->query(event)));
  CHECK(must(target->is_idle(stream)));
  target->destroy_event(event);
}

TEST_CASE("fault: a sticky one loses the device for good") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const auto other = device->make_backend();
  const stream_handle stream = target->own_stream();
  void* pointer = must(target->allocate(MiB, stream));
  device->inject(sim::fault::sticky, 1);
  const auto refused = target->allocate(MiB, stream);
  REQUIRE(why(refused) == errc::device_lost);
  CHECK(refused.error().native_code == 700);
  CHECK(why(target->deallocate(pointer, stream)) == errc::device_lost);
  CHECK(why(target->memory()) == errc::device_lost);
  CHECK(why(target->identify(stream)) == errc::device_lost);
  CHECK(why(target->synchronize_device()) == errc::device_lost);
  CHECK(why(other->allocate(MiB, other->own_stream())) == errc::device_lost);
}

TEST_CASE("bad pointers: what was never allocated, and twice freed, is refused") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  const stream_handle stream = target->own_stream();
  auto* pointer = static_cast<std::byte*>(must(target->allocate(MiB, stream)));
  CHECK(why(target->deallocate(pointer + 512, stream)) == errc::invalid_argument);
  CHECK(why(target->deallocate_direct(pointer)) == errc::invalid_argument);
  must(target->deallocate(pointer, stream));
  CHECK(why(target->deallocate(pointer, stream)) == errc::invalid_argument);
}

TEST_CASE("life: a backend keeps its device alive") {
  auto device = sim::device::make();
  const auto target = device->make_backend();
  device.reset();
  must(target->deallocate(must(target->allocate(MiB, target->own_stream())), target->own_stream()));
}

TEST_CASE("threads: many may use one backend at once, each with its own stream") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  std::atomic<int> failed{0};
  const auto work = [&] {
    const stream_handle stream = device->create_stream();
    backend_event* event = *target->create_event();
    for (int i = 0; i < 500; ++i) {
      const auto made = target->allocate(MiB, stream);
      if (!made) ++failed;
      device->launch(stream, 1000, {{*made, MiB}});
      if (!target->record(event, stream) || !target->query(event)) ++failed;
      if (!target->deallocate(*made, stream)) ++failed;
    }
    target->destroy_event(event);
    device->destroy_stream(stream);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (std::thread& t : threads) t.join();
  CHECK(failed == 0);
  CHECK(device->violations().empty());
  CHECK(must(target->pool_bytes()).used == 0);
  CHECK(device->calls().allocate == 2000);
}

TEST_CASE("sizes: the largest there are wrap nowhere") {
  const auto device = sim::device::make();
  const auto target = device->make_backend();
  for (const std::size_t bytes : {SIZE_MAX, SIZE_MAX - 511, SIZE_MAX / 2 + 1}) {
    CHECK(why(target->allocate(bytes, target->own_stream())) == errc::out_of_memory);
    CHECK(why(target->allocate_direct(bytes)) == errc::out_of_memory);
  }
}

}  // namespace
}  // namespace weir::test
