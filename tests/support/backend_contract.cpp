// SPDX-License-Identifier: Apache-2.0
//
// The contract of the native pool, of memory and of refusals. backend_contract_streams.cpp has the rest.
#include "backend_contract.hpp"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <string_view>

#include "contract_scene.hpp"

namespace weir::test {
namespace {

constexpr unsigned long_us = 50'000;  // microseconds: longer than any call, however slow the host

std::uintptr_t address(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

bool overlap(const void* a, const void* b, std::size_t bytes) {
  return address(a) < address(b) + bytes && address(b) < address(a) + bytes;
}

TEST_CASE("backend: capabilities say what the layers above reason with") {
  scene s;
  const backend_capabilities& can = s.target().capabilities();
  CHECK(std::string_view(can.kind) != "");
  CHECK_FALSE(can.device_name.empty());
  CHECK(can.device >= 0);
  CHECK(can.chunk_bytes == 32 * MiB);
  CHECK(can.granularity == 512);
  CHECK(can.device_bytes_total >= GiB);
  CHECK(can.can_trim);
  CHECK(s.target().own_stream() != nullptr);
}

TEST_CASE("time: it passes while the host waits for work, and never goes back") {
  scene s;
  const stream_handle stream = s.stream();
  backend_event* event = s.event();
  std::uint64_t before = s.target().now_ns();
  for (int i = 0; i < 3; ++i) {
    s.fixture().busy(stream, 5'000);
    must(s.target().record(event, stream));
    must(s.target().synchronize(event));
    const std::uint64_t now = s.target().now_ns();
    CHECK(now >= before + 1'000'000);
    before = now;
  }
}

TEST_CASE("native pool: a fresh pool has nothing") {
  scene s;
  const native_pool_bytes bytes = must(s.target().pool_bytes());
  CHECK(bytes.reserved == 0);
  CHECK(bytes.reserved_high == 0);
  CHECK(bytes.used == 0);
}

TEST_CASE("native pool: live ranges are disjoint and begin at multiples of the granularity") {
  scene s;
  const stream_handle stream = s.stream();
  std::vector<std::pair<std::uintptr_t, std::size_t>> all;
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{512}, 513 * KiB, 5 * MiB + 1, 40 * MiB, std::size_t{7}})
    all.emplace_back(address(s.allocate(bytes, stream)), bytes);
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(all[i].first % s.target().capabilities().granularity == 0);
    if (i > 0) CHECK(all[i - 1].first + all[i - 1].second <= all[i].first);
  }
}

// It is aligned to itself only as long as all before it were of its size; no layer above may count on more than this.
TEST_CASE("native pool: a power of two begins at a multiple of the granularity, wherever that is") {
  scene s;
  const stream_handle stream = s.stream();
  const std::size_t granularity = s.target().capabilities().granularity;
  for (std::size_t bytes = KiB; bytes <= 32 * MiB; bytes *= 2) {
    s.allocate(1, stream);  // so that the next place is an odd one
    CHECK(address(s.allocate(bytes, stream)) % granularity == 0);
  }
}

TEST_CASE("native pool: sizes are rounded to 512 bytes and counted as used") {
  scene s;
  const stream_handle stream = s.stream();
  const auto all = s.allocate(100, 2 * MiB + 512, stream);
  CHECK(s.reserved() == 7 * 32 * MiB);
  CHECK(s.used() >= 100 * (2 * MiB + 512));
  for (void* pointer : all) s.deallocate(pointer, stream);
  s.synchronize();
  CHECK(s.used() == 0);
}

TEST_CASE("native pool: a fresh pool grows by whole chunks") {
  scene s;
  s.allocate(2 * MiB, s.stream());
  CHECK(s.reserved() == 32 * MiB);
}

TEST_CASE("native pool: a freed range is reused in stream order without a look at the device") {
  scene s;
  const stream_handle stream = s.stream();
  void* first = s.allocate(64 * MiB, stream);
  s.fixture().busy(stream, long_us);
  s.deallocate(first, stream);
  CHECK(s.allocate(64 * MiB, stream) == first);
  CHECK(s.reserved() == 64 * MiB);
}

TEST_CASE("native pool: larger blocks are packed end to end") {
  scene s;
  s.allocate(16, 64 * MiB + 1, s.stream());
  CHECK(s.reserved() >= 16 * 64 * MiB);
  CHECK(s.reserved() <= 16 * 64 * MiB + 48 * MiB);
}

TEST_CASE("native pool: whole free chunks are remapped into a larger range") {
  scene s;
  const stream_handle stream = s.stream();
  s.deallocate_every_other(s.allocate(64, 64 * MiB, stream), stream);
  s.synchronize();
  const std::size_t before = s.reserved();
  s.allocate(16, 128 * MiB, stream);
  CHECK(before == 64 * 64 * MiB);
  CHECK(s.reserved() == before);
}

TEST_CASE("native pool: holes inside a chunk are not remapped") {
  scene s;
  const stream_handle stream = s.stream();
  s.deallocate_every_other(s.allocate(64, 16 * MiB, stream), stream);
  s.synchronize();
  const std::size_t before = s.reserved();
  s.allocate(16, 32 * MiB, stream);
  CHECK(before == 64 * 16 * MiB);
  CHECK(s.reserved() == before + 16 * 32 * MiB);
}

TEST_CASE("native pool: freed neighbours are one range again") {
  scene s;
  const stream_handle stream = s.stream();
  const auto all = s.allocate(8, 16 * MiB, stream);
  s.deallocate_every_other(all, stream);
  for (std::size_t i = 1; i < all.size(); i += 2) s.deallocate(all[i], stream);
  s.synchronize();
  s.allocate(128 * MiB, stream);
  CHECK(s.reserved() == 128 * MiB);
}

TEST_CASE("native pool: trim(0) releases what is free and complete") {
  scene s;
  const stream_handle stream = s.stream();
  s.deallocate(s.allocate(256 * MiB, stream), stream);
  s.synchronize();
  CHECK(s.reserved() == 256 * MiB);
  must(s.target().trim(0));
  CHECK(s.reserved() == 0);
}

TEST_CASE("native pool: trim keeps what it is asked to keep") {
  scene s;
  const stream_handle stream = s.stream();
  s.deallocate(s.allocate(256 * MiB, stream), stream);
  s.synchronize();
  must(s.target().trim(64 * MiB));
  CHECK(s.reserved() >= 64 * MiB);
  CHECK(s.reserved() <= 96 * MiB);
}

TEST_CASE("native pool: trim never takes a chunk with a live byte") {
  scene s;
  const stream_handle stream = s.stream();
  const auto all = s.allocate(8, 16 * MiB, stream);
  for (std::size_t i = 1; i < all.size(); ++i) s.deallocate(all[i], stream);
  s.synchronize();
  must(s.target().trim(0));
  CHECK(s.reserved() == 32 * MiB);
  CHECK(s.used() == 16 * MiB);
}

TEST_CASE("native pool: the high mark stays until it is reset") {
  scene s;
  const stream_handle stream = s.stream();
  s.deallocate(s.allocate(256 * MiB, stream), stream);
  s.synchronize();
  must(s.target().trim(0));
  CHECK(must(s.target().pool_bytes()).reserved_high == 256 * MiB);
  must(s.target().reset_reserved_high());
  CHECK(must(s.target().pool_bytes()).reserved_high == 0);
  s.allocate(MiB, stream);
  CHECK(must(s.target().pool_bytes()).reserved_high == 32 * MiB);
}

TEST_CASE("native pool: what was freed behind running work is not handed to another stream: the pool grows") {
  scene s;
  const stream_handle a = s.stream();
  const stream_handle b = s.stream();
  void* first = s.allocate(64 * MiB, a);
  s.synchronize();
  s.fixture().busy(a, long_us);
  s.deallocate(first, a);
  void* second = s.allocate(64 * MiB, b);
  CHECK_FALSE(overlap(first, second, 64 * MiB));
  CHECK(s.reserved() == 128 * MiB);
}

TEST_CASE("native pool: a chunk freed behind running work is not remapped: the pool grows") {
  scene s;
  const stream_handle a = s.stream();
  const stream_handle b = s.stream();
  const auto all = s.allocate(4, 64 * MiB, a);
  s.synchronize();
  s.fixture().busy(a, long_us);
  s.deallocate_every_other(all, a);
  s.allocate(128 * MiB, b);
  CHECK(s.reserved() > 256 * MiB);
}

TEST_CASE("native pool: what was freed is anybody's once the work before it is observed complete") {
  scene s;
  const stream_handle a = s.stream();
  const stream_handle b = s.stream();
  void* first = s.allocate(64 * MiB, a);
  s.fixture().busy(a, 1000);
  s.deallocate(first, a);
  s.synchronize();
  CHECK(s.allocate(64 * MiB, b) == first);
  CHECK(s.reserved() == 64 * MiB);
}

TEST_CASE("native pool: a stream ordered after the free by an event may have the range while the work still runs") {
  scene s;
  const stream_handle a = s.stream();
  const stream_handle b = s.stream();
  backend_event* event = s.event();
  void* first = s.allocate(64 * MiB, a);
  s.synchronize();
  s.fixture().busy(a, long_us);
  s.deallocate(first, a);
  must(s.target().record(event, a));
  must(s.target().wait(b, event));
  CHECK(s.allocate(64 * MiB, b) == first);
  CHECK(s.reserved() == 64 * MiB);
}

TEST_CASE("direct allocation: 1024 bytes, valid, freed") {
  scene s;
  void* pointer = must(s.target().allocate_direct(1024));
  CHECK(pointer != nullptr);
  CHECK(address(pointer) % 256 == 0);
  CHECK(s.reserved() == 0);
  must(s.target().deallocate_direct(pointer));
}

TEST_CASE("direct allocation: its memory is not the native pool's") {
  scene s;
  void* native = s.allocate(2 * MiB, s.stream());
  void* direct = must(s.target().allocate_direct(2 * MiB));
  CHECK_FALSE(overlap(native, direct, 2 * MiB));
  CHECK(s.reserved() == 32 * MiB);
  must(s.target().deallocate_direct(direct));
}

TEST_CASE("direct allocation: freeing waits for the device") {
  scene s;
  const stream_handle stream = s.stream();
  void* direct = must(s.target().allocate_direct(2 * MiB));
  s.fixture().busy(stream, 2000);
  must(s.target().deallocate_direct(direct));
  CHECK(must(s.target().is_idle(stream)));
}

TEST_CASE("backend: memory() counts what the pool and direct allocations take") {
  scene s;
  const device_memory before = must(s.target().memory());
  CHECK(before.total == s.target().capabilities().device_bytes_total);
  CHECK(before.free <= before.total);
  s.allocate(256 * MiB, s.stream());
  CHECK(must(s.target().memory()).free + 192 * MiB <= before.free);
  void* direct = must(s.target().allocate_direct(256 * MiB));
  CHECK(must(s.target().memory()).free + 448 * MiB <= before.free);
  must(s.target().deallocate_direct(direct));
}

TEST_CASE("backend: more than there is: out of memory, with the numbers, and all goes on") {
  scene s;
  const stream_handle stream = s.stream();
  const std::size_t absurd = 2 * s.target().capabilities().device_bytes_total;
  const auto refused = s.target().allocate(absurd, stream);
  REQUIRE(why(refused) == errc::out_of_memory);
  CHECK(refused.error().bytes == absurd);
  CHECK(refused.error().limit < absurd);
  CHECK(why(s.target().allocate_direct(absurd)) == errc::out_of_memory);
  s.allocate(2 * MiB, stream);
  must(s.target().is_idle(stream));
  s.synchronize();
}

TEST_CASE("native pool: the pool's own limit is never passed") {
  scene s(64 * MiB);
  const stream_handle stream = s.stream();
  void* all = s.allocate(64 * MiB, stream);
  CHECK(why(s.target().allocate(32 * MiB, stream)) == errc::out_of_memory);
  CHECK(must(s.target().pool_bytes()).reserved_high == 64 * MiB);
  s.deallocate(all, stream);
  s.synchronize();
  s.allocate(48 * MiB, stream);
  CHECK(s.reserved() == 64 * MiB);
}

TEST_CASE("peers: a device is its own, and one that is not there is refused") {
  scene s;
  must(s.target().allow_access(s.target().capabilities().device));
  must(s.target().allow_direct_access(s.target().capabilities().device));
  CHECK(why(s.target().allow_access(-1)) == errc::no_such_device);
  CHECK(why(s.target().allow_direct_access(-1)) == errc::no_such_device);
  s.allocate(2 * MiB, s.stream());
}

TEST_CASE("export: a pool that was not made for it says why") {
  scene s;
  void* block = s.allocate(2 * MiB, s.stream());
  const auto pool = s.target().export_pool(0);
  REQUIRE(why(pool) == errc::not_supported);
  CHECK(std::string_view(pool.error().what) != "");
  const auto allocation = s.target().export_allocation(block);
  REQUIRE(why(allocation) == errc::not_supported);
  CHECK(std::string_view(allocation.error().what) != "");
}

TEST_CASE("backend: two on one device have a pool each") {
  scene s;
  const auto other = s.fixture().make_backend();
  void* mine = s.allocate(2 * MiB, s.stream());
  void* theirs = must(other->allocate(2 * MiB, other->own_stream()));
  CHECK_FALSE(overlap(mine, theirs, 2 * MiB));
  CHECK(must(other->pool_bytes()).reserved == 32 * MiB);
  CHECK(s.reserved() == 32 * MiB);
  must(other->deallocate(theirs, other->own_stream()));
  must(other->synchronize_device());
}

}  // namespace
}  // namespace weir::test
