// SPDX-License-Identifier: Apache-2.0
//
// The allocator as TensorRT calls it, through its interface. Compiled with TensorRT's own header where that is found,
// else with a stand-in.
#include "weir/adapters/tensorrt.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "unit/pool/scene.hpp"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // the deprecated forms have rules too

namespace weir::test {
namespace {

// A pool on the simulated device, shared with the allocator; the scene's checks at the end.
struct trt_scene {
  explicit trt_scene(pool_options options = {})
      : device(sim::device::make()),
        pool(std::make_shared<weir::pool>(
            weir::pool::make(device->make_backend(), adapters::for_host(std::move(options))))),
        allocator(pool, [this](const error& e) { told.push_back(e.code); }) {}
  ~trt_scene() {
    CHECK(device->violations().empty());
    CHECK(pool->validate().empty());
  }
  std::size_t live() const { return pool->statistics().live_count; }

  std::shared_ptr<sim::device> device;
  std::shared_ptr<weir::pool> pool;
  std::vector<errc> told;
  tensorrt::gpu_allocator allocator;
  nvinfer1::IGpuAllocator& host = allocator;
};

TEST_CASE("tensorrt: memory comes and goes in the order of the stream that is named") {
  trt_scene s;
  stream_handle a = s.device->create_stream();
  void* block = s.host.allocateAsync(3 * MiB, 256, 0, a);
  REQUIRE(block != nullptr);
  s.device->launch(a, long_ns, {{block, 3 * MiB}});
  CHECK(s.host.deallocateAsync(block, a));
  CHECK(s.host.allocateAsync(3 * MiB, 256, 0, a) == block);
  s.device->launch(a, 1000, {{block, 3 * MiB}});
  CHECK(s.host.deallocateAsync(block, a));
  CHECK(s.live() == 0);
  CHECK(s.told.empty());
}

TEST_CASE("tensorrt: size 0 is null, null may be freed, alignment 0 is any") {
  trt_scene s;
  stream_handle a = s.device->create_stream();
  CHECK(s.host.allocateAsync(0, 0, 0, a) == nullptr);
  CHECK(s.host.allocate(0, 0, 0) == nullptr);
  CHECK(s.host.deallocateAsync(nullptr, a));
  CHECK(s.host.deallocate(nullptr));
  CHECK(s.told.empty());
  for (const std::uint64_t alignment : {0, 1, 16, 128, 256}) {
    void* block = s.host.allocateAsync(1000, alignment, 0, a);
    REQUIRE(block != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(block) % 256 == 0);
    CHECK(s.host.deallocateAsync(block, a));
  }
}

TEST_CASE("tensorrt: where there is no room it gets null, and the listener is told why") {
  trt_scene s({.bytes_max = 64 * MiB});
  stream_handle a = s.device->create_stream();
  CHECK(s.host.allocateAsync(GiB, 256, 0, a) == nullptr);
  CHECK(s.host.allocate(GiB, 256, 0) == nullptr);
  CHECK(s.host.allocateAsync(1000, 3, 0, a) == nullptr);
  CHECK(s.told == std::vector<errc>{errc::out_of_memory, errc::out_of_memory, errc::invalid_alignment});
}

TEST_CASE("tensorrt: a listener that throws is no harm") {
  trt_scene s({.bytes_max = 64 * MiB});
  tensorrt::gpu_allocator throwing(s.pool, [](const error&) { throw std::runtime_error("from the listener"); });
  CHECK(throwing.allocateAsync(GiB, 256, 0, s.device->create_stream()) == nullptr);
}

TEST_CASE("tensorrt: what is not its block is answered false, and nothing changes") {
  trt_scene s;
  stream_handle a = s.device->create_stream();
  void* block = s.host.allocateAsync(4096, 256, 0, a);
  CHECK_FALSE(s.host.deallocateAsync(offset(block, 64), a));
  CHECK(s.live() == 1);
  CHECK(s.host.deallocateAsync(block, a));
  CHECK(s.told == std::vector<errc>{errc::foreign_pointer});
}

TEST_CASE("tensorrt: on a capturing stream the answer is null, and says so") {
  trt_scene s;
  stream_handle a = s.device->create_stream();
  CHECK(s.host.deallocateAsync(s.host.allocateAsync(4096, 256, 0, a), a));
  s.device->set_capturing(a, true);
  CHECK(s.host.allocateAsync(4096, 256, 0, a) == nullptr);
  CHECK(s.told == std::vector<errc>{errc::stream_capturing});
  s.device->set_capturing(a, false);
}

TEST_CASE("tensorrt: reallocate declines, and the block stays") {
  trt_scene s;
  stream_handle a = s.device->create_stream();
  const auto resizable = nvinfer1::AllocatorFlags{1} << static_cast<unsigned>(nvinfer1::AllocatorFlag::kRESIZABLE);
  void* block = s.host.allocateAsync(4096, 256, resizable, a);
  CHECK(s.host.reallocate(block, 256, 8192) == nullptr);
  CHECK(s.live() == 1);
  CHECK(s.host.deallocateAsync(block, a));
}

TEST_CASE("tensorrt: the deprecated forms give memory for every stream, and free what is still in use") {
  trt_scene s({.bytes_max = 64 * MiB});
  stream_handle a = s.device->create_stream(), b = s.device->create_stream();
  void* block = s.host.allocate(40 * MiB, 256, 0);
  REQUIRE(block != nullptr);
  s.device->launch(a, long_ns, {{block, 40 * MiB}});
  CHECK(s.host.deallocate(block));
  void* again = s.host.allocate(40 * MiB, 256, 0);
  REQUIRE(again != nullptr);
  s.device->launch(b, 1000, {{again, 40 * MiB}});  // the end looks for a violation
  CHECK(s.host.deallocateAsync(again, b));         // both kinds mix
  CHECK(s.live() == 0);
}

TEST_CASE("tensorrt: what a deprecated form gives is ready for a stream that minds no other") {
  trt_scene s({.bytes_max = 64 * MiB});
  stream_handle a = s.device->create_stream(), b = s.device->create_stream();
  const weir::stream token = must(s.pool->stream(a));  // so that the pool makes others wait for it
  void* block = s.host.allocateAsync(40 * MiB, 256, 0, a);
  s.device->launch(a, long_ns, {{block, 40 * MiB}});
  CHECK(s.host.deallocateAsync(block, a));  // nearly all of the pool, and a works on it
  void* ready = s.host.allocate(40 * MiB, 256, 0);
  REQUIRE(ready != nullptr);
  s.device->launch(b, 1000, {{ready, 40 * MiB}});  // the end looks for a violation
  CHECK(s.host.deallocateAsync(ready, b));
}

TEST_CASE("tensorrt: the null stream is the default stream") {
  trt_scene s;
  void* block = s.host.allocateAsync(4096, 256, 0, nullptr);
  REQUIRE(block != nullptr);
  s.device->launch(legacy_stream(), 1000, {{block, 4096}});
  CHECK(s.host.deallocateAsync(block, nullptr));
  CHECK(s.live() == 0);
}

TEST_CASE("tensorrt: threads at once, each on its stream") {
  trt_scene s;
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&s, &failed, on = s.device->create_stream()] {
      for (std::size_t i = 0; i < 500; ++i) {
        void* block = s.host.allocateAsync(256 + i * 997, 0, 0, on);
        if (!block || !s.host.deallocateAsync(block, on)) ++failed;
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(failed == 0);
  CHECK(s.live() == 0);
}

TEST_CASE("tensorrt: it says which interface it is") {
  trt_scene s;
  CHECK(s.host.getInterfaceInfo().major == 1);
  CHECK_THROWS_AS(tensorrt::gpu_allocator(nullptr), weir::logic_error);
}

}  // namespace
}  // namespace weir::test
