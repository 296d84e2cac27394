// SPDX-License-Identifier: Apache-2.0
//
// Kernels that tell whether memory was ours: every byte of a block is a function of its place and a seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <driver_types.h>

namespace weir::test {

// Writes every byte of the range.
void fill(void* begin, std::size_t bytes, std::uint32_t seed, cudaStream_t);
// Adds to *mismatches, in device memory, how many bytes are not what fill() wrote with that seed.
void count_mismatches(const void* begin, std::size_t bytes, std::uint32_t seed, unsigned long long* mismatches,
                      cudaStream_t);
// The same for how many bytes of two ranges differ; `bytes` is a multiple of 4.
void count_different(const void* one, const void* other, std::size_t bytes, unsigned long long* mismatches,
                     cudaStream_t);
// Whole words, 4 bytes each.
struct words {
  void* begin;
  std::size_t bytes;
};
// Writes every word of `out` as a function of its place, the salt, a word of `one` and a word of `other`.
void blend(words out, words one, words other, std::uint32_t salt, cudaStream_t);
// Keeps one multiprocessor's worth of the stream busy for about so long, touching no memory.
void busy(unsigned microseconds, cudaStream_t);
// Writes where nothing is: cudaErrorIllegalAddress, which stays.
void write_to_nowhere(cudaStream_t);
// A launch that fails at once and leaves cudaErrorInvalidConfiguration behind, unlooked at.
void launch_nothing(cudaStream_t);

}  // namespace weir::test
