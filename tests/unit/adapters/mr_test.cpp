// SPDX-License-Identifier: Apache-2.0
//
// weir::mr::resource through the interfaces of CUDA's C++ library. Handles of the simulated device pass through
// cuda::stream_ref, which only carries them.
#include "weir/adapters/mr.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "unit/pool/scene.hpp"

#define MR_CASE(fact) TEST_CASE("mr with the " WEIR_TEST_CCCL " CCCL: " fact)

namespace weir::test {
namespace {

using weir::mr::resource;
using weir::mr::stream_allocator;

#ifdef WEIR_TEST_CCCL_IS_NEW
static_assert(CCCL_VERSION >= 3001000);
#endif

// What a program sees that is written for one generation.
#if CCCL_VERSION >= 3001000
static_assert(cuda::mr::resource<resource>);
static_assert(cuda::mr::synchronous_resource<resource>);
static_assert(cuda::mr::resource_with<resource, cuda::mr::device_accessible>);
using async_ref = cuda::mr::resource_ref<cuda::mr::device_accessible>;
using sync_ref = cuda::mr::synchronous_resource_ref<cuda::mr::device_accessible>;
static_assert(std::is_constructible_v<cuda::mr::any_resource<cuda::mr::device_accessible>, resource>);
#else
static_assert(cuda::mr::async_resource<resource>);
static_assert(cuda::mr::resource<resource>);
static_assert(cuda::mr::async_resource_with<resource, cuda::mr::device_accessible>);
using async_ref = cuda::mr::async_resource_ref<cuda::mr::device_accessible>;
using sync_ref = cuda::mr::resource_ref<cuda::mr::device_accessible>;
#endif
static_assert(cuda::has_property<resource, cuda::mr::device_accessible>);
static_assert(!cuda::has_property<resource, cuda::mr::host_accessible>);
static_assert(std::is_same_v<async_ref, weir::mr::device_resource_ref>);
static_assert(std::is_nothrow_copy_constructible_v<resource>);
static_assert(std::is_base_of_v<std::bad_alloc, weir::out_of_memory>);

void* get_async(async_ref from, std::size_t bytes, std::size_t alignment, cuda::stream_ref stream) {
#if CCCL_VERSION >= 3001000
  return from.allocate(stream, bytes, alignment);
#else
  return from.allocate_async(bytes, alignment, stream);
#endif
}

void put_async(async_ref to, void* block, std::size_t bytes, std::size_t alignment, cuda::stream_ref stream) {
#if CCCL_VERSION >= 3001000
  to.deallocate(stream, block, bytes, alignment);
#else
  to.deallocate_async(block, bytes, alignment, stream);
#endif
}

void* get_sync(sync_ref from, std::size_t bytes, std::size_t alignment) {
#if CCCL_VERSION >= 3001000
  return from.allocate_sync(bytes, alignment);
#else
  return from.allocate(bytes, alignment);
#endif
}

void put_sync(sync_ref to, void* block, std::size_t bytes, std::size_t alignment) {
#if CCCL_VERSION >= 3001000
  to.deallocate_sync(block, bytes, alignment);
#else
  to.deallocate(block, bytes, alignment);
#endif
}

MR_CASE("through the erased reference a block is in stream order and comes back") {
  scene s(adapters::for_host());
  resource memory(s.pool);
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* block = get_async(memory, 5000, 256, a.handle());
  s.write(block, 5000, a, long_ns);
  s.device->order(a.handle(), b.handle());
  s.read(block, 5000, b);
  put_async(memory, block, 5000, 256, b.handle());
  CHECK(get_async(memory, 5000, 256, b.handle()) == block);  // freed on b, so b's at once
  put_async(memory, block, 5000, 256, b.handle());
  CHECK(s.pool.statistics().live_count == 0);
}

MR_CASE("the synchronous form is ready for every stream") {
  scene s(adapters::for_host({.bytes_max = 64 * MiB}));
  resource memory(s.pool);
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* first = get_async(memory, 40 * MiB, 256, a.handle());
  s.write(first, 40 * MiB, a, long_ns);
  put_async(memory, first, 40 * MiB, 256, a.handle());  // nearly all of the pool, and a works on it
  void* block = get_sync(memory, 40 * MiB, 256);
  s.write(block, 40 * MiB, b);
  s.device->synchronize(b.handle());
  put_sync(memory, block, 40 * MiB, 256);
  CHECK(s.pool.statistics().live_count == 0);
}

MR_CASE("alignments from 1 byte to 1 GiB are kept") {
  scene s;
  resource memory(s.pool);
  const weir::stream a = s.make_stream();
  for (std::size_t alignment = 1; alignment <= GiB; alignment *= 4) {
    void* block = get_async(memory, 1000, alignment, a.handle());
    CHECK(reinterpret_cast<std::uintptr_t>(block) % alignment == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(block) % 256 == 0);
    put_async(memory, block, 1000, alignment, a.handle());
  }
}

MR_CASE("an alignment that is none, or above 1 GiB, is refused with its number") {
  scene s;
  resource memory(s.pool);
  const weir::stream a = s.make_stream();
  for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, std::size_t{384}, 2 * GiB}) {
    try {
      (void)get_async(memory, 1000, alignment, a.handle());
      FAIL("alignment " << alignment << " was taken");
    } catch (const weir::logic_error& e) {
      CHECK(e.error().code == errc::invalid_alignment);
      CHECK(e.error().bytes == alignment);
    }
  }
}

MR_CASE("no room is a std::bad_alloc that says how much was asked for and who has it") {
  scene s({.bytes_max = 64 * MiB});
  resource memory(s.pool);
  const weir::stream a = s.make_stream();
  void* block = get_async(memory, 40 * MiB, 256, a.handle());
  CHECK_THROWS_AS(get_async(memory, 40 * MiB, 256, a.handle()), std::bad_alloc);
  CHECK_THROWS_AS(get_sync(memory, 40 * MiB, 256), std::bad_alloc);
  try {
    (void)get_async(memory, 41 * MiB, 256, a.handle());
  } catch (const weir::out_of_memory& e) {
    CHECK(e.error().bytes == 41 * MiB);
    REQUIRE(e.error().report);
    CHECK(e.error().report->live >= 40 * MiB);
  }
  put_async(memory, block, 40 * MiB, 256, a.handle());
}

MR_CASE("zero bytes are null, and null may be freed") {
  scene s;
  resource memory(s.pool);
  const weir::stream a = s.make_stream();
  CHECK(get_async(memory, 0, 256, a.handle()) == nullptr);
  put_async(memory, nullptr, 0, 256, a.handle());
  CHECK(get_sync(memory, 0, 256) == nullptr);
  put_sync(memory, nullptr, 0, 256);
}

MR_CASE("a wrong size is told to the bug handler, and the block stays live") {
  scene s;
  bug_catcher bugs;
  resource memory(s.pool);
  const weir::stream a = s.make_stream();
  void* block = get_async(memory, 4096, 256, a.handle());
  put_async(memory, block, 9000, 256, a.handle());
  put_sync(memory, block, 9000, 256);
  CHECK(bugs.told() == std::vector<errc>{errc::size_mismatch, errc::size_mismatch});
  CHECK(s.pool.statistics().live_count == 1);
  put_async(memory, block, 4096, 256, a.handle());
  CHECK(s.pool.statistics().live_count == 0);
}

MR_CASE("a destroyed stream's handle is another stream: its blocks are not mixed up") {
  scene s(adapters::for_host());
  resource memory(s.pool);
  stream_handle first = s.device->create_stream();
  void* block = get_async(memory, 3 * MiB, 256, first);
  s.device->launch(first, long_ns, {{block, 3 * MiB}});
  put_async(memory, block, 3 * MiB, 256, first);
  s.device->destroy_stream(first);
  stream_handle second = s.device->create_stream();
  void* again = get_async(memory, 3 * MiB, 256, second);
  s.device->launch(second, 1000, {{again, 3 * MiB}});  // the scene's end looks for a violation
  put_async(memory, again, 3 * MiB, 256, second);
}

MR_CASE("on a capturing stream the answer is an error that says so") {
  scene s(adapters::for_host());
  resource memory(s.pool);
  const weir::stream a = s.make_stream();
  put_async(memory, get_async(memory, 4096, 256, a.handle()), 4096, 256, a.handle());
  s.device->set_capturing(a.handle(), true);
  try {
    (void)get_async(memory, 4096, 256, a.handle());
    FAIL("a hit was handed out");
  } catch (const weir::logic_error& e) {
    CHECK(e.error().code == errc::stream_capturing);
  } catch (const weir::cuda_error& e) {
    CHECK(e.error().code == errc::stream_capturing);
  }
  s.device->set_capturing(a.handle(), false);
}

MR_CASE("copies are equal and free each other's blocks; resources of two pools are not equal") {
  scene s;
  auto other = pool::make(s.device->make_backend());
  resource memory(s.pool);
  resource copy = memory;
  CHECK(copy == memory);
  CHECK(resource(s.pool) == memory);
  CHECK(memory != resource(other));
  const weir::stream a = s.make_stream();
  put_async(copy, get_async(memory, 4096, 256, a.handle()), 4096, 256, a.handle());
  CHECK(s.pool.statistics().live_count == 0);
}

MR_CASE("a pool that is shared lives until the last copy has freed its blocks") {
  auto device = sim::device::make();
  stream_handle a = device->create_stream();
  std::weak_ptr<pool> seen;
  void* block = nullptr;
  auto last = [&] {
    auto shared = std::make_shared<pool>(pool::make(device->make_backend(), adapters::for_host()));
    seen = shared;
    resource memory(std::move(shared));
    block = get_async(memory, MiB, 256, a);
    return std::make_unique<resource>(memory);
  }();
  REQUIRE_FALSE(seen.expired());
  put_async(*last, block, MiB, 256, a);
  CHECK(seen.lock()->statistics().live_count == 0);
  last.reset();
  CHECK(seen.expired());
}

MR_CASE("a stream of another device is refused by name, and a block freed there stays live") {
  scene s(adapters::for_host());
  bug_catcher bugs;
  resource memory(s.pool);
  const auto other = sim::device::make({.ordinal = 1});
  stream_handle here = s.device->create_stream(), elsewhere = other->create_stream();
  CHECK_THROWS_AS(get_async(memory, 4096, 256, elsewhere), weir::logic_error);
  void* block = get_async(memory, 4096, 256, here);
  put_async(memory, block, 4096, 256, elsewhere);
  CHECK(bugs.told() == std::vector<errc>{errc::wrong_device});
  CHECK(s.pool.statistics().live_count == 1);
  put_async(memory, block, 4096, 256, here);
}

// Borrowed, so the resource may not be used after it; that it is still there does no harm.
MR_CASE("a borrowed pool destroyed with blocks live tells its observer how many") {
  struct listener : observer {
    void on_leak(const leak_event& e) noexcept override { leak = e; }
    leak_event leak{};
  };
  const auto heard = std::make_shared<listener>();
  auto device = sim::device::make();
  stream_handle a = device->create_stream();
  std::optional<pool> borrowed(pool::make(device->make_backend(), adapters::for_host({.observer = heard})));
  resource memory(*borrowed);
  put_sync(memory, get_sync(memory, 4096, 256), 4096, 256);
  (void)get_async(memory, 4096, 256, a);
  (void)get_async(memory, 3 * MiB, 256, a);
  borrowed.reset();
  CHECK(heard->leak.count == 2);
  CHECK(heard->leak.bytes >= 3 * MiB + 4096);
}

MR_CASE("the stream allocator gives elements on its stream") {
  scene s;
  const weir::stream a = s.make_stream();
  stream_allocator<double> doubles(resource(s.pool), a.handle());
  double* block = doubles.allocate(1000);
  s.write(block, 8000, a);
  stream_allocator<char> bytes(doubles);
  CHECK(bytes == doubles);
  bytes.deallocate(reinterpret_cast<char*>(block), 8000);
  CHECK(s.pool.statistics().live_count == 0);
  CHECK_THROWS_AS(doubles.allocate(SIZE_MAX / 4), weir::logic_error);
}

}  // namespace
}  // namespace weir::test
