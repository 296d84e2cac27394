// SPDX-License-Identifier: Apache-2.0
//
// Two kernels that write and compare 16 bytes at a time, so that whole blocks go at the speed of the memory. The
// pattern of a word is its index times an odd constant, offset and masked by halves of the seed: cheap enough not to be
// the bottleneck, and two blocks of different seeds agree in one word of 2^32.
#include "verify_kernel_cuda.hpp"

namespace weir::cli {
namespace {

using u64 = unsigned long long;
constexpr unsigned threads = 256;
constexpr u64 blocks_max = 2112;  // 16 for each of 132 multiprocessors

__device__ unsigned word_of(u64 seed, u64 index) {
  const unsigned low = static_cast<unsigned>(index) * 0x9e3779b1u + static_cast<unsigned>(seed);
  return low ^ (static_cast<unsigned>(seed >> 32) + static_cast<unsigned>(index >> 32) * 0x85ebca6bu);
}

__device__ uint4 unit_of(u64 seed, u64 unit) {
  return {word_of(seed, unit * 4), word_of(seed, unit * 4 + 1), word_of(seed, unit * 4 + 2),
          word_of(seed, unit * 4 + 3)};
}

// Which unit of the block the i-th that is worked on is; beyond the end where a block is smaller than a piece.
__device__ u64 unit_at(const verify_work& work, u64 units, u64 i) {
  u64 begin = i / verify_piece_units * work.stride_units;
  const u64 last = units > verify_piece_units ? units - verify_piece_units : 0;
  if (begin > last) begin = last;
  return begin + i % verify_piece_units;
}

// Bytes of a unit that belong to the block, which may end within its last.
__device__ unsigned bytes_in(const verify_work& work, u64 unit) {
  const u64 left = work.bytes - unit * 16;
  return left < 16 ? static_cast<unsigned>(left) : 16;
}

__device__ unsigned char byte_of(const uint4& value, unsigned i) {
  return reinterpret_cast<const unsigned char*>(&value)[i];
}

template <class Visit>
__device__ void for_each_unit(const verify_work& work, const Visit& visit) {
  const u64 units = (work.bytes + 15) / 16;
  const u64 step = u64{gridDim.x} * blockDim.x;
  for (u64 i = u64{blockIdx.x} * blockDim.x + threadIdx.x; i < work.pieces * verify_piece_units; i += step) {
    const u64 unit = unit_at(work, units, i);
    if (unit < units) visit(unit);
  }
}

__global__ void fill(verify_work work) {
  for_each_unit(work, [&](u64 unit) {
    const uint4 value = unit_of(work.seed, unit);
    uint4* const at = static_cast<uint4*>(work.pointer) + unit;
    const unsigned bytes = bytes_in(work, unit);
    if (bytes == 16) {
      *at = value;
      return;
    }
    for (unsigned i = 0; i < bytes; ++i) reinterpret_cast<unsigned char*>(at)[i] = byte_of(value, i);
  });
}

__device__ uint4 load(const verify_work& work, u64 unit, const uint4& expected) {
  const uint4* const at = static_cast<const uint4*>(work.pointer) + unit;
  const unsigned bytes = bytes_in(work, unit);
  if (bytes == 16) return *at;
  uint4 value = expected;
  for (unsigned i = 0; i < bytes; ++i)
    reinterpret_cast<unsigned char*>(&value)[i] = reinterpret_cast<const unsigned char*>(at)[i];
  return value;
}

__device__ void describe(const verify_work& work, verify_counters* counters, u64 offset, unsigned expected,
                         unsigned found) {
  if (*const_cast<volatile u64*>(&counters->described) >= verify_described_max) return;
  const u64 place = atomicAdd(&counters->described, 1ull);
  if (place >= verify_described_max) return;
  verify_difference& d = counters->first[place];
  d.block = work.block;
  d.offset = offset;
  d.expected = expected;
  d.found = found;
  d.stream = work.stream;
}

__global__ void check(verify_work work, verify_counters* counters) {
  u64 differences = 0;
  for_each_unit(work, [&](u64 unit) {
    const uint4 expected = unit_of(work.seed, unit);
    const uint4 found = load(work, unit, expected);
    const unsigned wanted[] = {expected.x, expected.y, expected.z, expected.w};
    const unsigned seen[] = {found.x, found.y, found.z, found.w};
    for (unsigned i = 0; i < 4; ++i) {
      if (wanted[i] == seen[i]) continue;
      if (differences++ == 0) describe(work, counters, unit * 16 + i * 4, wanted[i], seen[i]);
    }
  });
  if (differences > 0) atomicAdd(&counters->differences, differences);
}

cudaError_t make_current(int device) noexcept {
  int current = -1;
  if (const auto status = cudaGetDevice(&current); status != cudaSuccess) return status;
  return current == device ? cudaSuccess : cudaSetDevice(device);
}

unsigned blocks_for(const verify_work& work) noexcept {
  const u64 wanted = (work.pieces * verify_piece_units + threads * 4 - 1) / (threads * 4);
  return static_cast<unsigned>(wanted < 1 ? 1 : wanted < blocks_max ? wanted : blocks_max);
}

int launch(int device, CUstream_st* stream, const void* kernel, const verify_work& work, void** arguments) noexcept {
  if (const auto status = make_current(device); status != cudaSuccess) return status;
  return cudaLaunchKernel(kernel, dim3(blocks_for(work)), dim3(threads), arguments, 0, stream);
}

}  // namespace

int make_cuda_counters(int device, verify_counters** counters) noexcept {
  if (const auto status = make_current(device); status != cudaSuccess) return status;
  if (const auto status = cudaMalloc(reinterpret_cast<void**>(counters), sizeof **counters); status != cudaSuccess)
    return status;
  if (const auto status = cudaMemset(*counters, 0, sizeof **counters); status != cudaSuccess) return status;
  if (const int status = launch_cuda_fill(device, nullptr, {})) return status;
  if (const int status = launch_cuda_check(device, nullptr, {}, *counters)) return status;
  return cudaDeviceSynchronize();
}

int free_cuda_counters(int device, verify_counters* counters) noexcept {
  if (const auto status = make_current(device); status != cudaSuccess) return status;
  return cudaFree(counters);
}

int take_cuda_counters(int device, verify_counters* counters, verify_counters* to) noexcept {
  if (const auto status = make_current(device); status != cudaSuccess) return status;
  if (const auto status = cudaMemcpy(to, counters, sizeof *to, cudaMemcpyDeviceToHost); status != cudaSuccess)
    return status;
  if (const auto status = cudaMemset(counters, 0, sizeof *to); status != cudaSuccess) return status;
  return cudaStreamSynchronize(nullptr);
}

int launch_cuda_fill(int device, CUstream_st* stream, const verify_work& work) noexcept {
  verify_work copy = work;
  void* arguments[] = {&copy};
  return launch(device, stream, reinterpret_cast<const void*>(&fill), work, arguments);
}

int launch_cuda_check(int device, CUstream_st* stream, const verify_work& work, verify_counters* counters) noexcept {
  verify_work copy = work;
  void* arguments[] = {&copy, &counters};
  return launch(device, stream, reinterpret_cast<const void*>(&check), work, arguments);
}

int spoil_cuda_byte(int device, void* at) noexcept {
  if (const auto status = make_current(device); status != cudaSuccess) return status;
  if (const auto status = cudaDeviceSynchronize(); status != cudaSuccess) return status;
  unsigned char byte = 0;
  if (const auto status = cudaMemcpy(&byte, at, 1, cudaMemcpyDeviceToHost); status != cudaSuccess) return status;
  byte = static_cast<unsigned char>(~byte);
  if (const auto status = cudaMemcpy(at, &byte, 1, cudaMemcpyHostToDevice); status != cudaSuccess) return status;
  return cudaDeviceSynchronize();
}

}  // namespace weir::cli
