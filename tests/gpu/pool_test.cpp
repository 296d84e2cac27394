// SPDX-License-Identifier: Apache-2.0
//
// The pool on a device: the three cases the project began with, and many sizes.
#include "weir/pool.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"

namespace weir::test {
namespace {

TEST_CASE("direct allocation: 1024 bytes, valid, freed") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  mismatch_counter mismatches;
  void* block = pool.allocate_direct(1024);
  REQUIRE(block != nullptr);
  cudaPointerAttributes attributes{};
  WEIR_CUDA_OK(cudaPointerGetAttributes(&attributes, block));
  CHECK(attributes.type == cudaMemoryTypeDevice);
  CHECK(attributes.device == 0);
  fill(block, 1024, 7, nullptr);
  mismatches.check(block, 1024, 7, nullptr);
  CHECK(mismatches.total() == 0);
  CHECK(pool.statistics().direct >= 1024);
  pool.deallocate_direct(block);
  CHECK(pool.statistics().direct == 0);
}

TEST_CASE("pool allocation: two of 512 bytes, apart, valid, freed") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  gpu_stream handle;
  weir::stream stream = value_of(pool.stream(raw_stream(handle)));
  mismatch_counter mismatches;
  auto* first = static_cast<char*>(pool.allocate(512, stream));
  auto* second = static_cast<char*>(pool.allocate(512, stream));
  REQUIRE(first != nullptr);
  REQUIRE(second != nullptr);
  CHECK((first + 512 <= second || second + 512 <= first));
  fill(first, 512, 1, handle);
  fill(second, 512, 2, handle);
  mismatches.check(first, 512, 1, handle);
  mismatches.check(second, 512, 2, handle);
  CHECK(mismatches.total() == 0);
  pool.deallocate(first, stream);
  pool.deallocate(second, 512, stream);
  CHECK(pool.statistics().live_count == 0);
  value_of(pool.retire(stream));
}

TEST_CASE("memory statistics: allocated grows with an allocation and shrinks with its free") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  gpu_stream handle;
  weir::stream stream = value_of(pool.stream(raw_stream(handle)));
  const std::size_t before = pool.statistics().allocated;
  void* block = pool.allocate(MiB, stream);
  const auto during = pool.statistics();
  CHECK(during.allocated >= before + MiB);
  CHECK(during.pools == 1);
  CHECK(during.held >= during.allocated);
  CHECK(during.reserved >= during.held);
  pool.deallocate(block, stream);
  CHECK(pool.statistics().allocated == before);
  CHECK(pool.validate().empty());
  value_of(pool.retire(stream));
}

TEST_CASE("many sizes: every byte of every live block is as written") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  gpu_stream handle;
  weir::stream stream = value_of(pool.stream(raw_stream(handle)));
  mismatch_counter mismatches;
  struct block {
    void* begin;
    std::size_t bytes;
    std::uint32_t seed;
  };
  std::vector<block> live;
  std::uint32_t seed = 0;
  for (std::size_t bytes = 1; bytes <= 256 * MiB; bytes = bytes * 5 / 3 + 1) {
    for (const std::size_t asked : {bytes, bytes + 255, bytes * 9 / 8}) {
      void* begin = pool.allocate(asked, stream);
      REQUIRE(reinterpret_cast<std::uintptr_t>(begin) % pool::alignment_default == 0);
      fill(begin, asked, ++seed, handle);
      live.push_back({begin, asked, seed});
    }
  }
  for (const block& b : live) mismatches.check(b.begin, b.bytes, b.seed, handle);
  CHECK(mismatches.total() == 0);
  for (const block& b : live) pool.deallocate(b.begin, b.bytes, stream);
  CHECK(pool.statistics().allocated == 0);
  value_of(pool.retire(stream));
}

TEST_CASE("alignment: large powers of two are kept") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  gpu_stream handle;
  weir::stream stream = value_of(pool.stream(raw_stream(handle)));
  for (std::size_t alignment = 256; alignment <= 64 * MiB; alignment *= 4) {
    void* begin = pool.allocate(1000, stream, alignment);
    CHECK(reinterpret_cast<std::uintptr_t>(begin) % alignment == 0);
    pool.deallocate(begin, stream);
  }
  value_of(pool.retire(stream));
}

// A copy across two native allocations fails even where their addresses touch, so each block must lie inside one.
TEST_CASE("copies: every block can be set and copied as a whole") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  gpu_stream handle;
  weir::stream stream = value_of(pool.stream(raw_stream(handle)));
  std::mt19937 random(3);
  std::uniform_real_distribution<double> exponent(8, 27);
  std::vector<std::pair<void*, std::size_t>> live;
  for (int i = 0; i < 400; ++i) {
    const auto bytes = static_cast<std::size_t>(std::exp2(exponent(random)));
    void* begin = pool.allocate(bytes, stream);
    WEIR_CUDA_OK(cudaMemsetAsync(begin, i, bytes, handle));
    if (!live.empty()) {
      const auto& [other, other_bytes] = live[random() % live.size()];
      WEIR_CUDA_OK(cudaMemcpyAsync(begin, other, std::min(bytes, other_bytes), cudaMemcpyDeviceToDevice, handle));
    }
    live.emplace_back(begin, bytes);
    if (live.size() > 32) {
      std::swap(live[random() % live.size()], live.back());
      pool.deallocate(live.back().first, stream);
      live.pop_back();
    }
  }
  handle.synchronize();
  for (const auto& [begin, bytes] : live) pool.deallocate(begin, bytes, stream);
  value_of(pool.retire(stream));
}

}  // namespace
}  // namespace weir::test
