// SPDX-License-Identifier: Apache-2.0
//
// What an allocation and its free cost seen by torch: through its allocator interface, as a tensor's storage goes,
// without the operator around it. Built on the machine with torch by tools/dev/gpu-python; torch_pair.py calls it.
#include <c10/cuda/CUDACachingAllocator.h>
#include <chrono>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

double ns_since(clock_type::time_point begin) {
  return std::chrono::duration<double, std::nano>(clock_type::now() - begin).count();
}

}  // namespace

// Nanoseconds a pair: `depth` are live at a time, freed first in first out.
extern "C" double torch_pair_ns(std::size_t bytes, long pairs, long depth) {
  auto* const allocator = c10::cuda::CUDACachingAllocator::get();
  std::vector<void*> live(static_cast<std::size_t>(depth), nullptr);
  const auto round = [&](long count) {
    for (long i = 0; i < count; ++i) {
      void*& slot = live[static_cast<std::size_t>(i % depth)];
      if (slot) allocator->raw_deallocate(slot);
      slot = allocator->raw_allocate(bytes);
    }
    for (void*& slot : live) {
      if (slot) allocator->raw_deallocate(slot);
      slot = nullptr;
    }
  };
  round(pairs / 10 + depth);
  const auto begin = clock_type::now();
  round(pairs);
  return ns_since(begin) / static_cast<double>(pairs);
}
