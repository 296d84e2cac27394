// SPDX-License-Identifier: Apache-2.0
//
// A pool for each of several GPUs: chosen by device and by stream, made at first use, from many threads.
#include "weir/pools.hpp"

#include <thread>
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"

namespace weir::test {
namespace {

int device_of(const void* p) {
  cudaPointerAttributes attributes{};
  WEIR_CUDA_OK(cudaPointerGetAttributes(&attributes, p));
  return attributes.device;
}

TEST_CASE("pools: one device's is made at first use and found by its streams") {
  require_device();
  weir::pools pools;
  CHECK(pools.statistics().pools == 0);
  gpu_stream stream;
  pool* by_stream = value_of(pools.on(raw_stream(stream)));
  CHECK(by_stream == value_of(pools.on(0)));
  CHECK(pools.statistics().pools == 1);
  CHECK(code_of(pools.on(value_of(pools.device_count()))) == errc::no_such_device);
}

TEST_CASE("pools: two devices have memory of their own, each block written by its device's kernels") {
  require_devices(2);
  weir::pools pools;
  std::vector<std::thread> threads;
  std::vector<unsigned long long> wrong(2, ~0ull);
  for (int device : {0, 1})
    threads.emplace_back([&, device] {
      const on_device current(device);
      gpu_stream handle;
      pool& pool = *value_of(pools.on(raw_stream(handle)));
      const weir::stream stream = value_of(pool.stream(raw_stream(handle)));
      mismatch_counter mismatches;
      for (std::uint32_t round = 0; round < 200; ++round) {
        const std::size_t bytes = (round % 40 + 1) * (round % 7 == 0 ? MiB : KiB);
        void* block = pool.allocate(bytes, stream);
        if (round == 0 && device_of(block) != device) return;
        fill(block, bytes, round, handle);
        mismatches.check(block, bytes, round, handle);
        pool.deallocate(block, bytes, stream);
      }
      wrong[static_cast<std::size_t>(device)] = mismatches.total();
      value_of(pool.retire(stream));
    });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == std::vector<unsigned long long>{0, 0});
  CHECK(pools.statistics().pools == 2);
  CHECK(value_of(pools.on(0))->device() == 0);
  CHECK(value_of(pools.on(1))->device() == 1);
}

TEST_CASE("pools: a stream of one device is refused by the other's pool, and nothing is lost") {
  require_devices(2);
  weir::pools pools;
  gpu_stream on_first;
  pool& second = *value_of(pools.on(1));
  CHECK(code_of(second.try_allocate(4096, raw_stream(on_first))) == errc::wrong_device);
  CHECK(code_of(second.stream(raw_stream(on_first))) == errc::wrong_device);
  void* direct = second.allocate_direct(1024);
  CHECK(device_of(direct) == 1);
  second.deallocate_direct(direct);
  CHECK(second.statistics().live_count == 0);
  CHECK(second.validate().empty());
}

}  // namespace
}  // namespace weir::test
