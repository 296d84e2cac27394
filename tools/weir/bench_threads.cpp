// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstdint>
#include <exception>
#include <mutex>
#include <random>
#include <thread>

#include "bench_allocators.hpp"
#include "bench_sections.hpp"

namespace weir::cli {
namespace {

constexpr std::size_t live_blocks = 64;
constexpr std::size_t sequence_length = 1024;  // 8 KiB: stays in the first cache beside what is measured
constexpr unsigned rounds = 3;

// Frees the block in a slot and allocates another in its place.
struct replacement {
  std::uint32_t slot = 0;
  std::uint32_t bytes = 0;
};
using sequence = std::array<replacement, sequence_length>;

// Log-uniform from 256 B to 64 KiB.
sequence make_sequence(unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<std::uint32_t> slot(0, live_blocks - 1);
  std::uniform_real_distribution<double> exponent(8, 16);
  sequence made;
  for (replacement& one : made) one = {slot(random), static_cast<std::uint32_t>(std::exp2(exponent(random)))};
  return made;
}

// One thread's blocks and the steps it takes.
template <class Lane>
class worker {
 public:
  worker(const bench_stage& stage, Lane lane, unsigned seed)
      : stage_(stage), lane_(std::move(lane)), steps_(make_sequence(seed)) {}

  void fill() {
    for (std::size_t i = 0; i < live_blocks; ++i) blocks_[i] = allocated(steps_[i].bytes);
    step(4 * sequence_length, stage_.budget(0.02));
  }
  // Operations a nanosecond.
  double run() {
    const auto budget = stage_.budget(0.08);
    const bench_stopwatch watch(stage_);
    const std::size_t steps = step(SIZE_MAX, budget);
    return 2 * static_cast<double>(steps) / std::max(watch.ns(), 1.0);
  }
  void drain() {
    for (block& b : blocks_) lane_.deallocate(b.address, b.bytes);
  }

 private:
  struct block {
    void* address = nullptr;
    std::size_t bytes = 0;
  };

  block allocated(std::size_t bytes) {
    void* address = lane_.allocate(bytes);
    keep(address);
    return {address, bytes};
  }

  // Until there were `steps_max`, or the budget is used up. Looks at the time once in as many steps as take 20 µs, so
  // that the fast do not measure the clock and the slow end in time.
  std::size_t step(std::size_t steps_max, std::chrono::nanoseconds budget) {
    const auto begin = std::chrono::steady_clock::now();
    std::size_t done = 0, at_once = 1;
    for (auto last = begin; done < steps_max;) {
      for (std::size_t i = 0; i < at_once; ++i) replace(steps_[position_++ % sequence_length]);
      done += at_once;
      const auto now = std::chrono::steady_clock::now();
      if (now - begin >= budget) break;
      if (now - last < std::chrono::microseconds(20)) at_once = std::min<std::size_t>(2 * at_once, sequence_length);
      last = now;
    }
    return done;
  }

  void replace(const replacement& to) {
    block& b = blocks_[to.slot];
    lane_.deallocate(b.address, b.bytes);
    b = allocated(to.bytes);
  }

  const bench_stage& stage_;
  const Lane lane_;
  const sequence steps_;
  std::array<block, live_blocks> blocks_{};
  std::size_t position_ = 0;
};

// Runs the same on many threads, round by round, all beginning together.
class crew {
 public:
  explicit crew(unsigned threads) : start_(threads), speeds_(rounds) {}

  template <class Lane>
  void work(const bench_stage& stage, Lane lane, unsigned number) noexcept {
    try {
      worker<Lane> one(stage, std::move(lane), number + 1);
      one.fill();
      for (unsigned round = 0; round < rounds; ++round) {
        start_.arrive_and_wait();
        add(round, one.run());
      }
      start_.arrive_and_wait();  // so that nobody measures beside others' frees
      one.drain();
    } catch (...) {
      fail(std::current_exception());
      start_.arrive_and_drop();
    }
  }

  // Of the median round; throws what a thread threw.
  double mops() {
    if (failure_) std::rethrow_exception(failure_);
    return 1000 * percentile_of(speeds_, 0.5);
  }

 private:
  void add(unsigned round, double speed) {
    const std::lock_guard lock(mutex_);
    speeds_[round] += speed;
  }
  void fail(std::exception_ptr why) {
    const std::lock_guard lock(mutex_);
    failure_ = std::move(why);
  }

  std::barrier<> start_;
  std::mutex mutex_;
  std::vector<double> speeds_;
  std::exception_ptr failure_;
};

template <class Allocator>
double measure(const bench_stage& stage, Allocator& allocator, unsigned threads, bool is_shared) {
  crew all(threads);
  {
    std::vector<std::jthread> running;
    for (unsigned i = 0; i < threads; ++i)
      running.emplace_back([&, i] { all.work(stage, allocator.on(is_shared ? 0 : i), i); });
  }
  stage.synchronize();
  return all.mops();
}

}  // namespace

void bench_threads(const bench_request& request, const std::string& name) {
  if (request.threads.empty()) return;
  request.stage.make_streams(*std::max_element(request.threads.begin(), request.threads.end()));
  with_bench_allocator(request.stage, name, [&](const auto& make) {
    using allocator_type = decltype(make(1));
    if (allocator_type::is_slow) return;
    for (const bool is_shared : {false, true}) {
      if (is_shared && !allocator_type::is_of_device) continue;
      auto& rows = is_shared ? request.figures.shared_stream : request.figures.threads;
      for (const unsigned threads : request.threads) {
        auto allocator = make(threads);
        const double mops = measure(request.stage, allocator, threads, is_shared);
        rows.push_back({.allocator = allocator.name(), .threads = threads, .mops = mops});
      }
    }
  });
}

}  // namespace weir::cli
