// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "bench_allocators.hpp"
#include "bench_sections.hpp"

namespace weir::cli {
namespace {

constexpr std::array<std::size_t, 11> sizes{256,     1 << 10, 4 << 10,  16 << 10, 64 << 10, 256 << 10,
                                            1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20};

constexpr std::size_t pairs_a_loop_max = 1000;
constexpr double loop_ns = 25'000;  // long beside the timer, short beside what disturbs a machine
constexpr std::size_t loops_min = 11;
constexpr std::size_t loops_max = 20'000;
constexpr std::size_t single_pairs_min = 100;
constexpr std::size_t single_pairs_max = 100'000;

template <class Lane>
double loop_of_pairs(const bench_stage& stage, const Lane& lane, std::size_t bytes, std::size_t pairs) {
  const bench_stopwatch watch(stage);
  for (std::size_t i = 0; i < pairs; ++i) {
    void* block = lane.allocate(bytes);
    keep(block);
    lane.deallocate(block, bytes);
  }
  return watch.ns() / static_cast<double>(pairs);
}

// Until what grows has grown; then how many pairs make a loop.
template <class Lane>
std::size_t warm_up(const bench_stage& stage, const Lane& lane, std::size_t bytes) {
  const bench_deadline deadline(stage.budget(0.02));
  double ns = 0;
  for (int i = 0; i < 100 && !(i > 2 && deadline.is_over()); ++i) ns = loop_of_pairs(stage, lane, bytes, 10);
  return static_cast<std::size_t>(std::clamp(loop_ns / std::max(ns, 1.0), 1.0, double{pairs_a_loop_max}));
}

template <class Lane>
double median_of_loops(const bench_stage& stage, const Lane& lane, std::size_t bytes) {
  const std::size_t pairs = warm_up(stage, lane, bytes);
  std::vector<double> loops;
  loops.reserve(loops_max);
  const bench_deadline deadline(stage.budget(0.1));
  while (loops.size() < loops_min || (loops.size() < loops_max && !deadline.is_over()))
    loops.push_back(loop_of_pairs(stage, lane, bytes, pairs));
  return percentile_of(loops, 0.5);
}

template <class Lane>
std::vector<double> single_pairs(const bench_stage& stage, const Lane& lane, std::size_t bytes) {
  std::vector<double> times(single_pairs_max);  // written here, so that no page of it is new while pairs are timed
  std::size_t count = 0;
  const bench_deadline deadline(stage.budget(0.1));
  while (count < single_pairs_max) {
    if (count >= single_pairs_min && count % 32 == 0 && deadline.is_over()) break;
    times[count++] = loop_of_pairs(stage, lane, bytes, 1);
  }
  times.resize(count);
  return times;
}

template <class Allocator>
void measure(const bench_request& request, Allocator& allocator) {
  const auto lane = allocator.on(0);
  for (const std::size_t bytes : sizes) {
    pair_figures row{.allocator = allocator.name(), .bytes = bytes};
    row.ns_median = median_of_loops(request.stage, lane, bytes);
    auto times = single_pairs(request.stage, lane, bytes);
    row.ns_p50 = percentile_of(times, 0.5);
    row.ns_p99 = percentile_of(times, 0.99);
    row.ns_p999 = percentile_of(times, 0.999);
    request.figures.pair.push_back(std::move(row));
  }
}

}  // namespace

void bench_pair(const bench_request& request, const std::string& name) {
  request.stage.make_streams(1);
  with_bench_allocator(request.stage, name, [&](const auto& make) {
    auto allocator = make(1);
    measure(request, allocator);
    request.stage.synchronize();
  });
}

double measure_bench_floor(const bench_stage& stage) {
  return median_of_loops(stage, bench_floor::lane(), sizes.front());
}

}  // namespace weir::cli
