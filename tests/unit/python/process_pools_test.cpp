// SPDX-License-Identifier: Apache-2.0
//
// The pools that hosts share, on simulated devices.
#include "adapters/python/process_pools.hpp"

#include <catch2/catch_test_macros.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "support/results.hpp"

namespace weir::test {
namespace {

constexpr std::size_t MiB = std::size_t{1} << 20;
constexpr std::size_t small = 3000, big = 64 * MiB;
constexpr std::uint64_t long_ns = 50'000'000;
constexpr python::graph_id graph{7, 0};

// With the first device's pool made, and no order broken at the end.
struct host {
  explicit host(pool_options options = {}, bool is_traceable = false) {
    must(pools.configure({.options = std::move(options), .is_simulated = true, .is_traceable = is_traceable}));
    pool = must(pools.on(0))->pool.get();
    device = pools.simulated()->shared_from_this();
  }
  ~host() { CHECK(device->violations().empty()); }

  void* get(std::size_t bytes, stream_handle stream, std::uint64_t ns = 1000) {
    void* p = must(pools.allocate(0, bytes, stream));
    device->launch(stream, ns, {{p, bytes}});
    return p;
  }

  python::process_pools pools;
  weir::pool* pool;
  std::shared_ptr<sim::device> device;
};

TEST_CASE("process pools: a block is freed in the order of the stream it was allocated on") {
  host h;
  const stream_handle a = h.device->create_stream();
  void* p = h.get(small, a, long_ns);
  CHECK(h.pools.live_count() == 1);
  must(h.pools.deallocate(p, small, 0));
  CHECK(h.get(small, a) == p);
  must(h.pools.deallocate(p, 0, -1));
  CHECK(h.pools.live_count() == 0);
  CHECK(must(h.pools.allocate(0, 0, a)) == nullptr);
  must(h.pools.deallocate(nullptr, 0, 0));
}

TEST_CASE("process pools: a stream destroyed before its blocks harms nobody") {
  for (const std::size_t bytes : {small, big}) {
    host h;
    const stream_handle a = h.device->create_stream();
    void* p = h.get(bytes, a, long_ns);
    h.device->destroy_stream(a);
    const stream_handle b = h.device->create_stream();
    CHECK(a == b);
    must(h.pools.deallocate(p, bytes, 0));
    must(h.pools.deallocate(h.get(bytes, b), bytes, 0));
  }
}

TEST_CASE("process pools: a use on a second stream holds the block back") {
  host h;
  const stream_handle a = h.device->create_stream(), b = h.device->create_stream();
  void* p = h.get(small, a);
  must(h.pools.record_use(p, b));
  h.device->order(a, b);
  h.device->launch(b, long_ns, {{p, small}});
  must(h.pools.deallocate(p, small, 0));
  must(h.pools.deallocate(h.get(small, a), small, 0));
  CHECK(why(h.pools.record_use(p, b)) == errc::foreign_pointer);
}

TEST_CASE("process pools: a wrong size, another device and a second free are refused, and the block stays") {
  host h;
  const stream_handle a = h.device->create_stream();
  void* p = h.get(small, a);
  CHECK(why(h.pools.deallocate(p, 2 * small, 0)) == errc::size_mismatch);
  CHECK(why(h.pools.deallocate(p, small, 1)) == errc::wrong_device);
  CHECK(why(h.pools.deallocate(&h, small, 0)) == errc::foreign_pointer);
  CHECK(h.pools.live_count() == 1);
  must(h.pools.deallocate(p, small, 0));
  CHECK(why(h.pools.deallocate(p, small, 0)) == errc::foreign_pointer);
}

TEST_CASE("process pools: a capturing stream is refused but for its graph's memory, which goes with the last release") {
  host h;
  const stream_handle a = h.device->create_stream();
  h.device->set_capturing(a, true);
  CHECK(why(h.pools.allocate(0, small, a)) == errc::stream_capturing);
  h.device->set_capturing(a, false);

  must(h.pools.begin_capture(0, graph, a));
  h.device->set_capturing(a, true);
  void* p = must(h.pools.allocate(0, small, a));
  void* q = must(h.pools.allocate(0, small, a));
  must(h.pools.deallocate(q, small, 0));
  h.device->set_capturing(a, false);
  must(h.pools.end_capture(0, graph));
  void* r = h.get(small, a);
  CHECK(r != q);  // the graph's
  must(h.pools.begin_capture(0, graph, a));
  h.device->set_capturing(a, true);
  CHECK(must(h.pools.allocate(0, small, a)) == q);  // a second graph may share it
  h.device->set_capturing(a, false);
  must(h.pools.end_capture(0, graph));

  must(h.pools.deallocate(r, small, 0));
  must(h.pools.deallocate(p, small, 0));
  must(h.pools.deallocate(q, small, 0));
  must(h.pools.release_graph(0, graph));
  CHECK(h.pool->statistics().pinned > 0);
  must(h.pools.release_graph(0, graph));
  CHECK(h.pool->statistics().pinned == 0);
  must(h.pools.release_graph(0, graph));  // once too often: nothing
}

TEST_CASE("process pools: a capture that failed, and was never ended, is not in the next one's way") {
  host h;
  const stream_handle a = h.device->create_stream();
  must(h.pools.begin_capture(0, graph, a));
  must(h.pools.begin_capture(0, {8, 0}, a));
  h.device->set_capturing(a, true);
  void* p = must(h.pools.allocate(0, small, a));
  h.device->set_capturing(a, false);
  must(h.pools.end_capture(0, {8, 0}));
  must(h.pools.deallocate(p, small, 0));
  must(h.pools.release_graph(0, {8, 0}));
  must(h.pools.end_capture(0, graph));
  must(h.pools.release_graph(0, graph));
  CHECK(h.pool->statistics().pinned == 0);
}

TEST_CASE("process pools: blocks for all streams are usable on each of them at once") {
  host h;
  const stream_handle a = h.device->create_stream(), b = h.device->create_stream();
  void* p = h.get(big, a, long_ns);
  must(h.pools.deallocate(p, big, 0));
  for (int round = 0; round < 200; ++round) {
    void* q = must(h.pools.allocate_for_all(0, big));
    h.device->launch(round % 2 ? a : b, 1000, {{q, big}});
    must(h.pools.deallocate_from_all(q, big, 0));
  }
  CHECK(h.pool->statistics().reserved < 8 * (std::size_t{1} << 30));  // they are not gathered for ever
  must(h.pools.release_free());
  CHECK(h.pool->statistics().reserved == 0);
}

TEST_CASE("process pools: a block for all streams that had to wait for one of them is waited for") {
  host h({.bytes_max = 96 * MiB});
  const stream_handle a = h.device->create_stream(), b = h.device->create_stream();
  const weir::stream token = must(h.pool->stream(a));
  void* p = h.pool->allocate(big, token);
  h.device->launch(a, long_ns, {{p, big}});
  h.pool->deallocate(p, token);
  void* q = must(h.pools.allocate_for_all(0, big));
  h.device->launch(b, 1000, {{q, big}});
  must(h.pools.deallocate_from_all(q, big, 0));
}

TEST_CASE("process pools: gathered blocks stay while they are held, unless memory is short") {
  host h({.bytes_max = 256 * MiB});
  h.pools.hold_gathered(0, 1);
  for (int i = 0; i < 100; ++i) must(h.pools.deallocate_from_all(must(h.pools.allocate_for_all(0, small)), small, 0));
  CHECK(h.pool->statistics().live_count == 100);
  const auto before = h.device->calls().synchronize;
  for (int i = 0; i < 3; ++i) must(h.pools.deallocate_from_all(must(h.pools.allocate_for_all(0, big)), big, 0));
  CHECK(h.pool->statistics().live_count == 103);
  void* p = must(h.pools.allocate_for_all(0, 3 * big));  // there was room for it only without them
  CHECK(h.pool->statistics().live_count == 1);
  CHECK(h.device->calls().synchronize > before);
  h.pools.hold_gathered(0, -1);
  must(h.pools.deallocate_from_all(p, 3 * big, 0));
  must(h.pools.release_free());
  CHECK(h.pool->statistics().live_count == 0);
}

TEST_CASE("process pools: releasing gives everything back, whoever's stream it was on") {
  host h;
  const stream_handle a = h.device->create_stream();
  must(h.pools.deallocate(h.get(big, a, long_ns), big, 0));
  CHECK(h.pool->statistics().reserved >= big);
  must(h.pools.release_free());
  CHECK(h.pool->statistics().reserved == 0);
}

TEST_CASE("process pools: a memory fraction holds for a pool that is there and for one to come") {
  host h;
  const std::size_t total = h.pool->backend().capabilities().device_bytes_total;
  must(h.pools.set_memory_fraction(0, 0.001));
  const stream_handle a = h.device->create_stream();
  CHECK(why(h.pools.allocate(0, total / 500, a)) == errc::out_of_memory);
  CHECK(why(h.pools.set_memory_fraction(0, 0)) == errc::invalid_argument);
  CHECK(why(h.pools.set_memory_fraction(0, 1.5)) == errc::invalid_argument);
  CHECK(why(h.pools.set_memory_fraction(-1, 0.5)) == errc::no_such_device);
  must(h.pools.set_memory_fraction(3, 0.5));
  CHECK(must(h.pools.on(3))->pool->options().bytes_max == total / 2);
}

TEST_CASE("process pools: options stand once a pool is made, and nobody destroys it") {
  host h;
  CHECK(why(h.pools.configure({})) == errc::invalid_argument);
  CHECK(weir_pool_destroy(must(h.pools.on(0))) == WEIR_INVALID_ARGUMENT);
  CHECK(weir_pool_destroy_with_blocks(must(h.pools.on(0))) == WEIR_INVALID_ARGUMENT);
  CHECK(why(h.pools.on(-1)) == errc::no_such_device);
  CHECK(h.pools.if_made(1) == nullptr);
}

TEST_CASE("process pools: a forked child is refused everything") {
  host h;
  const stream_handle a = h.device->create_stream();
  void* p = h.get(small, a);
  const pid_t child = fork();
  if (child == 0) {
    const bool refused = why(h.pools.allocate(0, small, a)) == errc::forked &&
                         why(h.pools.deallocate(p, small, 0)) == errc::forked &&
                         why(h.pools.record_use(p, a)) == errc::forked && why(h.pools.release_free()) == errc::forked &&
                         why(h.pools.on(1)) == errc::forked;
    _exit(refused ? 0 : 1);
  }
  int how = 0;
  REQUIRE(waitpid(child, &how, 0) == child);
  CHECK((WIFEXITED(how) && WEXITSTATUS(how) == 0));
  must(h.pools.deallocate(p, small, 0));
}

}  // namespace
}  // namespace weir::test
