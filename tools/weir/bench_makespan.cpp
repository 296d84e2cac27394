// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

#include "bench_allocators.hpp"
#include "bench_sections.hpp"

namespace weir::cli {
namespace {

constexpr std::size_t stream_count = 4;
constexpr std::size_t live_steps = 3;  // a block is freed behind the third kernel from the one it was allocated for
constexpr unsigned runs = 5;

struct work {
  std::size_t bytes = 0;
  std::uint64_t kernel_ns = 0;
};
// A step puts one of these on each stream.
using schedule = std::vector<std::array<work, stream_count>>;

// Log-uniform from 64 KiB to 64 MiB, 9 MiB in the mean: what a stream takes in all stays under 1 GiB, so that even an
// allocator that reuses nothing has room. Kernels of 100 to 300 µs.
schedule make_schedule(std::size_t steps) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> exponent(16, 26);
  std::uniform_int_distribution<std::uint64_t> duration(100'000, 300'000);
  schedule made(steps);
  for (auto& step : made)
    for (work& one : step) one = {static_cast<std::size_t>(std::exp2(exponent(random))), duration(random)};
  return made;
}

void wait_for_all(const bench_stage& stage, const std::vector<bench_event>& events) {
  for (std::size_t s = 0; s < stream_count; ++s) stage.record(events[s].get(), s);
  for (const bench_event& event : events) stage.wait_for(event.get());
}

// From the first launch until the last kernel is done; one host thread feeds all streams, a step at a time.
template <class Allocate, class Deallocate>
double play_ms(const bench_stage& stage, const schedule& all, const std::vector<bench_event>& events,
               const Allocate& allocate, const Deallocate& deallocate) {
  const double begin = stage.device_ms();
  for (std::size_t step = 0; step < all.size(); ++step) {
    for (std::size_t s = 0; s < stream_count; ++s) {
      allocate(step, s);
      stage.launch(s, all[step][s].kernel_ns);
      if (step >= live_steps) deallocate(step - live_steps, s);
    }
  }
  for (std::size_t step = all.size() - live_steps; step < all.size(); ++step)
    for (std::size_t s = 0; s < stream_count; ++s) deallocate(step, s);
  wait_for_all(stage, events);
  return stage.device_ms() - begin;
}

template <class Allocator>
makespan_figures measure(const bench_stage& stage, Allocator& allocator, const schedule& all) {
  using lane = decltype(allocator.on(0));
  const std::vector<lane> lanes{allocator.on(0), allocator.on(1), allocator.on(2), allocator.on(3)};
  std::vector<bench_event> events;
  while (events.size() < stream_count) events.emplace_back(stage);
  std::vector<std::array<void*, stream_count>> blocks(all.size());
  const auto nothing = [](std::size_t, std::size_t) {};
  const auto allocate = [&](std::size_t step, std::size_t s) {
    blocks[step][s] = lanes[s].allocate(all[step][s].bytes);
  };
  const auto deallocate = [&](std::size_t step, std::size_t s) {
    lanes[s].deallocate(blocks[step][s], all[step][s].bytes);
  };
  makespan_figures row{.allocator = allocator.name()};
  play_ms(stage, all, events, nothing, nothing);
  row.cold_ms = play_ms(stage, all, events, allocate, deallocate);
  std::vector<double> with, without;
  for (unsigned i = 0; i < runs; ++i) {
    without.push_back(play_ms(stage, all, events, nothing, nothing));
    with.push_back(play_ms(stage, all, events, allocate, deallocate));
  }
  row.ms = percentile_of(with, 0.5);
  row.preallocated_ms = percentile_of(without, 0.5);
  if (const auto reserved = allocator.reserved()) row.reserved_bytes_peak = reserved->high;
  return row;
}

}  // namespace

void bench_makespan(const bench_request& request, const std::string& name) {
  bench_stage& stage = request.stage;
  stage.make_streams(stream_count);
  const schedule all = make_schedule(stage.is_quick() ? 10 : 100);
  with_bench_allocator(stage, name, [&](const auto& make) {
    if (!decltype(make(1))::is_of_device) return;
    auto allocator = make(stream_count);
    request.figures.makespan.push_back(measure(stage, allocator, all));
    stage.synchronize();
  });
}

}  // namespace weir::cli
