// SPDX-License-Identifier: Apache-2.0
//
// Hits of many threads while others reclaim, count and trim: nothing is lost, handed out twice or miscounted.
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_set>

#include "core/size_class.hpp"
#include "pool/pool_impl.hpp"
#include "scene.hpp"
#include "worker.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t small = 3000, medium = 3 * MiB, big = 40 * MiB;
constexpr std::array<std::size_t, 7> sizes{256, small, 60 * KiB, MiB, medium, 12 * MiB, big};
constexpr unsigned threads_count = 8;

// Blocks that are somebody's: whether one was nobody's before. Many locks, so that it orders little.
class owned {
 public:
  bool add(void* p) {
    shard& s = of(p);
    const std::lock_guard lock(s.mutex);
    return s.blocks.insert(p).second;
  }
  void remove(void* p) {
    shard& s = of(p);
    const std::lock_guard lock(s.mutex);
    s.blocks.erase(p);
  }

 private:
  struct shard {
    std::mutex mutex;
    std::unordered_set<void*> blocks;
  };
  shard& of(void* p) { return shards_[reinterpret_cast<std::uintptr_t>(p) / 256 % shards_.size()]; }
  std::array<shard, 61> shards_;
};

struct block {
  void* begin;
  std::size_t size_at;  // in `sizes`
};

// What one thread did.
struct account {
  std::uint64_t allocations = 0, deallocations = 0, refused = 0, twice = 0;
  std::vector<block> live;
};

// What the threads share.
struct crowd {
  explicit crowd(scene& on) : s(on) {}
  scene& s;
  owned blocks;
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::vector<block> handed;  // to whoever frees it
};

void free_block(crowd& c, const weir::stream& stream, account& mine, const block& b, bool says_size) {
  c.blocks.remove(b.begin);
  const auto done = c.s.pool.try_deallocate(b.begin, says_size ? sizes[b.size_at] : 0, stream);
  ++(done ? mine.deallocations : mine.refused);
}

void allocate_block(crowd& c, const weir::stream& stream, account& mine, std::size_t size_at) {
  const auto p = c.s.pool.try_allocate(sizes[size_at], stream);
  if (!p) return void(++mine.refused);
  ++mine.allocations;
  if (!c.blocks.add(*p)) ++mine.twice;
  mine.live.push_back({*p, size_at});
}

void swap_with_others(crowd& c, const weir::stream& stream, account& mine) {
  block theirs{};
  {
    const std::lock_guard lock(c.mutex);
    if (!c.handed.empty()) std::swap(theirs, c.handed.back()), c.handed.pop_back();
    if (!mine.live.empty()) c.handed.push_back(mine.live.back()), mine.live.pop_back();
  }
  if (theirs.begin) free_block(c, stream, mine, theirs, false);
}

void work(crowd& c, const weir::stream& stream, account& mine, unsigned seed) {
  std::mt19937 random(seed);
  while (!c.stop) {
    const std::size_t size_at = random() % 8 ? random() % 4 : random() % sizes.size();
    if (mine.live.size() < 12 && random() % 2) {
      allocate_block(c, stream, mine, size_at);
    } else if (!mine.live.empty()) {
      std::swap(mine.live[random() % mine.live.size()], mine.live.back());
      const block b = mine.live.back();
      mine.live.pop_back();
      free_block(c, stream, mine, b, random() % 2);
    }
    if (random() % 32 == 0) swap_with_others(c, stream, mine);
  }
}

// Counts only grow, and no more is freed than was allocated.
std::string look(const scene& s, statistics& last) {
  const auto now = s.pool.statistics();
  std::string wrong;
  if (now.allocations < last.allocations || now.deallocations < last.deallocations) wrong = "a count went back";
  if (now.deallocations > now.allocations) wrong = "more frees than allocations";
  if (now.cached > now.held) wrong = "more cached than held";
  last = now;
  return wrong;
}

// Those who get in the threads' way until told to stop; what they found wrong.
struct disturbers {
  explicit disturbers(crowd& c, const weir::stream& any) {
    threads.emplace_back([&] {
      statistics last;
      while (!c.stop)
        if (std::string wrong = look(c.s, last); !wrong.empty()) found = std::move(wrong);
    });
    threads.emplace_back([&, impl = any.state()->owner.load()] {
      for (unsigned i = 0; !c.stop; ++i) {
        if (!c.s.pool.trim() || !c.s.pool.trim(64 * MiB) || !c.s.pool.defragment()) failed = true;
        c.s.device->advance(1'000'000);
        impl->tick();
        if (i % 8 == 0) c.s.pool.walk([](const block_info&) {});
      }
    });
  }
  void join() {
    for (std::thread& t : threads) t.join();
  }
  std::vector<std::thread> threads;
  std::string found;
  std::atomic<bool> failed{false};
};

void fits(const statistics& now, const std::vector<account>& all, const crowd& c) {
  account sum;
  std::array<std::uint64_t, sizes.size()> live{};
  for (const account& a : all) {
    sum.allocations += a.allocations;
    sum.deallocations += a.deallocations;
    for (const block& b : a.live) ++live[b.size_at];
  }
  for (const block& b : c.handed) ++live[b.size_at];
  CHECK(now.allocations == sum.allocations);
  CHECK(now.deallocations == sum.deallocations);
  CHECK(now.live_count == sum.allocations - sum.deallocations);
  CHECK(now.allocated + now.free == now.held);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::size_t has = sizes[i] <= MiB ? core::class_bytes(core::class_of(sizes[i])) : sizes[i];
    bytes += live[i] * has;
    if (sizes[i] <= MiB) CHECK(now.classes[core::class_of(sizes[i])].live_count == live[i]);
  }
  CHECK(now.allocated == bytes);
}

TEST_CASE(
    "caches: eight threads on one stream or their own, reclaimed and looked at all the time, lose and miss nothing") {
  for (const bool one_stream : {true, false}) {
    INFO((one_stream ? "on one stream" : "on their own streams"));
    scene s({.trim = {idle(20ms), decay(50ms)}, .big_cache_share = 1});
    crowd c(s);
    std::vector<weir::stream> streams;
    for (unsigned t = 0; t < threads_count; ++t) streams.push_back(t && one_stream ? streams[0] : s.make_stream());
    std::vector<account> accounts(threads_count);
    std::barrier rest(threads_count + 1);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < threads_count; ++t)
      threads.emplace_back([&, t] {
        work(c, streams[t], accounts[t], t);
        rest.arrive_and_wait();  // so that all stay
        rest.arrive_and_wait();
      });
    disturbers others(c, streams[0]);
    std::this_thread::sleep_for(1s);
    c.stop = true;
    rest.arrive_and_wait();
    others.join();
    CHECK(others.found == "");
    CHECK_FALSE(others.failed);
    for (const account& a : accounts) {
      CHECK(a.allocations > 0);
      CHECK(a.refused == 0);
      CHECK(a.twice == 0);
    }
    const auto before = s.pool.statistics();
    CHECK(before.served.cache > 0);
    fits(before, accounts, c);
    rest.arrive_and_wait();
    for (std::thread& t : threads) t.join();
    const auto after = s.pool.statistics();
    CHECK(after.cached == 0);
    CHECK(after.served.cache == before.served.cache);
    fits(after, accounts, c);
    for (account& a : accounts)
      for (const block& b : a.live) must(s.pool.try_deallocate(b.begin, sizes[b.size_at], streams[0]));
    for (const block& b : c.handed) must(s.pool.try_deallocate(b.begin, sizes[b.size_at], streams[0]));
    CHECK(s.pool.statistics().allocated == 0);
  }
}

TEST_CASE("caches: what one thread allocates and another frees is bounded in what it holds, and comes back") {
  for (const std::size_t bytes : sizes) {
    INFO(bytes);
    scene s;
    const weir::stream stream = s.make_stream();
    worker other;
    for (int i = 0; i < 500; ++i) {
      void* p = s.get(bytes, stream);
      other.run([&] { s.put(p, bytes, stream); });
    }
    const auto now = s.pool.statistics();
    CHECK(now.held <= 64 * MiB + 24 * bytes);
    CHECK(now.allocated == 0);
    CHECK(now.allocations == 500);
    CHECK(now.deallocations == 500);
    other.end();
    CHECK(s.pool.statistics().cached == s.pool.statistics().streams.at(0).cached);
    s.device->synchronize();
    CHECK(must(s.pool.trim(0)).reserved_after == 0);
  }
}

TEST_CASE("thread exit: while others reclaim, nothing is lost and all is counted") {
  scene s;
  const weir::stream stream = s.make_stream();
  std::atomic<bool> done{false};
  std::atomic<unsigned> failed{0};
  std::vector<std::thread> reclaimers;
  for (int i = 0; i < 2; ++i)
    reclaimers.emplace_back([&, i] {
      while (!done) {
        if (i ? !s.pool.trim(GiB) : !s.pool.defragment()) ++failed;
        (void)s.pool.statistics();
      }
    });
  constexpr unsigned rounds = 60, at_once = 4, repeats = 3;
  for (unsigned round = 0; round < rounds; ++round) {
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < at_once; ++t)
      threads.emplace_back([&] {
        for (unsigned i = 0; i < repeats; ++i)
          for (const std::size_t bytes : sizes) {
            const auto p = s.pool.try_allocate(bytes, stream);
            if (!p || !s.pool.try_deallocate(*p, bytes, stream)) ++failed;
          }
      });
    for (std::thread& t : threads) t.join();
  }
  done = true;
  for (std::thread& t : reclaimers) t.join();
  CHECK(failed == 0);
  const auto end = s.pool.statistics();
  CHECK(end.allocations == rounds * at_once * repeats * sizes.size());
  CHECK(end.deallocations == end.allocations);
  CHECK(end.cached == 0);
  CHECK(end.allocated == 0);
  CHECK(stream.state()->caches.empty());
}

// The next pool is made where the last one was, as hosts do with addresses.
TEST_CASE("pool's end: threads with blocks of every size go on, and the old token serves nothing of the next pool") {
  const auto device = sim::device::make();
  std::array<worker, 3> workers;
  auto pool = std::make_unique<weir::pool>(pool::make(device->make_backend()));
  const weir::stream old = must(pool->stream(device->create_stream()));
  const auto use = [&](const weir::stream& stream) {
    for (const std::size_t bytes : {small, medium, big, small, medium, big})
      pool->deallocate(pool->allocate(bytes, stream), stream);
  };
  for (worker& w : workers) w.run([&] { use(old); });
  const void* before = old.state()->owner.load();
  pool.reset();
  bool is_same_place = false;
  for (int i = 0; i < 10 && !is_same_place; ++i) {
    pool = std::make_unique<weir::pool>(pool::make(device->make_backend()));
    const weir::stream next = must(pool->stream(device->create_stream()));
    is_same_place = next.state()->owner.load() == before;
    for (worker& w : workers)
      w.run([&] {
        for (const std::size_t bytes : {small, medium, big}) {
          CHECK(why(pool->try_allocate(bytes, old)) == errc::stream_retired);
          void* p = pool->allocate(bytes, next);
          CHECK(why(pool->try_deallocate(p, bytes, old)) == errc::stream_retired);
          pool->deallocate(p, next);
        }
        use(next);
      });
    CHECK(pool->statistics().allocated == 0);
  }
  if (!is_same_place) WARN("no pool was made where the last one had been");
  pool.reset();
  for (worker& w : workers) w.end();
  CHECK(must(device->make_backend()->memory()).free == must(device->make_backend()->memory()).total);
}

}  // namespace
}  // namespace weir::test
