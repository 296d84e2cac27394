// SPDX-License-Identifier: Apache-2.0
//
// Memory for hosts that name no stream: ready for every stream when the call returns.
#include "weir/adapters/shared_pool.hpp"

#include "unit/pool/scene.hpp"

namespace weir::test {
namespace {

using adapters::shared_pool;

TEST_CASE("shared pool: options for a host guard captures and verify raw handles") {
  const pool_options options = adapters::for_host({.bytes_max = 5 * GiB, .trust_handles = true});
  CHECK(options.guard_capture);
  CHECK_FALSE(options.trust_handles);
  CHECK(options.bytes_max == 5 * GiB);
}

TEST_CASE("shared pool: an alignment below the pool's is the pool's, and what is none stays for it to refuse") {
  CHECK(adapters::alignment_for(1) == 256);
  CHECK(adapters::alignment_for(128) == 256);
  CHECK(adapters::alignment_for(256) == 256);
  CHECK(adapters::alignment_for(4096) == 4096);
  CHECK(adapters::alignment_for(0) == 0);
  CHECK(adapters::alignment_for(3) == 3);
}

TEST_CASE("shared pool: no pool is refused by name") {
  CHECK_THROWS_AS(shared_pool(std::shared_ptr<pool>()), weir::logic_error);
  pool none;
  shared_pool of_none(none);
  CHECK(why(of_none.try_allocate_ready(1024)) == errc::null_pool);
}

TEST_CASE("shared pool: a ready block is usable on any stream with no event between") {
  scene s({.bytes_max = 64 * MiB});
  shared_pool shared(s.pool);
  const weir::stream a = s.make_stream(), b = s.make_stream();
  // All of the pool was a's, whose work goes on: what comes next had to wait for it.
  void* first = s.get(40 * MiB, a);
  s.busy(a);
  s.put(first, 40 * MiB, a);
  void* ready = must(shared.try_allocate_ready(40 * MiB));
  s.write(ready, 40 * MiB, b);
  s.device->synchronize(b.handle());
  must(shared.try_deallocate_ready(ready, 40 * MiB));
  CHECK(s.pool.statistics().allocated == 0);
}

TEST_CASE("shared pool: what is freed ready goes to any stream without a wait") {
  scene s({.bytes_max = 64 * MiB});
  shared_pool shared(s.pool);
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* ready = must(shared.try_allocate_ready(40 * MiB));
  s.write(ready, 40 * MiB, a);
  s.device->synchronize(a.handle());
  must(shared.try_deallocate_ready(ready, 40 * MiB));
  const auto waits = s.pool.statistics().waits_inserted;
  s.put(s.get(40 * MiB, b), 40 * MiB, b);
  CHECK(s.pool.statistics().waits_inserted == waits);
}

TEST_CASE("shared pool: zero bytes and null") {
  scene s;
  shared_pool shared(s.pool);
  CHECK(must(shared.try_allocate_ready(0)) == nullptr);
  CHECK(shared.try_deallocate_ready(nullptr, 0));
  CHECK(why(shared.try_allocate_ready(100, 3)) == errc::invalid_alignment);
}

TEST_CASE("shared pool: a failed wait gives the block back") {
  scene s({.bytes_max = 64 * MiB});
  shared_pool shared(s.pool);
  must(shared.try_deallocate_ready(must(shared.try_allocate_ready(MiB)), MiB));
  const auto live = s.pool.statistics().live_count;
  s.device->inject(sim::fault::query, 1);
  CHECK(why(shared.try_allocate_ready(MiB)) == errc::cuda);
  CHECK(s.pool.statistics().live_count == live);
}

TEST_CASE("shared pool: its stream is retired and destroyed with it, and left alone when the pool has gone before") {
  auto device = sim::device::make();
  auto owned = std::make_shared<pool>(pool::make(device->make_backend()));
  {
    shared_pool shared(*owned);
    must(shared.try_deallocate_ready(must(shared.try_allocate_ready(MiB)), MiB));
    CHECK(owned->statistics().streams.size() == 1);
  }
  for (const stream_statistics& stream : owned->statistics().streams) CHECK(stream.retired);

  auto late = std::make_unique<shared_pool>(*owned);
  must(late->try_deallocate_ready(must(late->try_allocate_ready(MiB)), MiB));
  owned.reset();
  late.reset();
  CHECK(device->violations().empty());
}

TEST_CASE("shared pool: it keeps a pool that is shared alive") {
  auto device = sim::device::make();
  auto owned = std::make_shared<pool>(pool::make(device->make_backend()));
  const std::weak_ptr<pool> seen = owned;
  auto shared = std::make_unique<shared_pool>(std::move(owned));
  void* block = must(shared->try_allocate_ready(MiB));
  CHECK_FALSE(seen.expired());
  must(shared->try_deallocate_ready(block, MiB));
  shared.reset();
  CHECK(seen.expired());
}

}  // namespace
}  // namespace weir::test
