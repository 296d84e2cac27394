// SPDX-License-Identifier: Apache-2.0
//
// soft_bytes_max: thrifty above it, told of it once, and never a reason to fail.
#include <atomic>
#include <stdexcept>
#include <thread>

#include "pool/pool_impl.hpp"
#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t big = 64 * MiB;
constexpr std::size_t soft = 4 * big;

struct told {
  std::size_t bytes;
  std::size_t limit;
  friend bool operator==(const told&, const told&) = default;
};

// Options whose handler notes what it is told.
pool_options noting(std::vector<told>& all) {
  return {.soft_bytes_max = soft,
          .on_soft_limit =
              [&all](std::size_t bytes, std::size_t limit) {
                all.push_back({bytes, limit});
              },
          .big_cache_share = 1};
}

std::size_t reserved(const scene& s) { return s.pool.statistics().reserved; }

TEST_CASE("soft limit: at it nothing is said, past it once, with the bytes and the limit; and the pool grows") {
  std::vector<told> all;
  scene s(noting(all));
  const weir::stream stream = s.make_stream();
  std::vector<void*> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(s.get(big, stream));
  CHECK(all.empty());
  for (int i = 0; i < 4; ++i) blocks.push_back(s.get(big, stream));
  CHECK(all == std::vector{told{5 * big, soft}});
  CHECK(reserved(s) == 8 * big);
  for (void* p : blocks) s.put(p, big, stream);
}

TEST_CASE("soft limit: once below it, the next crossing is told again") {
  std::vector<told> all;
  scene s(noting(all));
  const weir::stream stream = s.make_stream();
  for (std::size_t round = 1; round <= 3; ++round) {
    s.put(s.get(6 * big, stream), 6 * big, stream);
    CHECK(all.size() == round);
    s.device->synchronize();
    must(s.pool.trim(0));
  }
}

TEST_CASE("soft limit: direct blocks count, and push free native memory out before they pass it") {
  std::vector<told> all;
  scene s(noting(all));
  const weir::stream stream = s.make_stream();
  s.put(s.get(3 * big, stream), 3 * big, stream);
  s.device->synchronize();
  void* a = s.pool.allocate_direct(3 * big);
  CHECK(all.empty());
  CHECK(reserved(s) <= big);
  void* b = s.pool.allocate_direct(2 * big);
  CHECK(all == std::vector{told{5 * big, soft}});
  s.pool.deallocate_direct(b);
  b = s.pool.allocate_direct(2 * big);
  CHECK(all.size() == 2);
  s.pool.deallocate_direct(a);
  s.pool.deallocate_direct(b);
}

TEST_CASE("soft limit: before a direct block passes it, what other threads' caches hold goes") {
  std::vector<told> all;
  scene s(noting(all));
  const weir::stream stream = s.make_stream();
  std::atomic<bool> has_freed{false}, done{false};
  std::thread other([&] {
    s.pool.deallocate(s.pool.allocate(3 * big, stream), stream);
    has_freed = true;
    while (!done) std::this_thread::yield();
  });
  while (!has_freed) std::this_thread::yield();
  CHECK(reserved(s) == 3 * big);
  void* direct = s.pool.allocate_direct(3 * big);
  CHECK(all.empty());
  done = true;
  other.join();
  s.pool.deallocate_direct(direct);
}

TEST_CASE("soft limit: near it free memory is recycled before the pool grows, though told not to") {
  for (const bool with : {true, false}) {
    INFO((with ? "with" : "without"));
    pool_options options{.big_cache_share = 1};
    if (with) options.soft_bytes_max = soft;
    options.order.recycle = false;
    scene s(options);
    const weir::stream stream = s.make_stream();
    for (const std::size_t bytes : {big, 3 * big, 4 * big, 2 * big})
      s.put(s.get(bytes, stream), bytes, stream), s.device->synchronize();
    CHECK(s.pool.statistics().reserved_peak == (with ? soft : 10 * big));
  }
}

TEST_CASE("soft limit: past it what comes free goes back to the driver, on the slow path and in a tick") {
  for (const bool in_tick : {true, false}) {
    std::vector<told> all;
    scene s(noting(all));
    const weir::stream stream = s.make_stream();
    std::vector<void*> blocks;
    for (int i = 0; i < 8; ++i) blocks.push_back(s.get(big, stream));
    for (int i = 0; i < 6; ++i) s.put(blocks[static_cast<std::size_t>(i)], big, stream);
    s.device->synchronize();
    CHECK(reserved(s) == 8 * big);
    s.device->advance(10'000'000);  // other threads' caches are disturbed every ten milliseconds at most
    void* p = nullptr;
    if (in_tick)
      stream.state()->owner.load()->tick();
    else
      p = s.get(MiB, stream);
    CHECK(reserved(s) == soft);
    if (p) s.put(p, MiB, stream);
    for (int i = 6; i < 8; ++i) s.put(blocks[static_cast<std::size_t>(i)], big, stream);
  }
}

TEST_CASE("soft limit: its handler may call the pool: allocate, free, trim, look; it is not asked about that") {
  scene* scene_of_handler = nullptr;
  weir::stream stream;
  std::vector<void*> spare;
  unsigned told_times = 0;
  scene s({.soft_bytes_max = soft,
           .on_soft_limit =
               [&](std::size_t bytes, std::size_t limit) {
                 CHECK(bytes > limit);
                 ++told_times;
                 scene& on = *scene_of_handler;
                 for (void* p : spare) on.put(p, big, stream);
                 spare.clear();
                 on.device->synchronize();
                 must(on.pool.trim(0));
                 CHECK(on.pool.statistics().reserved <= soft);
                 CHECK(on.pool.validate().empty());
                 on.put(on.get(5 * big, stream), 5 * big, stream);  // past it once more
               },
           .big_cache_share = 1});
  scene_of_handler = &s;
  stream = s.make_stream();
  for (int i = 0; i < 4; ++i) spare.push_back(s.get(big, stream));
  void* p = s.get(big, stream);
  CHECK(told_times == 1);
  CHECK(spare.empty());
  s.put(p, big, stream);
}

TEST_CASE("soft limit: an exception from the handler is dropped, and the allocation stands") {
  scene s({.soft_bytes_max = soft, .on_soft_limit = [](std::size_t, std::size_t) { throw std::runtime_error("no"); }});
  const weir::stream stream = s.make_stream();
  void* p = s.get(5 * big, stream);
  void* direct = s.pool.allocate_direct(big);
  CHECK(s.pool.statistics().failures == 0);
  s.put(p, 5 * big, stream);
  s.pool.deallocate_direct(direct);
}

TEST_CASE("soft limit: the hard one stands where it stood") {
  std::vector<told> all;
  pool_options options = noting(all);
  options.bytes_max = 6 * big;
  scene s(options);
  const weir::stream stream = s.make_stream();
  CHECK(why(s.pool.try_allocate(7 * big, stream)) == errc::out_of_memory);
  CHECK(all.empty());
  void* p = s.get(6 * big, stream);
  CHECK(all == std::vector{told{6 * big, soft}});
  s.put(p, 6 * big, stream);
}

TEST_CASE("soft limit: of threads that pass it together one is told") {
  std::atomic<unsigned> told_times{0};
  scene s(
      {.soft_bytes_max = soft, .on_soft_limit = [&](std::size_t, std::size_t) { ++told_times; }, .big_cache_share = 1});
  std::vector<weir::stream> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(s.make_stream());
  std::vector<void*> blocks(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 8; ++i)
    threads.emplace_back([&, i] { blocks[i] = s.pool.try_allocate(big, streams[i]).value(); });
  for (std::thread& t : threads) t.join();
  CHECK(told_times == 1);
  for (std::size_t i = 0; i < 8; ++i) must(s.pool.try_deallocate(blocks[i], streams[i]));
}

}  // namespace
}  // namespace weir::test
