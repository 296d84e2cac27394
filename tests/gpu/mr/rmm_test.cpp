// SPDX-License-Identifier: Apache-2.0
//
// RMM on a pool: its containers, its adaptors, its own sub-allocators on top of ours.
#include <cuda/stream_ref>
#include <memory>
#include <optional>
#include <rmm/device_buffer.hpp>
#include <rmm/device_uvector.hpp>
#include <rmm/mr/arena_memory_resource.hpp>
#include <rmm/mr/limiting_resource_adaptor.hpp>
#include <rmm/mr/per_device_resource.hpp>
#include <rmm/mr/pool_memory_resource.hpp>
#include <rmm/mr/statistics_resource_adaptor.hpp>
#include <rmm/resource_ref.hpp>
#include <type_traits>
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"
#include "weir/adapters/mr.hpp"

namespace weir::test {
namespace {

using weir::mr::resource;

static_assert(std::is_same_v<rmm::device_async_resource_ref, weir::mr::device_resource_ref>);
static_assert(std::is_constructible_v<rmm::device_async_resource_ref, resource&>);
static_assert(std::is_constructible_v<rmm::device_resource_ref, resource&>);

TEST_CASE("rmm: a device_uvector lives on weir's resource and holds what was written") {
  require_device();
  const auto pool = adapters::make_shared_pool(0);
  resource memory(pool);
  rmm::device_async_resource_ref by_reference = memory;
  gpu_stream stream;
  mismatch_counter mismatches;
  {
    rmm::device_uvector<int> numbers(1'000'000, cuda::stream_ref(stream), by_reference);
    fill(numbers.data(), numbers.size() * sizeof(int), 3, stream);
    rmm::device_uvector<int> copy(numbers, cuda::stream_ref(stream), memory);
    mismatches.check(copy.data(), copy.size() * sizeof(int), 3, stream);
    copy.resize(3'000'000, cuda::stream_ref(stream));
    mismatches.check(copy.data(), 1'000'000 * sizeof(int), 3, stream);
    CHECK(mismatches.total() == 0);
    CHECK(pool->statistics().live_count == 2);
    CHECK(pool->statistics().allocated >= 16'000'000);
  }
  CHECK(pool->statistics().live_count == 0);
}

TEST_CASE("rmm: its statistics adaptor on top counts what weir counts") {
  require_device();
  const auto pool = adapters::make_shared_pool(0);
  rmm::mr::statistics_resource_adaptor counted{resource(pool)};
  gpu_stream stream;
  {
    const rmm::device_buffer first(5000, cuda::stream_ref(stream), counted);
    const rmm::device_buffer second(3 * MiB, cuda::stream_ref(stream), counted);
    CHECK(counted.get_bytes_counter().value == 5000 + static_cast<std::int64_t>(3 * MiB));
    CHECK(counted.get_allocations_counter().value == 2);
    CHECK(pool->statistics().live_count == 2);
  }
  CHECK(counted.get_bytes_counter().value == 0);
  CHECK(counted.get_bytes_counter().peak == 5000 + static_cast<std::int64_t>(3 * MiB));
  CHECK(pool->statistics().live_count == 0);
}

TEST_CASE("rmm: as the device's resource weir serves what names none, and outlives its owner's scope") {
  require_device();
  std::weak_ptr<pool> seen;
  gpu_stream stream;
  std::optional<rmm::device_buffer> late;
  {
    const auto pool = adapters::make_shared_pool(0);
    seen = pool;
    const auto before = rmm::mr::set_current_device_resource(resource(pool));
    late.emplace(MiB, cuda::stream_ref(stream));
    CHECK(pool->statistics().live_count == 1);
    (void)rmm::mr::set_current_device_resource(before);
  }
  // The buffer holds a copy of the resource, and that the pool.
  REQUIRE_FALSE(seen.expired());
  CHECK(seen.lock()->statistics().live_count == 1);
  late.reset();
  CHECK(seen.expired());
}

TEST_CASE("rmm: no room is an exception that RMM and its callers know") {
  require_device();
  const auto pool = adapters::make_shared_pool(0, {.bytes_max = 256 * MiB});
  gpu_stream stream;
  CHECK_THROWS_AS(rmm::device_buffer(GiB, cuda::stream_ref(stream), resource(pool)), std::bad_alloc);
  const rmm::device_buffer fits(100 * MiB, cuda::stream_ref(stream), resource(pool));
  CHECK(fits.data() != nullptr);
}

TEST_CASE("rmm: its pool, its arena and its limit take weir for upstream") {
  require_device();
  const auto pool = adapters::make_shared_pool(0);
  gpu_stream stream;
  mismatch_counter mismatches;
  const auto works = [&](auto memory) {
    rmm::device_uvector<int> numbers(100'000, cuda::stream_ref(stream), memory);
    fill(numbers.data(), 400'000, 9, stream);
    mismatches.check(numbers.data(), 400'000, 9, stream);
    return mismatches.total() == 0;
  };
  CHECK(works(rmm::mr::pool_memory_resource(resource(pool), 64 * MiB)));
  CHECK(works(rmm::mr::arena_memory_resource(resource(pool), 64 * MiB)));
  CHECK(works(rmm::mr::limiting_resource_adaptor(resource(pool), 64 * MiB)));
  CHECK(pool->statistics().live_count == 0);
}

TEST_CASE("rmm: buffers handed from stream to stream keep their bytes") {
  require_device();
  const auto pool = adapters::make_shared_pool(0);
  resource memory(pool);
  std::vector<std::unique_ptr<gpu_stream>> streams(4);
  for (auto& stream : streams) stream = std::make_unique<gpu_stream>();
  mismatch_counter mismatches;
  for (std::uint32_t round = 0; round < 200; ++round) {
    cudaStream_t from = *streams[round % 4], to = *streams[(round * 7 + 1) % 4];
    const std::size_t bytes = 1000 + round * 37 * KiB;
    rmm::device_buffer buffer(bytes, cuda::stream_ref(from), memory);
    busy(20, from);
    fill(buffer.data(), bytes, round, from);
    order(from, to);
    mismatches.check(buffer.data(), bytes, round, to);
    buffer.set_stream(cuda::stream_ref(to));  // freed there
  }
  CHECK(mismatches.total() == 0);
  CHECK(pool->validate().empty());
}

}  // namespace
}  // namespace weir::test
