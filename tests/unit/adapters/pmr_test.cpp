// SPDX-License-Identifier: Apache-2.0
#include "weir/adapters/pmr.hpp"

#include <memory>

#include "unit/pool/scene.hpp"

namespace weir::test {
namespace {

using weir::pmr::stream_resource;
using weir::pmr::waiting_resource;

TEST_CASE("pmr: a stream's resource allocates and frees in the stream's order") {
  scene s(adapters::for_host());
  const weir::stream a = s.make_stream(), b = s.make_stream();
  stream_resource on_a(s.pool, a.handle()), on_b(s.pool, b.handle());
  std::pmr::memory_resource& memory = on_a;
  void* block = memory.allocate(3 * MiB);
  CHECK(reinterpret_cast<std::uintptr_t>(block) % 256 == 0);
  s.write(block, 3 * MiB, a, long_ns);
  memory.deallocate(block, 3 * MiB);
  void* again = memory.allocate(3 * MiB);
  CHECK(again == block);  // at once, though its work goes on: the order is the stream's
  s.write(again, 3 * MiB, a);
  void* other = on_b.allocate(3 * MiB);
  s.write(other, 3 * MiB, b);
  on_b.deallocate(other, 3 * MiB);
  memory.deallocate(again, 3 * MiB);
  CHECK(s.pool.statistics().live_count == 0);
}

TEST_CASE("pmr: alignments above 256 are kept, what is none is refused, zero bytes are a block") {
  scene s;
  stream_resource memory(s.pool, s.make_stream().handle());
  waiting_resource waiting_memory(s.pool);
  std::pmr::memory_resource& waiting = waiting_memory;
  void* block = memory.allocate(1000, 4096);
  CHECK(reinterpret_cast<std::uintptr_t>(block) % 4096 == 0);
  memory.deallocate(block, 1000, 4096);
  CHECK_THROWS_AS(memory.allocate(1000, 48), weir::logic_error);
  for (std::pmr::memory_resource* each : {static_cast<std::pmr::memory_resource*>(&memory), &waiting}) {
    void* empty = each->allocate(0);
    CHECK(s.pool.statistics().live_count == 1);
    each->deallocate(empty, 0);
    CHECK(s.pool.statistics().live_count == 0);
  }
}

TEST_CASE("pmr: no room is a std::bad_alloc, a wrong size a bug") {
  scene s({.bytes_max = 64 * MiB});
  bug_catcher bugs;
  stream_resource memory(s.pool, s.make_stream().handle());
  CHECK_THROWS_AS(memory.allocate(GiB), std::bad_alloc);
  void* block = memory.allocate(4096);
  memory.deallocate(block, 9000);
  CHECK(bugs.told() == std::vector<errc>{errc::size_mismatch});
  memory.deallocate(block, 4096);
}

TEST_CASE("pmr: resources are equal when pool and stream are") {
  scene s;
  auto other_pool = pool::make(s.device->make_backend());
  stream_handle a = s.device->create_stream(), b = s.device->create_stream();
  const stream_resource memory(s.pool, a);
  CHECK(memory == stream_resource(s.pool, a));
  CHECK(memory != stream_resource(s.pool, b));
  CHECK(memory != stream_resource(other_pool, a));
  CHECK(memory != *std::pmr::new_delete_resource());
  CHECK(waiting_resource(s.pool) == waiting_resource(s.pool));
  CHECK(waiting_resource(s.pool) != waiting_resource(other_pool));
  CHECK(waiting_resource(s.pool) != memory);
}

TEST_CASE("pmr: of no pool each call says so") {
  auto device = sim::device::make();
  stream_resource memory(std::shared_ptr<pool>(), device->create_stream());
  CHECK_THROWS_AS(memory.allocate(16), weir::logic_error);
  CHECK_THROWS_AS(waiting_resource(std::shared_ptr<pool>()), weir::logic_error);
}

TEST_CASE("pmr: the waiting resource gives to any stream, and takes back what is still in use") {
  scene s({.bytes_max = 64 * MiB});
  waiting_resource memory(s.pool);
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* block = memory.allocate(40 * MiB);
  s.write(block, 40 * MiB, a, long_ns);
  memory.deallocate(block, 40 * MiB);  // while a works on it
  void* again = memory.allocate(40 * MiB);
  s.write(again, 40 * MiB, b);  // the scene's end looks for a violation
  memory.deallocate(again, 40 * MiB);
  CHECK(s.pool.statistics().live_count == 0);
}

TEST_CASE("pmr: a pool that is shared lives as long as its resource") {
  auto device = sim::device::make();
  auto shared = std::make_shared<pool>(pool::make(device->make_backend()));
  const std::weak_ptr<pool> seen = shared;
  {
    stream_resource memory(std::move(shared), device->create_stream());
    void* block = memory.allocate(4096);
    CHECK_FALSE(seen.expired());
    memory.deallocate(block, 4096);
  }
  CHECK(seen.expired());
}

}  // namespace
}  // namespace weir::test
