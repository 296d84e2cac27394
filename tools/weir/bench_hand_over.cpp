// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>

#include "bench_allocators.hpp"
#include "bench_sections.hpp"

namespace weir::cli {
namespace {

constexpr std::array<std::size_t, 5> sizes{4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20};
constexpr std::array<unsigned, 2> depths{1, 64};
constexpr std::uint64_t kernel_ns = 20'000;
constexpr std::size_t steps_min = 8;
constexpr std::size_t steps_max = 5000;

// The host may be that far ahead of the device: what is live and what waits to be freed stays under 8 GiB.
std::size_t steps_ahead_max(std::size_t step_bytes) {
  return std::clamp<std::size_t>((std::size_t{4} << 30) / step_bytes, 2, 32);
}

// Lets the host be a number of steps ahead of a stream, and no more.
class throttle {
 public:
  throttle(const bench_stage& stage, std::size_t steps) : stage_(stage) {
    while (events_.size() < steps) events_.emplace_back(stage);
  }
  void end_step(std::size_t stream) {
    backend_event* const event = events_[step_ % events_.size()].get();
    stage_.record(event, stream);
    ++step_;
    if (step_ >= events_.size()) stage_.wait_for(events_[step_ % events_.size()].get());
  }

 private:
  const bench_stage& stage_;
  std::vector<bench_event> events_;
  std::size_t step_ = 0;
};

// What is handed over at once.
class handed_blocks {
 public:
  handed_blocks(std::size_t bytes, unsigned count) : bytes_(bytes), blocks_(count) {}
  template <class Lane>
  void allocate_on(const Lane& lane) {
    for (void*& block : blocks_) {
      block = lane.allocate(bytes_);
      keep(block);
    }
  }
  template <class Lane>
  void deallocate_on(const Lane& lane) {
    for (void* const block : blocks_) lane.deallocate(block, bytes_);
  }

 private:
  std::size_t bytes_;
  std::vector<void*> blocks_;
};

// Times what the allocator does, and knows how often the timer was in it.
class tally {
 public:
  explicit tally(const bench_stage& stage) : stage_(stage) {}
  template <class Calls>
  void time(const Calls& calls) {
    const bench_stopwatch watch(stage_);
    calls();
    ns_ += watch.ns();
    ++timings_;
  }
  double ns_timed() const noexcept { return ns_; }
  double ns() const noexcept {
    const double floor_ns = static_cast<double>(stage_.clock().floor_picoseconds()) / 1000;
    return std::max(ns_ - floor_ns * static_cast<double>(timings_), 0.0);
  }

 private:
  const bench_stage& stage_;
  double ns_ = 0;
  std::size_t timings_ = 0;
};

// Always from the first stream to the second; the second works on the blocks for a while, or not.
template <class Lane>
class one_way {
 public:
  one_way(const bench_stage& stage, std::array<Lane, 2> lanes, std::size_t bytes, unsigned depth, bool has_kernel)
      : stage_(stage), lanes_(std::move(lanes)), blocks_(bytes, depth), has_kernel_(has_kernel) {}

  void begin() noexcept {}
  // The stream that the step ends on.
  std::size_t step(tally& times) {
    times.time([&] { blocks_.allocate_on(lanes_[0]); });
    stage_.order(0, 1);
    if (has_kernel_) stage_.launch(1, kernel_ns);
    times.time([&] { blocks_.deallocate_on(lanes_[1]); });
    return 1;
  }
  void end() noexcept {}

 private:
  const bench_stage& stage_;
  std::array<Lane, 2> lanes_;
  handed_blocks blocks_;
  bool has_kernel_;
};

// To the other stream and back: what comes is freed, and as much allocated in its place.
template <class Lane>
class ping_pong {
 public:
  ping_pong(const bench_stage& stage, std::array<Lane, 2> lanes, std::size_t bytes, unsigned depth)
      : stage_(stage), lanes_(std::move(lanes)), blocks_(bytes, depth) {}

  void begin() { blocks_.allocate_on(lanes_[at_]); }
  std::size_t step(tally& times) {
    stage_.order(at_, 1 - at_);
    at_ = 1 - at_;
    times.time([&] {
      blocks_.deallocate_on(lanes_[at_]);
      blocks_.allocate_on(lanes_[at_]);
    });
    return at_;
  }
  void end() { blocks_.deallocate_on(lanes_[at_]); }

 private:
  const bench_stage& stage_;
  std::array<Lane, 2> lanes_;
  handed_blocks blocks_;
  std::size_t at_ = 0;
};

// Takes steps for a while; how many.
template <class Pattern>
std::size_t take_steps(const bench_stage& stage, Pattern& pattern, tally& times, throttle& ahead, double seconds) {
  const bench_deadline deadline(stage.budget(seconds));
  std::size_t steps = 0;
  for (; steps < steps_min || (steps < steps_max && !deadline.is_over()); ++steps) ahead.end_step(pattern.step(times));
  return steps;
}

template <class Make, class Pattern>
hand_over_figures measure(const bench_stage& stage, const Make& make, hand_over_figures row,
                          const Pattern& pattern_of) {
  auto allocator = make(2);
  auto pattern = pattern_of(std::array{allocator.on(0), allocator.on(1)});
  throttle ahead(stage, steps_ahead_max(row.bytes * row.depth));
  pattern.begin();
  tally warming(stage);
  take_steps(stage, pattern, warming, ahead, 0.02);
  tally times(stage);
  const std::size_t steps = take_steps(stage, pattern, times, ahead, 0.05);
  const double pairs = static_cast<double>(steps) * row.depth;
  row.allocator = allocator.name();
  row.ns_mean = times.ns() / pairs;
  row.ns_mean_timed = times.ns_timed() / pairs;
  if (const auto reserved = allocator.reserved()) {
    row.reserved_bytes = reserved->now;
    row.reserved_bytes_peak = reserved->high;
  }
  pattern.end();
  stage.synchronize();
  return row;
}

template <class Make>
void measure_all(const bench_request& request, const Make& make) {
  using lane = decltype(make(2).on(0));
  const bench_stage& stage = request.stage;
  auto& rows = request.figures.hand_over;
  for (const unsigned depth : depths) {
    for (const std::size_t bytes : sizes) {
      const hand_over_figures row{.allocator = {}, .bytes = bytes, .depth = depth};
      for (const bool has_kernel : {false, true}) {
        rows.push_back(measure(stage, make, row, [&](auto lanes) {
          return one_way<lane>(stage, std::move(lanes), bytes, depth, has_kernel);
        }));
        rows.back().pattern = has_kernel ? "one_way_kernel" : "one_way";
      }
      rows.push_back(measure(stage, make, row,
                             [&](auto lanes) { return ping_pong<lane>(stage, std::move(lanes), bytes, depth); }));
      rows.back().pattern = "ping_pong";
    }
  }
}

}  // namespace

void bench_hand_over(const bench_request& request, const std::string& name) {
  request.stage.make_streams(2);
  with_bench_allocator(request.stage, name, [&](const auto& make) {
    if (decltype(make(2))::is_of_device) measure_all(request, make);
  });
}

}  // namespace weir::cli
