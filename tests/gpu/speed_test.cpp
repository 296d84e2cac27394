// SPDX-License-Identifier: Apache-2.0
//
// What a pool is for: the same pair of calls, of the pool and of cudaMalloc. Alone in its program, so that nothing else
// runs on the device. Host time, warm, of one allocation and its free.
#include <chrono>
#include <cstdio>

#include "gpu.hpp"
#include "weir/pool.hpp"

namespace weir::test {
namespace {

// Mean nanoseconds of `body`, over `count` runs after a tenth as many that warm up.
template <class Body>
double mean_ns(int count, Body&& body) {
  for (int i = 0; i < count / 10 + 1; ++i) body();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) body();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return took.count() / count;
}

TEST_CASE("speed: the pool is a hundred times faster than direct allocation up to 1 MiB") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  gpu_stream handle;
  const weir::stream stream = value_of(pool.stream(raw_stream(handle)));
  std::printf("%12s %14s %14s %14s %10s\n", "bytes", "pool ns", "raw handle ns", "direct ns", "ratio");
  for (const std::size_t bytes : {256 * std::size_t{1}, 4 * KiB, 64 * KiB, MiB, 16 * MiB, 256 * MiB}) {
    const double token = mean_ns(100'000, [&] { pool.deallocate(pool.allocate(bytes, stream), stream); });
    const double raw =
        mean_ns(20'000, [&] { pool.deallocate(pool.allocate(bytes, raw_stream(handle)), raw_stream(handle)); });
    const double direct = mean_ns(200, [&] { pool.deallocate_direct(pool.allocate_direct(bytes)); });
    std::printf("%12zu %14.1f %14.1f %14.1f %9.0fx\n", bytes, token, raw, direct, direct / token);
    if (bytes <= MiB) CHECK(direct >= 100 * token);
  }
  value_of(pool.retire(stream));
}

}  // namespace
}  // namespace weir::test
