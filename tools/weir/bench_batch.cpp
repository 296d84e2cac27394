// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>

#include "bench_allocators.hpp"
#include "bench_sections.hpp"

namespace weir::cli {
namespace {

constexpr std::size_t blocks = 100;
constexpr std::array<std::size_t, 5> sizes{256, 4 << 10, 64 << 10, 1 << 20, 16 << 20};
constexpr std::size_t loops_min = 5;
constexpr std::size_t loops_max = 20'000;

using order = std::array<std::uint8_t, blocks>;

// What a loop frees its batches by, one after the other: as many of each kind, so that all read the same memory.
struct freeing {
  const char* name;
  std::array<order, 16> orders;
};

template <class Arrange>
freeing make_freeing(const char* name, Arrange arrange) {
  freeing made{name, {}};
  for (order& one : made.orders) {
    std::iota(one.begin(), one.end(), std::uint8_t{0});
    arrange(one);
  }
  return made;
}

std::array<freeing, 3> freeings() {
  std::mt19937 random(1);
  return {make_freeing("lifo", [](order& o) { std::reverse(o.begin(), o.end()); }), make_freeing("fifo", [](order&) {}),
          make_freeing("random", [&](order& o) { std::shuffle(o.begin(), o.end(), random); })};
}

// A pair; of all the orders once, or of one where each call takes long.
template <class Lane>
double loop_of_batches(const bench_stage& stage, const Lane& lane, std::size_t bytes, const freeing& by,
                       std::size_t batches) {
  std::array<void*, blocks> live{};
  const bench_stopwatch watch(stage);
  for (std::size_t i = 0; i < batches; ++i) {
    for (void*& block : live) {
      block = lane.allocate(bytes);
      keep(block);
    }
    for (const std::uint8_t at : by.orders[i % by.orders.size()]) lane.deallocate(live[at], bytes);
  }
  return watch.ns() / static_cast<double>(batches * blocks);
}

template <class Allocator>
void measure(const bench_request& request, Allocator& allocator, std::size_t bytes, const freeing& by) {
  const auto lane = allocator.on(0);
  const double first_ns = loop_of_batches(request.stage, lane, bytes, by, 2);
  const std::size_t batches = first_ns < 500 ? by.orders.size() : 1;
  std::vector<double> loops;
  const bench_deadline deadline(request.stage.budget(0.06));
  while (loops.size() < loops_min || (loops.size() < loops_max && !deadline.is_over()))
    loops.push_back(loop_of_batches(request.stage, lane, bytes, by, batches));
  request.figures.batch.push_back(
      {.allocator = allocator.name(), .bytes = bytes, .order = by.name, .ns_median = percentile_of(loops, 0.5)});
}

}  // namespace

void bench_batch(const bench_request& request, const std::string& name) {
  request.stage.make_streams(1);
  const auto all = freeings();
  with_bench_allocator(request.stage, name, [&](const auto& make) {
    auto allocator = make(1);
    for (const std::size_t bytes : sizes)
      for (const freeing& by : all) measure(request, allocator, bytes, by);
    request.stage.synchronize();
  });
}

}  // namespace weir::cli
