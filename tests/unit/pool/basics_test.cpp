// SPDX-License-Identifier: Apache-2.0
//
// The pool at its simplest: the three cases the project began with, nothing at all, and moves.
#include <utility>

#include "scene.hpp"

namespace weir::test {
namespace {

TEST_CASE("direct allocation: 1024 bytes are valid and can be freed") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.pool.allocate_direct(1024);
  REQUIRE(p != nullptr);
  CHECK(reinterpret_cast<std::uintptr_t>(p) % pool::alignment_default == 0);
  s.write(p, 1024, stream);
  CHECK(s.pool.statistics().direct == 1024);
  CHECK(s.pool.statistics().allocated == 1024);
  s.pool.deallocate_direct(p);
  CHECK(s.pool.statistics().direct == 0);
  CHECK(s.pool.statistics().allocated == 0);
  CHECK(s.device->calls().direct_deallocate == 1);
}

TEST_CASE("direct allocation: deallocate on a stream frees it too") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.pool.allocate_direct(1024);
  s.put(p, 1024, stream);
  CHECK(s.pool.statistics().direct == 0);
  CHECK(s.device->calls().direct_deallocate == 1);
}

TEST_CASE("pool allocation: two blocks of 512 bytes are apart, valid, and can be freed") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* a = s.get(512, stream);
  void* b = s.get(512, stream);
  REQUIRE(a != nullptr);
  REQUIRE(b != nullptr);
  CHECK_FALSE(overlap(a, 512, b, 512));
  s.put(a, 512, stream);
  s.put(b, 512, stream);
  CHECK(s.pool.statistics().allocated == 0);
  CHECK(s.pool.statistics().deallocations == 2);
}

TEST_CASE("memory statistics: allocated grows with an allocation and falls with its free") {
  scene s;
  const weir::stream stream = s.make_stream();
  const std::size_t before = s.pool.statistics().allocated;
  void* p = s.get(4096, stream);
  const auto during = s.pool.statistics();
  CHECK(before == 0);
  CHECK(during.allocated == 4096);
  CHECK(during.live_count == 1);
  CHECK(during.allocations == 1);
  CHECK(during.pools == 1);
  CHECK(during.held >= during.allocated);
  CHECK(during.reserved >= during.held);
  s.put(p, 4096, stream);
  CHECK(s.pool.statistics().allocated == before);
  CHECK(s.pool.statistics().live_count == 0);
}

TEST_CASE("zero bytes: null, which may be freed") {
  scene s;
  const weir::stream stream = s.make_stream();
  CHECK(s.pool.allocate(0, stream) == nullptr);
  CHECK(s.pool.allocate_direct(0) == nullptr);
  s.pool.deallocate(nullptr, stream);
  s.pool.deallocate(nullptr, 0, stream);
  s.pool.deallocate_direct(nullptr);
  CHECK(why(s.pool.record_use(nullptr, stream)) == errc::ok);
  CHECK(s.pool.statistics().allocations == 0);
  CHECK(s.pool.statistics().deallocations == 0);
  CHECK(s.device->calls().allocate == 0);
}

TEST_CASE("null pool: every call says so") {
  weir::pool null;
  scene other;
  const weir::stream stream = other.make_stream();
  const raw_stream raw = stream.handle();
  void* p = other.pool.allocate(512, stream);

  CHECK_FALSE(null);
  CHECK(null.device() == -1);
  CHECK(why(null.try_allocate(512, stream)) == errc::null_pool);
  CHECK(why(null.try_allocate(512, raw)) == errc::null_pool);
  CHECK(why(null.try_allocate(0, stream)) == errc::null_pool);
  CHECK(why(null.try_deallocate(p, stream)) == errc::null_pool);
  CHECK(why(null.try_deallocate(p, raw)) == errc::null_pool);
  CHECK(why(null.try_deallocate(p, 512, stream)) == errc::null_pool);
  CHECK(why(null.try_deallocate(p, 512, raw)) == errc::null_pool);
  CHECK(why(null.try_allocate_direct(512)) == errc::null_pool);
  CHECK(why(null.try_deallocate_direct(p)) == errc::null_pool);
  CHECK(why(null.record_use(p, stream)) == errc::null_pool);
  CHECK(why(null.record_use(p, raw)) == errc::null_pool);
  CHECK(why(null.stream(raw)) == errc::null_pool);
  CHECK(why(null.retire(stream)) == errc::null_pool);
  CHECK(why(null.retire(raw)) == errc::null_pool);
  CHECK(why(null.trim(0)) == errc::null_pool);
  CHECK(why(null.trim()) == errc::null_pool);
  CHECK(why(null.defragment()) == errc::null_pool);
  CHECK(why(null.set_bytes_max(GiB)) == errc::null_pool);
  CHECK_THROWS_AS(null.allocate(512, stream), weir::logic_error);
  CHECK_THROWS_AS(null.allocate(512, raw), weir::logic_error);
  CHECK_THROWS_AS(null.allocate_direct(512), weir::logic_error);
  CHECK(null.statistics().pools == 0);
  CHECK(null.validate().empty());
  null.walk([](const block_info&) { FAIL("a null pool has no blocks"); });

  bug_catcher bugs;
  null.deallocate(p, stream);
  null.deallocate(p, raw);
  null.deallocate(p, 512, stream);
  null.deallocate(p, 512, raw);
  null.deallocate_direct(p);
  CHECK(bugs.told() == std::vector<errc>(5, errc::null_pool));
  other.pool.deallocate(p, stream);
}

TEST_CASE("moves: a pool moved goes on with its blocks and tokens, and leaves a null one") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(512, stream);
  weir::pool moved(std::move(s.pool));
  CHECK(why(s.pool.try_allocate(512, stream)) == errc::null_pool);
  s.read(p, 512, stream);
  must(moved.try_deallocate(p, 512, stream));
  s.pool = std::move(moved);
  CHECK_FALSE(moved);
  CHECK(s.pool.statistics().deallocations == 1);
  s.put(s.get(512, stream), 512, stream);
}

TEST_CASE("moves: the pool assigned over gives all of its memory back") {
  scene s;
  const weir::stream stream = s.make_stream();
  s.put(s.get(64 * MiB, stream), 64 * MiB, stream);
  s.put(s.get(512, stream), 512, stream);
  s.pool = pool::make(s.device->make_backend());
  CHECK(must(s.pool.backend().memory()).free == s.device->make_backend()->capabilities().device_bytes_total);
  CHECK(why(s.pool.try_allocate(512, stream)) == errc::stream_retired);
}

}  // namespace
}  // namespace weir::test
