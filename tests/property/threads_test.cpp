// SPDX-License-Identifier: Apache-2.0
//
// Real threads on one pool over a simulated device: what they hand to each other, what a watcher sees meanwhile, and
// that nobody is stuck or refused where there is room. Seeds are printed when a case fails; the interleaving is not
// theirs to repeat.
#include <algorithm>
#include <atomic>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/bits.hpp"
#include "property/random_source.hpp"
#include "support/results.hpp"
#include "weir/pool.hpp"
#include "weir/sim.hpp"

namespace {

using weir::base::kib;
using weir::base::mib;
using weir::test::must;
using weir::test::random_source;

constexpr auto run_time = std::chrono::milliseconds(1300);

// The first thing any thread found wrong; Catch2's macros are for one thread only.
class findings {
 public:
  void add(const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (first_.empty()) first_ = what;
    found_ = true;
  }
  bool any() const { return found_; }
  std::string first() const {
    const std::lock_guard lock(mutex_);
    return first_;
  }

 private:
  mutable std::mutex mutex_;
  std::string first_;
  std::atomic<bool> found_{false};
};

struct handed {
  void* pointer;
  std::size_t bytes;
  weir::stream_handle from;
};

class hand_over_queue {
 public:
  // False: enough wait already.
  bool put(const handed& h) {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= 32) return false;
    waiting_.push_back(h);
    return true;
  }
  bool take(handed& h) {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) return false;
    h = waiting_.front();
    waiting_.pop_front();
    return true;
  }

 private:
  std::mutex mutex_;
  std::deque<handed> waiting_;
};

// Live ranges of all threads: a block handed out twice at once is found when the second is entered.
class live_ranges {
 public:
  bool enter(const void* p, std::size_t bytes) {
    const auto at = reinterpret_cast<std::uintptr_t>(p);
    const std::lock_guard lock(mutex_);
    const auto next = ranges_.lower_bound(at);
    if (next != ranges_.end() && next->first < at + bytes) return false;
    if (next != ranges_.begin() && std::prev(next)->first + std::prev(next)->second > at) return false;
    return ranges_.emplace(at, bytes).second;
  }
  void leave(const void* p) {
    const std::lock_guard lock(mutex_);
    ranges_.erase(reinterpret_cast<std::uintptr_t>(p));
  }

 private:
  std::mutex mutex_;
  std::map<std::uintptr_t, std::size_t> ranges_;
};

struct stage {
  explicit stage(std::size_t device_bytes, weir::pool_options options = {})
      : device(weir::sim::device::make({.bytes_total = device_bytes})),
        pool(weir::pool::make(device->make_backend(), std::move(options))) {}

  std::shared_ptr<weir::sim::device> device;
  weir::pool pool;
  findings wrong;
  live_ranges live;
  hand_over_queue queue;
  std::atomic<std::uint64_t> allocations{0};
  std::atomic<bool> stop{false};

  void watch_out() {
    const auto violations = device->violations();
    if (!violations.empty()) wrong.add("violation: " + violations.front().text);
  }
};

struct worker_options {
  std::uint64_t seed = 0;
  std::size_t bytes_min = 0;  // of one block
  std::size_t bytes_max = 0;
  std::size_t live_max = 0;  // of this thread
  bool hands_over = true;
  bool may_be_refused = true;
};

struct mine {
  void* pointer;
  std::size_t bytes;
};

// Allocates, writes, hands over, takes over and frees on one stream until told to stop.
void work(stage& on, weir::stream_handle handle, const weir::stream& token, const worker_options& o) {
  random_source r(o.seed);
  std::vector<mine> held;
  std::size_t live = 0;
  const auto free_one = [&](std::size_t i) {
    on.live.leave(held[i].pointer);
    const auto done = token ? on.pool.try_deallocate(held[i].pointer, held[i].bytes, token)
                            : on.pool.try_deallocate(held[i].pointer, held[i].bytes, weir::raw_stream(handle));
    if (!done) on.wrong.add("a right free was refused: " + done.error().message());
    live -= held[i].bytes;
    held[i] = held.back();
    held.pop_back();
  };
  while (!on.stop && !on.wrong.any()) {
    const std::size_t bytes = std::max(o.bytes_min, r.log_uniform(o.bytes_max));
    if (live + bytes <= o.live_max && r.chance(55)) {
      const auto p = token ? on.pool.try_allocate(bytes, token) : on.pool.try_allocate(bytes, weir::raw_stream(handle));
      if (!p) {
        if (!o.may_be_refused || p.error().code != weir::errc::out_of_memory) on.wrong.add(p.error().message());
        continue;
      }
      ++on.allocations;
      if (!on.live.enter(*p, bytes)) on.wrong.add("a block handed out twice");
      on.device->launch(handle, r.below(50'000), {{*p, bytes}});
      held.push_back({*p, bytes});
      live += bytes;
    } else if (!held.empty() && r.chance(20) && o.hands_over) {
      const std::size_t i = r.below(held.size());
      if (!on.queue.put({held[i].pointer, held[i].bytes, handle})) continue;
      live -= held[i].bytes;
      held[i] = held.back();
      held.pop_back();
    } else if (handed h; r.chance(20) && on.queue.take(h)) {
      on.device->order(h.from, handle);
      if (r.chance(50)) on.device->launch(handle, r.below(50'000), {{h.pointer, h.bytes}});
      held.push_back({h.pointer, h.bytes});
      live += h.bytes;
      while (live > o.live_max) free_one(held.size() - 1);
    } else if (!held.empty()) {
      free_one(r.below(held.size()));
    }
    if (r.chance(1)) on.device->advance(r.below(100'000));
  }
  while (!held.empty()) free_one(held.size() - 1);
}

void empty_queue(stage& on, weir::stream_handle handle) {
  handed h;
  while (on.queue.take(h)) {
    on.device->order(h.from, handle);
    on.live.leave(h.pointer);
    if (!on.pool.try_deallocate(h.pointer, weir::raw_stream(handle))) on.wrong.add("a handed block was refused");
  }
}

// Everything a bystander may do, over and over.
void watch(stage& on, std::uint64_t seed) {
  random_source r(seed);
  while (!on.stop && !on.wrong.any()) {
    switch (r.below(6)) {
      case 0: (void)on.pool.trim(r.chance(50) ? 0 : r.below(std::size_t{1} << 32)).has_value(); break;
      case 1: (void)on.pool.defragment().has_value(); break;
      case 2: {
        const auto now = on.pool.statistics();
        if (now.allocated > std::size_t{1} << 40 || now.allocated_peak > std::size_t{1} << 40 ||
            now.live_count > std::uint64_t{1} << 40)
          on.wrong.add("statistics count below zero");
        if (now.held > now.reserved) on.wrong.add("statistics: more held than reserved");
        break;
      }
      case 3: {
        std::size_t count = 0;
        on.pool.walk([&](const weir::block_info&) { ++count; });
        break;
      }
      default:
        if (const auto broken = on.pool.validate(); !broken.empty()) on.wrong.add("validate: " + broken.front());
    }
    on.watch_out();
  }
}

void join_after(stage& on, std::vector<std::thread>& threads, std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end && !on.wrong.any())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  on.stop = true;
  for (std::thread& t : threads) t.join();
}

// After all threads are gone: nothing live, all invariants, no violation.
void check_end(stage& on, weir::stream_handle any) {
  empty_queue(on, any);
  on.watch_out();
  if (const auto broken = on.pool.validate(); !broken.empty()) on.wrong.add("at the end: " + broken.front());
  INFO(on.wrong.first());
  CHECK(!on.wrong.any());
  const auto now = on.pool.statistics();
  CHECK(now.allocated == 0);
  CHECK(now.live_count == 0);
  CHECK(on.allocations > 100);
}

}  // namespace

TEST_CASE("threads: own and shared streams, blocks handed over, and a watcher") {
  stage on(std::size_t{64} << 30);
  const weir::stream_handle shared = on.device->create_stream();
  const weir::stream shared_token = must(on.pool.stream(shared));
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 6; ++i)
    threads.emplace_back([&on, i, shared, &shared_token] {
      const bool shares = i >= 3;
      const bool has_own = i == 2;
      const weir::stream_handle handle = shares    ? shared
                                         : has_own ? weir::per_thread_stream()
                                                   : on.device->create_stream();
      weir::stream token;
      if (shares) token = shared_token;
      if (i == 0) token = on.pool.stream(handle).value();
      work(on, handle, token,
           {.seed = i, .bytes_max = i % 2 ? 32 * mib : 256 * kib, .live_max = 256 * mib, .hands_over = !has_own});
    });
  threads.emplace_back([&on] { watch(on, 99); });
  join_after(on, threads, run_time);
  check_end(on, shared);
}

// Eight threads with at most 117 MiB live under a limit of 160, of which a chunk may be lost to where the native pool
// puts regions. All blocks are of one class, so whatever is free anywhere could serve, and nobody is refused.
TEST_CASE("threads: under pressure nobody is stuck, and nobody refused while there is room") {
  stage on(std::size_t{2} << 30, {.bytes_max = 160 * mib});
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 8; ++i)
    threads.emplace_back([&on, i] {
      const weir::stream_handle handle = on.device->create_stream();
      work(on, handle, on.pool.stream(handle).value(),
           {.seed = 100 + i, .bytes_min = 60'000, .bytes_max = 61'000, .live_max = 14 * mib, .may_be_refused = false});
    });
  join_after(on, threads, run_time);
  check_end(on, weir::legacy_stream());
  CHECK(on.pool.statistics().reserved_peak == 160 * mib);
}

// Blocks of 32 MiB, two a thread, with room for one more than that: natively one chunk each, so none can be in the way.
TEST_CASE("threads: under pressure of big blocks nobody is refused while there is room") {
  stage on(std::size_t{2} << 30, {.bytes_max = 17 * 32 * mib, .big_cache_share = 1});
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 8; ++i)
    threads.emplace_back([&on, i] {
      const weir::stream_handle handle = on.device->create_stream();
      work(on, handle, on.pool.stream(handle).value(),
           {.seed = 100 + i,
            .bytes_min = 32 * mib,
            .bytes_max = 32 * mib,
            .live_max = 64 * mib,
            .hands_over = false,
            .may_be_refused = false});
    });
  join_after(on, threads, run_time);
  check_end(on, weir::legacy_stream());
}

TEST_CASE("threads: far too little room refuses and goes on") {
  stage on(std::size_t{512} << 20, {.bytes_max = std::size_t{256} << 20});
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 8; ++i)
    threads.emplace_back([&on, i] {
      const weir::stream_handle handle = on.device->create_stream();
      const weir::stream token = i % 2 ? on.pool.stream(handle).value() : weir::stream();
      work(on, handle, token, {.seed = 200 + i, .bytes_max = 96 * mib, .live_max = 128 * mib});
    });
  threads.emplace_back([&on] { watch(on, 98); });
  join_after(on, threads, run_time);
  check_end(on, weir::legacy_stream());
  CHECK(on.pool.statistics().failures > 0);
}

// Everything that takes memory away at once: a hard and a soft limit, a neighbour that comes and goes, policies on the
// slow path and in the pool's own thread, trims by a watcher. Only out_of_memory may come of it.
TEST_CASE("threads: limits, a neighbour, policies and the background thread at once") {
  using namespace std::chrono_literals;
  std::atomic<unsigned> told{0};
  const std::size_t limit = std::size_t{768} << 20;
  stage on(std::size_t{1} << 30, {.bytes_max = limit,
                                  .soft_bytes_max = limit / 2,
                                  .trim = {weir::watermark(limit / 4, limit / 2), weir::decay(2ms), weir::idle(3ms),
                                           weir::on_pressure(std::size_t{128} << 20), weir::defragment_above(0.5)},
                                  .background = 1ms,
                                  .on_soft_limit = [&](std::size_t, std::size_t) { ++told; }});
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 8; ++i)
    threads.emplace_back([&on, i] {
      const weir::stream_handle handle = on.device->create_stream();
      const weir::stream token = i % 2 ? on.pool.stream(handle).value() : weir::stream();
      work(on, handle, token, {.seed = 300 + i, .bytes_max = 96 * mib, .live_max = 128 * mib});
    });
  threads.emplace_back([&on] { watch(on, 96); });
  threads.emplace_back([&on] {
    random_source r(95);
    while (!on.stop && !on.wrong.any()) {
      on.device->set_neighbour_bytes(r.chance(50) ? 0 : r.below(std::size_t{512} << 20));
      on.device->advance(r.below(1'000'000));
      if (r.chance(20)) (void)on.pool.trim().has_value();
      std::this_thread::sleep_for(1ms);
    }
    on.device->set_neighbour_bytes(0);
  });
  join_after(on, threads, run_time);
  check_end(on, weir::legacy_stream());
  CHECK(on.pool.statistics().reserved_peak <= limit);
  CHECK(told > 0);
}

TEST_CASE("threads: streams come, are retired and come again under the same handle") {
  stage on(std::size_t{8} << 30);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i)
    threads.emplace_back([&on, i] {
      for (std::uint64_t round = 0; !on.stop && !on.wrong.any(); ++round) {
        random_source r(round * 8 + i);
        const weir::stream_handle handle = on.device->create_stream();
        const weir::stream token = on.pool.stream(handle).value();
        for (unsigned n = 0; n < 50; ++n) {
          const std::size_t bytes = r.log_uniform(4 * mib);
          const auto p = on.pool.try_allocate(bytes, token);
          if (!p) return on.wrong.add(p.error().message());
          ++on.allocations;
          if (!on.live.enter(*p, bytes)) on.wrong.add("a block handed out twice");
          on.device->launch(handle, r.below(20'000), {{*p, bytes}});
          if (r.chance(10)) {
            // The stream goes, the block stays: somebody else frees it, after its work.
            on.device->order(handle, weir::legacy_stream());
            if (on.queue.put({*p, bytes, weir::legacy_stream()})) continue;
          }
          on.live.leave(*p);
          if (!on.pool.try_deallocate(*p, token)) on.wrong.add("a right free was refused");
        }
        if (!on.pool.retire(token)) on.wrong.add("not retired");
        on.device->destroy_stream(handle);
        empty_queue(on, weir::legacy_stream());
      }
    });
  threads.emplace_back([&on] { watch(on, 97); });
  join_after(on, threads, run_time);
  check_end(on, weir::legacy_stream());
}

TEST_CASE("threads: pools come and go while threads that used them live and end") {
  const auto device = weir::sim::device::make({.bytes_total = std::size_t{16} << 30});
  findings wrong;
  const auto end = std::chrono::steady_clock::now() + run_time;
  std::uint64_t pools = 0;
  for (std::uint64_t round = 0; std::chrono::steady_clock::now() < end && !wrong.any(); ++round, ++pools) {
    weir::pool first = weir::pool::make(device->make_backend());
    weir::pool second = weir::pool::make(device->make_backend());
    std::atomic<unsigned> done{0};
    std::atomic<bool> is_gone{false};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 3; ++i)
      threads.emplace_back([&, i] {
        random_source r(round * 4 + i);
        const weir::stream_handle handle = device->create_stream();
        for (weir::pool* p : {&first, &second}) {
          std::vector<void*> blocks;
          for (unsigned n = 0; n < 60; ++n) {
            const auto b = p->try_allocate(r.log_uniform(2 * mib), weir::raw_stream(handle));
            b ? blocks.push_back(*b) : wrong.add(b.error().message());
          }
          for (void* b : blocks)
            if (!p->try_deallocate(b, weir::raw_stream(handle))) wrong.add("a right free was refused");
        }
        ++done;
        // Some end while the first pool goes, some after it went and with the second still there.
        while (i == 0 && !is_gone) std::this_thread::yield();
        const auto b = second.try_allocate(64, weir::raw_stream(handle));
        if (!b || !second.try_deallocate(*b, weir::raw_stream(handle))) wrong.add("the second pool does not serve");
      });
    while (done < 3 && !wrong.any()) std::this_thread::yield();
    first = {};
    is_gone = true;
    for (std::thread& t : threads) t.join();
    if (const auto broken = second.validate(); !broken.empty()) wrong.add(broken.front());
    if (second.statistics().allocated != 0) wrong.add("something is live");
  }
  INFO(wrong.first());
  CHECK(!wrong.any());
  CHECK(pools > 2);
  CHECK(device->violations().empty());
}

namespace {

// A thread that comes, fills its caches on a stream that others share, leaves some blocks to them, and goes.
void visit(stage& on, weir::stream_handle handle, const weir::stream& token, std::uint64_t seed) {
  random_source r(seed);
  std::vector<mine> held;
  for (unsigned n = 0; n < 40; ++n) {
    const std::size_t bytes = r.log_uniform(mib);
    const auto p = on.pool.try_allocate(bytes, token);
    if (!p) return on.wrong.add(p.error().message());
    ++on.allocations;
    if (!on.live.enter(*p, bytes)) on.wrong.add("a block handed out twice");
    on.device->launch(handle, r.below(20'000), {{*p, bytes}});
    held.push_back({*p, bytes});
  }
  for (const mine& m : held) {
    if (r.chance(10) && on.queue.put({m.pointer, m.bytes, handle})) continue;
    on.live.leave(m.pointer);
    if (!on.pool.try_deallocate(m.pointer, m.bytes, token)) on.wrong.add("a right free was refused");
  }
}

// Captures a stream of its own, on and off; by its handle it is refused meanwhile, and served in between.
void capture(stage& on) {
  const weir::stream_handle handle = on.device->create_stream();
  const weir::raw_stream raw(handle);
  while (!on.stop && !on.wrong.any()) {
    on.device->set_capturing(handle, true);
    const auto refused = on.pool.try_allocate(5000, raw);
    if (refused || refused.error().code != weir::errc::stream_capturing) on.wrong.add("a capturing stream was served");
    std::this_thread::yield();
    on.device->set_capturing(handle, false);
    const auto p = on.pool.try_allocate(5000, raw);
    if (!p || !on.pool.try_deallocate(*p, 5000, raw)) on.wrong.add("a stream that was captured is refused");
  }
}

// Pools beside it on the same device, each for a moment.
void come_and_go(stage& on) {
  const weir::stream_handle handle = on.device->create_stream();
  while (!on.stop && !on.wrong.any()) {
    weir::pool brief = weir::pool::make(on.device->make_backend());
    const auto p = brief.try_allocate(3 * mib, weir::raw_stream(handle));
    if (!p) on.wrong.add(p.error().message());
    if (on.allocations % 2 && p && !brief.try_deallocate(*p, weir::raw_stream(handle))) on.wrong.add("a free refused");
  }
}

}  // namespace

TEST_CASE("threads: some end and others begin, streams are captured, pools come and go, and everybody looks") {
  using namespace std::chrono_literals;
  stage on(std::size_t{32} << 30, {.trim = {weir::release_above(64 * mib), weir::idle(1ms)}, .background = 1ms});
  const weir::stream_handle shared = on.device->create_stream();
  const weir::stream token = must(on.pool.stream(shared));
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 2; ++i)
    threads.emplace_back([&on, i] {
      const weir::stream_handle own = on.device->create_stream();
      work(on, own, on.pool.stream(own).value(), {.seed = 400 + i, .bytes_max = 32 * mib, .live_max = 128 * mib});
    });
  threads.emplace_back([&] { work(on, shared, token, {.seed = 402, .bytes_max = 256 * kib, .live_max = 16 * mib}); });
  threads.emplace_back([&] {
    for (std::uint64_t n = 0; !on.stop && !on.wrong.any(); ++n)
      std::thread([&] { visit(on, shared, token, 500 + n); }).join();
  });
  threads.emplace_back([&] { capture(on); });
  threads.emplace_back([&] { come_and_go(on); });
  threads.emplace_back([&] { watch(on, 94); });
  join_after(on, threads, run_time);
  check_end(on, shared);
}
