// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "bench_allocators.hpp"
#include "bench_sections.hpp"

namespace weir::cli {
namespace {

struct goal {
  std::size_t bytes;
  std::size_t blocks;
};
// 256 MiB, 512 MiB and 2 GiB.
constexpr std::array goals{goal{64 << 10, 4096}, goal{2 << 20, 256}, goal{64 << 20, 32}};
constexpr std::size_t blocks_min = 8;

template <class Lane>
std::vector<void*> grow(const bench_stage& stage, const Lane& lane, const goal& to, growth_figures& row) {
  std::vector<void*> blocks;
  blocks.reserve(to.blocks);
  double sum_ns = 0;
  const bench_deadline deadline(stage.budget(0.5));
  while (blocks.size() < to.blocks && !(blocks.size() >= blocks_min && deadline.is_over())) {
    const bench_stopwatch watch(stage);
    blocks.push_back(lane.allocate(to.bytes));
    const double ns = watch.ns();
    sum_ns += ns;
    row.ns_max = std::max(row.ns_max, ns);
  }
  row.blocks = blocks.size();
  row.ns_mean = sum_ns / static_cast<double>(blocks.size());
  return blocks;
}

template <class Allocator>
void trim(const bench_stage& stage, Allocator& allocator, growth_figures& row) {
  const bench_stopwatch watch(stage);
  if (!allocator.trim()) return;
  row.trim_ms = watch.ns() / 1e6;
  if (const auto reserved = allocator.reserved()) row.reserved_bytes_trimmed = reserved->now;
}

template <class Allocator>
growth_figures measure(const bench_stage& stage, Allocator& allocator, const goal& to) {
  growth_figures row{.allocator = allocator.name(), .bytes = to.bytes};
  const auto lane = allocator.on(0);
  const auto blocks = grow(stage, lane, to, row);
  if (const auto reserved = allocator.reserved()) row.reserved_bytes = reserved->now;
  for (void* const block : blocks) lane.deallocate(block, to.bytes);
  // Behind the frees, so that the native pool sees them complete.
  const bench_event freed(stage);
  stage.record(freed.get(), 0);
  stage.wait_for(freed.get());
  trim(stage, allocator, row);
  return row;
}

}  // namespace

void bench_growth(const bench_request& request, const std::string& name) {
  request.stage.make_streams(1);
  with_bench_allocator(request.stage, name, [&](const auto& make) {
    if (!decltype(make(1))::is_of_device) return;
    for (const goal& to : goals) {
      auto allocator = make(1);
      request.figures.growth.push_back(measure(request.stage, allocator, to));
      request.stage.synchronize();
    }
  });
}

}  // namespace weir::cli
