// SPDX-License-Identifier: Apache-2.0
//
// Makes a pool, takes a block on a stream and gives it back. On the first GPU; where there is none, on a simulated
// device, which needs no CUDA.
#include <cstdio>

#include "weir/pool.hpp"
#include "weir/sim.hpp"

int main() {
  const auto gpus = weir::cuda_device_count();
  const bool has_gpu = gpus && *gpus > 0;
  weir::pool pool = has_gpu ? weir::pool::make(0) : weir::pool::make(weir::sim::device::make()->make_backend());

  // Any cudaStream_t will do here; null is the default stream.
  weir::stream stream = pool.stream(nullptr).value();

  void* block = pool.allocate(std::size_t{64} << 20, stream);  // throws weir::out_of_memory where there is no room
  // Work put on the stream from here on may use the block.
  pool.deallocate(block, stream);  // returns at once; the memory is reused in the stream's order

  const weir::statistics seen = pool.statistics();
  std::printf("%s: %llu allocation, %zu bytes live, %zu bytes reserved\n",
              pool.backend().capabilities().device_name.c_str(), static_cast<unsigned long long>(seen.allocations),
              seen.allocated, seen.reserved);
  return seen.allocated == 0 ? 0 : 1;
}
