// SPDX-License-Identifier: Apache-2.0
//
// No room, with real kernels: at a pool's own limit, and on a full device.
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"
#include "weir/memory_report.hpp"
#include "weir/pool.hpp"

namespace weir::test {
namespace {

struct filled {
  void* begin;
  std::uint32_t seed;
};

// Allocates and fills until the pool says no; answers what it said.
error allocate_until_full(pool& pool, const weir::stream& stream, cudaStream_t handle, std::size_t bytes,
                          std::vector<filled>& live) {
  for (std::uint32_t seed = static_cast<std::uint32_t>(live.size()) + 1;; ++seed) {
    auto block = pool.try_allocate(bytes, stream);
    if (!block) return block.error();
    fill(*block, bytes, seed, handle);
    live.push_back({*block, seed});
  }
}

TEST_CASE("pressure: at its limit a pool says so, with a report, and goes on after frees") {
  require_device();
  constexpr std::size_t limit = 512 * MiB;
  constexpr std::size_t bytes = 8 * MiB;
  pool pool = value_of(pool::try_make(0, {.bytes_max = limit}));
  gpu_stream handle;
  const weir::stream stream = value_of(pool.stream(raw_stream(handle)));
  mismatch_counter mismatches;
  std::vector<filled> live;
  const error full = allocate_until_full(pool, stream, handle, bytes, live);
  CHECK(full.code == errc::out_of_memory);
  CHECK(full.bytes == bytes);
  REQUIRE(full.report != nullptr);
  CHECK(full.report->requested == bytes);
  CHECK(full.report->live >= live.size() * bytes);
  CHECK(live.size() * bytes >= limit * 3 / 4);
  CHECK(pool.statistics().reserved_peak <= limit);

  for (std::size_t i = 0; i < live.size(); i += 2) pool.deallocate(live[i].begin, bytes, stream);
  for (std::size_t i = 0; i < live.size(); i += 2) {
    live[i].begin = pool.allocate(bytes, stream);
    fill(live[i].begin, bytes, live[i].seed, handle);
  }
  for (const filled& f : live) mismatches.check(f.begin, bytes, f.seed, handle);
  CHECK(mismatches.total() == 0);
  for (const filled& f : live) pool.deallocate(f.begin, bytes, stream);

  void* whole = pool.allocate(limit * 3 / 4, stream);  // of what was small blocks
  fill(whole, limit * 3 / 4, 9, handle);
  mismatches.check(whole, limit * 3 / 4, 9, handle);
  CHECK(mismatches.total() == 0);
  pool.deallocate(whole, stream);
  CHECK(pool.statistics().reserved_peak <= limit);
  CHECK(cudaGetLastError() == cudaSuccess);
  value_of(pool.retire(stream));
}

TEST_CASE("pressure: what another stream still uses is waited for rather than refused") {
  require_device();
  constexpr std::size_t limit = 256 * MiB;
  pool pool = value_of(pool::try_make(0, {.bytes_max = limit}));
  gpu_stream a, b;
  const weir::stream on_a = value_of(pool.stream(raw_stream(a)));
  const weir::stream on_b = value_of(pool.stream(raw_stream(b)));
  mismatch_counter mismatches;
  for (std::uint32_t round = 0; round < 20; ++round) {
    void* first = pool.allocate(160 * MiB, on_a);
    busy(2000, a);
    fill(first, 160 * MiB, round, a);
    mismatches.check(first, 160 * MiB, round, a);
    pool.deallocate(first, on_a);
    void* second = pool.allocate(192 * MiB, on_b);
    fill(second, 192 * MiB, round + 1000, b);
    mismatches.check(second, 192 * MiB, round + 1000, b);
    pool.deallocate(second, on_b);
  }
  CHECK(mismatches.total() == 0);
  CHECK(pool.statistics().reserved_peak <= limit);
  value_of(pool.retire(on_a));
  value_of(pool.retire(on_b));
}

// Takes all of the device but `left`, as a neighbour would.
class neighbour {
 public:
  explicit neighbour(std::size_t left) {
    std::size_t free = 0, total = 0;
    WEIR_CUDA_OK(cudaMemGetInfo(&free, &total));
    if (free > left && cudaMalloc(&all_, free - left) != cudaSuccess) {
      (void)cudaGetLastError();
      all_ = nullptr;
    }
  }
  ~neighbour() { (void)cudaFree(all_); }
  neighbour(const neighbour&) = delete;
  neighbour& operator=(const neighbour&) = delete;
  bool is_there() const { return all_ != nullptr; }

 private:
  void* all_ = nullptr;
};

TEST_CASE("pressure: on a full device a pool says so and goes on after frees") {
  require_device();
  constexpr std::size_t bytes = 256 * MiB;
  pool pool = value_of(pool::try_make(0));
  gpu_stream handle;
  const weir::stream stream = value_of(pool.stream(raw_stream(handle)));
  mismatch_counter mismatches;
  neighbour rest(3 * GiB);
  if (!rest.is_there()) SKIP("the device's memory could not be taken");
  std::vector<filled> live;
  const error full = allocate_until_full(pool, stream, handle, bytes, live);
  CHECK(full.code == errc::out_of_memory);
  REQUIRE(live.size() >= 6);
  for (const filled& f : live) mismatches.check(f.begin, bytes, f.seed, handle);
  CHECK(mismatches.total() == 0);
  for (const filled& f : live) pool.deallocate(f.begin, stream);
  void* large = pool.allocate((live.size() - 2) * bytes, stream);  // of the same memory, in one piece
  fill(large, (live.size() - 2) * bytes, 5, handle);
  mismatches.check(large, (live.size() - 2) * bytes, 5, handle);
  CHECK(mismatches.total() == 0);
  pool.deallocate(large, stream);
  CHECK(cudaGetLastError() == cudaSuccess);
  value_of(pool.retire(stream));
}

}  // namespace
}  // namespace weir::test
