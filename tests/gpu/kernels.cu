// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

namespace weir::test {
namespace {

constexpr unsigned threads = 256;

__device__ std::uint32_t mix(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  return x ^ (x >> 16);
}

// The word at a place; its bytes are those of the block there.
__device__ std::uint32_t word_at(std::size_t index, std::uint32_t seed) {
  return mix(static_cast<std::uint32_t>(index) ^ mix(seed + static_cast<std::uint32_t>(index >> 32)));
}

__device__ unsigned char byte_at(std::size_t index, std::uint32_t seed) {
  return static_cast<unsigned char>(word_at(index / 4, seed) >> (8 * (index % 4)));
}

// Blocks begin at multiples of 256, so whole words first, then the bytes that are left.
__global__ void fill_kernel(unsigned char* begin, std::size_t bytes, std::uint32_t seed) {
  const std::size_t first = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  const std::size_t words = bytes / 4;
  auto* as_words = reinterpret_cast<std::uint32_t*>(begin);
  for (std::size_t i = first; i < words; i += step) as_words[i] = word_at(i, seed);
  for (std::size_t i = words * 4 + first; i < bytes; i += step) begin[i] = byte_at(i, seed);
}

__global__ void count_kernel(const unsigned char* begin, std::size_t bytes, std::uint32_t seed,
                             unsigned long long* mismatches) {
  const std::size_t first = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  const std::size_t words = bytes / 4;
  const auto* as_words = reinterpret_cast<const std::uint32_t*>(begin);
  unsigned long long wrong = 0;
  for (std::size_t i = first; i < words; i += step) {
    std::uint32_t difference = as_words[i] ^ word_at(i, seed);
    for (; difference; difference >>= 8) wrong += (difference & 0xff) != 0;
  }
  for (std::size_t i = words * 4 + first; i < bytes; i += step) wrong += begin[i] != byte_at(i, seed);
  if (wrong) atomicAdd(mismatches, wrong);
}

__global__ void count_different_kernel(const std::uint32_t* one, const std::uint32_t* other, std::size_t count,
                                       unsigned long long* mismatches) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  unsigned long long wrong = 0;
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count; i += step) {
    std::uint32_t difference = one[i] ^ other[i];
    for (; difference; difference >>= 8) wrong += (difference & 0xff) != 0;
  }
  if (wrong) atomicAdd(mismatches, wrong);
}

__global__ void blend_kernel(std::uint32_t* out, std::uint32_t count, const std::uint32_t* one, std::uint32_t one_count,
                             const std::uint32_t* other, std::uint32_t other_count, std::uint32_t salt) {
  const std::uint32_t step = gridDim.x * blockDim.x;
  for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
    const std::uint32_t from = mix(i ^ salt);
    out[i] = mix(one[from % one_count] + 0x9e3779b9U * other[i % other_count] + from);
  }
}

__device__ unsigned long long now_ns() {
  unsigned long long now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

__global__ void busy_kernel(unsigned long long ns) {
  const unsigned long long begin = now_ns();
  while (now_ns() - begin < ns) __nanosleep(500);
}

__global__ void write_kernel(volatile int* nowhere) { *nowhere = 1; }

unsigned grid_for(std::size_t bytes) {
  const std::size_t wanted = bytes / 4 / threads + 1;
  return static_cast<unsigned>(wanted < 1024 ? wanted : 1024);
}

}  // namespace

void fill(void* begin, std::size_t bytes, std::uint32_t seed, cudaStream_t stream) {
  fill_kernel<<<grid_for(bytes), threads, 0, stream>>>(static_cast<unsigned char*>(begin), bytes, seed);
}

void count_mismatches(const void* begin, std::size_t bytes, std::uint32_t seed, unsigned long long* mismatches,
                      cudaStream_t stream) {
  count_kernel<<<grid_for(bytes), threads, 0, stream>>>(static_cast<const unsigned char*>(begin), bytes, seed,
                                                        mismatches);
}

void count_different(const void* one, const void* other, std::size_t bytes, unsigned long long* mismatches,
                     cudaStream_t stream) {
  count_different_kernel<<<grid_for(bytes), threads, 0, stream>>>(
      static_cast<const std::uint32_t*>(one), static_cast<const std::uint32_t*>(other), bytes / 4, mismatches);
}

void blend(words out, words one, words other, std::uint32_t salt, cudaStream_t stream) {
  const auto count = [](words w) { return static_cast<std::uint32_t>(w.bytes / 4); };
  blend_kernel<<<grid_for(out.bytes), threads, 0, stream>>>(
      static_cast<std::uint32_t*>(out.begin), count(out), static_cast<const std::uint32_t*>(one.begin), count(one),
      static_cast<const std::uint32_t*>(other.begin), count(other), salt);
}

void busy(unsigned microseconds, cudaStream_t stream) { busy_kernel<<<1, 1, 0, stream>>>(microseconds * 1000ULL); }

void write_to_nowhere(cudaStream_t stream) {
  write_kernel<<<1, 1, 0, stream>>>(reinterpret_cast<volatile int*>(std::uintptr_t{0x10}));
}

void launch_nothing(cudaStream_t stream) { busy_kernel<<<0, 1, 0, stream>>>(0); }

}  // namespace weir::test
