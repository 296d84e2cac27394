// SPDX-License-Identifier: Apache-2.0
//
//     bench_cached_pairs ROUNDS
//
// Allocates and frees a block of each size so often, with a token, on the simulated device, and says on stdout how many
// pairs that were. After the first round all come from the thread's cache. What a program of this kind costs twice with
// different ROUNDS differs by its pairs alone: count_instructions has valgrind count that.
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "pair_sizes.hpp"
#include "weir/pool.hpp"
#include "weir/sim.hpp"

int main(int argc, char** argv) {
  const long rounds = argc == 2 ? std::strtol(argv[1], nullptr, 10) : 0;
  if (rounds <= 0) {
    std::fputs("usage: bench_cached_pairs ROUNDS\n", stderr);
    return 2;
  }
  const auto device = weir::sim::device::make();
  weir::pool pool = weir::pool::make(device->make_backend());
  const weir::stream stream = pool.stream(device->create_stream()).value();
  for (long round = 0; round < rounds; ++round)
    for (const std::size_t bytes : weir::test::pair_sizes) pool.deallocate(pool.allocate(bytes, stream), stream);
  std::printf("%zu\n", weir::test::pair_sizes.size() * static_cast<std::size_t>(rounds));
  const weir::statistics counted = pool.statistics();
  const bool is_cached = counted.allocations - counted.served.cache <= weir::test::pair_sizes.size();
  return pool.retire(stream) && is_cached ? 0 : 1;
}
