// SPDX-License-Identifier: Apache-2.0
//
// Host time of one allocation and its free through cuda::mr: weir beside RMM's resources, each behind the same
// rmm::device_async_resource_ref, taking turns. The names say what weir was told about its streams: `verified` as
// adapters have it (each raw handle looked at, captures guarded), `unguarded` without the latter, `trusted` for
// programs that never destroy a stream. A figure is the median of rounds.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cuda/stream_ref>
#include <functional>
#include <rmm/mr/arena_memory_resource.hpp>
#include <rmm/mr/cuda_async_memory_resource.hpp>
#include <rmm/mr/cuda_memory_resource.hpp>
#include <rmm/mr/pool_memory_resource.hpp>
#include <rmm/resource_ref.hpp>
#include <string>
#include <vector>

#include "gpu.hpp"
#include "weir/adapters/mr.hpp"

namespace weir::test {
namespace {

constexpr std::array<std::size_t, 6> sizes{256, 4 * KiB, 64 * KiB, MiB, 16 * MiB, 256 * MiB};
constexpr int rounds = 5, pairs = 5000;

struct contender {
  std::string name;
  cuda::mr::any_resource<cuda::mr::device_accessible> memory;
  std::array<double, sizes.size()> median_ns{};
};

double pair_ns(rmm::device_async_resource_ref memory, std::size_t bytes, cuda::stream_ref stream) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < pairs; ++i) {
    void* block = memory.allocate(stream, bytes, 256);
    memory.deallocate(stream, block, bytes, 256);
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return took.count() / pairs;
}

void measure(std::vector<contender>& all, cuda::stream_ref stream) {
  for (std::size_t s = 0; s < sizes.size(); ++s) {
    std::vector<std::array<double, rounds>> seen(all.size());
    for (contender& c : all) (void)pair_ns(c.memory, sizes[s], stream);
    for (std::size_t round = 0; round < rounds; ++round)
      for (std::size_t i = 0; i < all.size(); ++i) seen[i][round] = pair_ns(all[i].memory, sizes[s], stream);
    for (std::size_t i = 0; i < all.size(); ++i) {
      std::ranges::sort(seen[i]);
      all[i].median_ns[s] = seen[i][rounds / 2];
    }
  }
}

void print(const std::vector<contender>& all) {
  std::printf("ns a pair through cuda::mr, medians of %d rounds of %d\n%-18s", rounds, pairs, "resource");
  for (const std::size_t bytes : sizes) std::printf("%12zu", bytes);
  for (const contender& c : all) {
    std::printf("\n%-18s", c.name.c_str());
    for (const double ns : c.median_ns) std::printf("%12.1f", ns);
  }
  std::printf("\n");
}

void write_json(const std::vector<contender>& all, const char* path) {
  std::FILE* out = std::fopen(path, "w");
  REQUIRE(out != nullptr);
  const char* line = "{\"pairs\": [";
  for (const contender& c : all)
    for (std::size_t s = 0; s < sizes.size(); ++s, line = ",")
      std::fprintf(out, "%s\n  {\"resource\": \"%s\", \"bytes\": %zu, \"ns\": %.1f}", line, c.name.c_str(), sizes[s],
                   c.median_ns[s]);
  std::fprintf(out, "\n]}\n");
  std::fclose(out);
}

// The guard against captures takes the long way at each call: only the native pool is slower.
TEST_CASE("mr pairs: through cuda::mr weir, its handles verified, is faster than RMM's pool and arena at every size") {
  require_device();
  gpu_stream stream;
  const auto weir_with = [](pool_options options) {
    return mr::resource(std::make_shared<pool>(pool::make(0, std::move(options))));
  };
  const rmm::mr::cuda_memory_resource direct;
  std::vector<contender> all;
  all.push_back({"weir guarded", weir_with(adapters::for_host())});
  all.push_back({"weir verified", weir_with({})});
  all.push_back({"weir trusted", weir_with({.trust_handles = true})});
  all.push_back({"rmm pool", rmm::mr::pool_memory_resource(direct, 0)});
  all.push_back({"rmm arena", rmm::mr::arena_memory_resource(direct, 4 * GiB)});
  all.push_back({"rmm cuda_async", rmm::mr::cuda_async_memory_resource()});
  measure(all, cuda::stream_ref(stream));
  print(all);
  if (const char* path = std::getenv("WEIR_MR_PAIRS_JSON")) write_json(all, path);
  for (std::size_t s = 0; s < sizes.size(); ++s) {
    INFO(sizes[s] << " bytes");
    CHECK(all[0].median_ns[s] < all[5].median_ns[s]);
    CHECK(all[1].median_ns[s] < all[3].median_ns[s]);
    CHECK(all[1].median_ns[s] < all[4].median_ns[s]);
  }
}

}  // namespace
}  // namespace weir::test
