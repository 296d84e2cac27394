// SPDX-License-Identifier: Apache-2.0
//
// The part of block_verifier that nvcc compiles (verify_kernel.cu), and what stands in where there is no nvcc
// (verify_kernel_none.cpp). Answers are codes of CUDA, 0 for success; each call makes `device` the calling thread's
// current one. Includes nothing of weir, as busy_kernel_cuda.hpp does not.
#pragma once

#include <cstddef>

struct CUstream_st;

namespace weir::cli {

// What is filled of a block: pieces of verify_piece_units units of 16 bytes; piece i begins at unit i * stride_units,
// the last where it ends with the block.
inline constexpr unsigned long long verify_piece_units = 256;
struct verify_work {
  void* pointer = nullptr;  // a multiple of 16
  unsigned long long bytes = 0;
  unsigned long long seed = 0;  // the pattern is a function of this and the offset
  unsigned long long pieces = 0;
  unsigned long long stride_units = 0;
  unsigned long long block = 0;  // what a difference is described by
  unsigned stream = 0;
};

struct verify_difference {
  unsigned long long block = 0;
  unsigned long long offset = 0;
  unsigned expected = 0;
  unsigned found = 0;
  unsigned stream = 0;
};

// One lies in device memory; kernels add to it.
inline constexpr unsigned verify_described_max = 8;
struct verify_counters {
  unsigned long long differences = 0;  // words of 4 bytes
  unsigned long long described = 0;    // how many wanted to be among the first
  verify_difference first[verify_described_max];
};

// Takes the counters with cudaMalloc, zeroes them and loads the kernels, so that no launch has to.
int make_cuda_counters(int device, verify_counters** counters) noexcept;
int free_cuda_counters(int device, verify_counters* counters) noexcept;
// Copies them to the host and zeroes them. Precondition: the device has done all checks.
int take_cuda_counters(int device, verify_counters* counters, verify_counters* to) noexcept;

int launch_cuda_fill(int device, CUstream_st* stream, const verify_work& work) noexcept;
int launch_cuda_check(int device, CUstream_st* stream, const verify_work& work, verify_counters* counters) noexcept;
// Waits for the device and turns one byte into another.
int spoil_cuda_byte(int device, void* at) noexcept;

}  // namespace weir::cli
