// SPDX-License-Identifier: Apache-2.0
//
// Several threads on one pool: own streams, a shared one, blocks freed by others; threads that end, pools that end.
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "scene.hpp"

namespace weir::test {
namespace {

struct block {
  void* begin;
  std::size_t bytes;
};

// A program of one thread; answers how many calls failed. Catch2's macros are not for threads.
unsigned work(scene& s, const weir::stream& stream, unsigned seed, int steps) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> exponent(6, 22);
  std::vector<block> blocks;
  unsigned failed = 0;
  const auto drop = [&](std::size_t at) {
    std::swap(blocks[at], blocks.back());
    s.read(blocks.back().begin, blocks.back().bytes, stream);
    if (!s.pool.try_deallocate(blocks.back().begin, blocks.back().bytes, stream)) ++failed;
    blocks.pop_back();
  };
  for (int i = 0; i < steps; ++i) {
    const auto bytes = static_cast<std::size_t>(std::exp2(exponent(random))) + (i % 100 == 99 ? 20 * MiB : 0);
    const auto p = s.pool.try_allocate(bytes, stream);
    if (!p) {
      ++failed;
      continue;
    }
    s.write(*p, bytes, stream);
    blocks.push_back({*p, bytes});
    if (blocks.size() > 20) drop(random() % blocks.size());
  }
  while (!blocks.empty()) drop(0);
  return failed;
}

TEST_CASE("threads: each with its own stream") {
  scene s;
  std::atomic<unsigned> failed{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&, t, stream = s.make_stream()] { failed += work(s, stream, t, 500); });
  for (std::thread& t : threads) t.join();
  CHECK(failed == 0);
  CHECK(s.pool.statistics().allocated == 0);
  CHECK(s.pool.statistics().allocations == 2000);
}

TEST_CASE("threads: all on one stream") {
  scene s;
  const weir::stream stream = s.make_stream();
  std::atomic<unsigned> failed{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) threads.emplace_back([&, t] { failed += work(s, stream, t, 500); });
  for (std::thread& t : threads) t.join();
  CHECK(failed == 0);
  CHECK(s.pool.statistics().allocated == 0);
}

// Each makes the pool grow, and looks for free memory to give back before: the others' new regions are none.
TEST_CASE("threads: the first allocation of each, at once on one stream, is served") {
  const auto device = sim::device::make();
  std::atomic<unsigned> failed{0};
  for (int round = 0; round < 100; ++round) {
    weir::pool pool = pool::make(device->make_backend());
    const weir::stream stream = must(pool.stream(device->create_stream()));
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        ++ready;
        while (ready < 4) std::this_thread::yield();
        const auto p = pool.try_allocate(t % 2 ? 4096 : 3 * MiB, stream);
        if (!p || !pool.try_deallocate(*p, stream)) ++failed;
      });
    for (std::thread& t : threads) t.join();
    REQUIRE(pool.statistics().failures == 0);
  }
  CHECK(failed == 0);
}

TEST_CASE("threads: a crowded pool, trimmed, defragmented and looked at meanwhile") {
  scene s({.bytes_max = 512 * MiB});
  std::atomic<unsigned> failed{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t, stream = s.make_stream()] { failed += work(s, stream, 10 + t, 400); });
  std::thread keeper([&] {
    while (!done) {
      if (!s.pool.trim(64 * MiB) || !s.pool.defragment()) ++failed;
      (void)s.pool.statistics();
      s.pool.walk([](const block_info&) {});
      std::this_thread::yield();
    }
  });
  for (std::thread& t : threads) t.join();
  done = true;
  keeper.join();
  CHECK(failed == 0);
  CHECK(s.pool.statistics().allocated == 0);
  CHECK(s.pool.statistics().reserved_peak <= 512 * MiB);
}

TEST_CASE("threads: blocks are freed by others than allocated them") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  std::mutex mutex;
  std::vector<block> handed;
  std::atomic<int> makers{2};
  std::atomic<unsigned> failed{0}, freed{0};
  const auto make = [&](unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> exponent(6, 23);
    for (int i = 0; i < 400; ++i) {
      const auto bytes = static_cast<std::size_t>(std::exp2(exponent(random)));
      const auto p = s.pool.try_allocate(bytes, a);
      if (!p) {
        ++failed;
        continue;
      }
      s.write(*p, bytes, a);
      const std::lock_guard lock(mutex);
      s.order(a, b);
      handed.push_back({*p, bytes});
    }
    --makers;
  };
  const auto end = [&] {
    for (;;) {
      const bool last = makers == 0;
      std::vector<block> mine;
      {
        const std::lock_guard lock(mutex);
        mine.swap(handed);
      }
      for (const block& x : mine) {
        s.read(x.begin, x.bytes, b);
        s.pool.try_deallocate(x.begin, x.bytes, b) ? ++freed : ++failed;
      }
      if (last && mine.empty()) return;
      std::this_thread::yield();
    }
  };
  std::vector<std::thread> threads;
  threads.emplace_back(make, 1u);
  threads.emplace_back(make, 2u);
  threads.emplace_back(end);
  threads.emplace_back(end);
  for (std::thread& t : threads) t.join();
  CHECK(failed == 0);
  CHECK(freed == 800);
  CHECK(s.pool.statistics().allocated == 0);
}

// Native allocations share pages of the address map, so a free may meet the descriptor of a neighbour that goes away.
TEST_CASE("threads: blocks are found while native allocations beside them come and go") {
  scene s({.order = {.other_streams_passed = false}, .big_cache_share = 0}, {.bytes_total = 8 * GiB});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* shift = s.get(20 * MiB + 512 * 77, b);  // so that what follows begins inside a page
  std::atomic<unsigned> failed{0};
  std::atomic<bool> done{false};
  std::thread comes_and_goes([&] {
    std::mt19937 random(6);
    while (!done) {
      const std::size_t bytes = 17 * MiB + 512 * (random() % 40'000);
      const auto p = s.pool.try_allocate(bytes, b);
      if (!p || !s.pool.try_deallocate(*p, bytes, b)) ++failed;
      s.device->advance(1000);
    }
  });
  for (int round = 0; round < 40; ++round) {
    std::vector<void*> blocks;
    for (int i = 0; i < 2040; ++i)
      if (const auto p = s.pool.try_allocate(16 * KiB, a)) blocks.push_back(*p);
    if (blocks.size() != 2040) ++failed;
    for (void* p : blocks)
      if (!s.pool.try_deallocate(p, 16 * KiB, a)) ++failed;
    if (!s.pool.trim(0)) ++failed;
  }
  done = true;
  comes_and_goes.join();
  CHECK(failed == 0);
  s.put(shift, 20 * MiB + 512 * 77, b);
  CHECK(s.pool.statistics().allocated == 0);
}

TEST_CASE("threads: streams are met and retired while others work") {
  scene s;
  std::atomic<unsigned> failed{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 20; ++i) {
        const stream_handle handle = s.device->create_stream();
        const auto stream = s.pool.stream(handle);
        if (!stream) return void(++failed);
        failed += work(s, *stream, t * 100 + i, 25);
        if (!s.pool.retire(*stream)) ++failed;
        s.device->destroy_stream(handle);
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(failed == 0);
  CHECK(s.pool.statistics().allocated == 0);
}

TEST_CASE("thread exit: the blocks of a full cache go back to their heaps, without a native call") {
  scene s;
  const weir::stream stream = s.make_stream();
  std::thread([&] {
    std::vector<void*> blocks;
    for (int i = 0; i < 30; ++i) blocks.push_back(s.pool.allocate(4096, stream));
    for (void* p : blocks) s.pool.deallocate(p, stream);
  }).join();
  const auto after = s.pool.statistics();
  CHECK(after.cached == 0);
  CHECK(after.allocations == 30);  // its counts stay, too
  CHECK(after.deallocations == 30);
  CHECK(after.served.cache > 0);
  const auto allocations = s.device->calls().allocate;
  for (int i = 0; i < 30; ++i) s.get(4096, stream);
  CHECK(s.device->calls().allocate == allocations);
}

TEST_CASE("thread exit: a thousand threads leave no surplus") {
  scene s;
  const weir::stream stream = s.make_stream();
  for (int i = 0; i < 2040; ++i)
    std::thread([&] { s.pool.deallocate(s.pool.allocate(100 * KiB, stream), stream); }).join();
  CHECK(s.pool.statistics().held == 32 * MiB);
  CHECK(s.pool.statistics().cached == 0);
}

// The order a thread-local destructor runs in is the reverse of making: this one is made first, so it frees last.
struct frees_late {
  weir::pool* pool = nullptr;
  weir::stream stream;
  void* held = nullptr;
  ~frees_late() {
    if (!pool) return;
    pool->deallocate(held, stream);
    pool->deallocate(pool->allocate(4096, stream), stream);
  }
};

TEST_CASE("thread exit: a thread-local destructor that frees after the caches went still can") {
  scene s;
  const weir::stream stream = s.make_stream();
  std::thread([&] {
    thread_local frees_late late;
    late.pool = &s.pool;
    late.stream = stream;
    late.held = s.pool.allocate(4096, stream);
  }).join();
  CHECK(s.pool.statistics().allocated == 0);
  CHECK(s.pool.statistics().cached == 0);
  CHECK(s.pool.statistics().allocations == 2);
}

TEST_CASE("pool's end: threads whose caches it filled go on, and end, without it") {
  const auto device = sim::device::make();
  auto pool = std::make_unique<weir::pool>(pool::make(device->make_backend()));
  std::mutex mutex;
  std::condition_variable changed;
  int filled = 0;
  bool gone = false;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&, stream = must(pool->stream(device->create_stream()))] {
      pool->deallocate(pool->allocate(4096, stream), stream);
      {
        std::unique_lock lock(mutex);
        ++filled;
        changed.notify_all();
        changed.wait(lock, [&] { return gone; });
      }
      // Another pool works with the same thread's table, and the old token is refused there.
      weir::pool next = pool::make(device->make_backend());
      const auto again = next.stream(device->create_stream());
      if (!again || !next.try_allocate(4096, *again)) ++wrong;
      const auto old = next.try_allocate(4096, stream);
      if (old || old.error().code != errc::stream_retired) ++wrong;
    });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return filled == 3; });
  }
  pool.reset();
  {
    const std::lock_guard lock(mutex);
    gone = true;
  }
  changed.notify_all();
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(must(device->make_backend()->memory()).free == must(device->make_backend()->memory()).total);
}

TEST_CASE("pool's end: threads may exit at that very moment") {
  const auto device = sim::device::make();
  for (int round = 0; round < 30; ++round) {
    auto pool = std::make_unique<weir::pool>(pool::make(device->make_backend()));
    const weir::stream stream = must(pool->stream(device->create_stream()));
    std::atomic<int> done{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        pool->deallocate(pool->allocate(4096, stream), stream);
        ++done;
      });
    while (done < 3) std::this_thread::yield();
    pool.reset();
    for (std::thread& t : threads) t.join();
  }
  CHECK(must(device->make_backend()->memory()).free == must(device->make_backend()->memory()).total);
}

}  // namespace
}  // namespace weir::test
