// SPDX-License-Identifier: Apache-2.0
//
// Thrust and CUB on a device, their temporary memory from a pool. Compiled once for each CCCL that is found.
#include "algorithms.hpp"

#include <memory>
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"
#include "weir/adapters/shared_pool.hpp"

#define MR_CASE(fact) TEST_CASE("mr on a device with the " WEIR_TEST_CCCL " CCCL: " fact)

namespace weir::test {
namespace {

constexpr std::size_t count = 5'000'000;

MR_CASE("a sort of Thrust takes its temporary memory from the pool and gives it back") {
  require_device();
  INFO("CCCL " << cccl_version());
  const auto pool = adapters::make_shared_pool(0);
  gpu_stream stream;
  CHECK(thrust_sorts(pool, stream, count));
  const auto after = pool->statistics();
  CHECK(after.allocations > 2);  // the two ranges, and what the sort needed
  CHECK(after.allocated_peak >= count * 4);
  CHECK(after.live_count == 0);
  CHECK(thrust_sorts(pool, stream, count));
  CHECK(pool->validate().empty());
}

MR_CASE("a reduction of CUB works in a buffer of the resource, and with a resource of its own") {
  require_device();
  const auto pool = adapters::make_shared_pool(0);
  gpu_stream stream;
  CHECK(cub_sums(pool, stream, count));
  const auto before = pool->statistics().allocations;
  CHECK(cub_sums_by_itself(pool, stream, count));
  CHECK(pool->statistics().allocations >= before + 3);  // words, total, and what CUB took
  CHECK(pool->statistics().live_count == 0);
}

MR_CASE("streams at once, each with its own temporary memory, disturb nobody") {
  require_device();
  const auto pool = adapters::make_shared_pool(0);
  std::vector<std::unique_ptr<gpu_stream>> streams(4);
  for (auto& stream : streams) stream = std::make_unique<gpu_stream>();
  for (int round = 0; round < 3; ++round) {
    for (const auto& stream : streams) busy(2000, *stream);
    for (const auto& stream : streams) CHECK(thrust_sorts(pool, *stream, count / 5));
  }
  CHECK(pool->validate().empty());
}

// The legacy stream is what null means in this file.
MR_CASE("the null stream is a stream") {
  require_device();
  const auto pool = adapters::make_shared_pool(0);
  CHECK(thrust_sorts(pool, nullptr, count / 5));
  CHECK(cub_sums(pool, nullptr, count / 5));
}

}  // namespace
}  // namespace weir::test
