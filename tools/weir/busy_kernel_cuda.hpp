// SPDX-License-Identifier: Apache-2.0
//
// The part of busy_kernel that nvcc compiles (busy_kernel.cu), and what stands in where there is no nvcc
// (busy_kernel_none.cpp). Answers are codes of CUDA, 0 for success. Includes nothing of weir, whose C++20 this CMake
// does not know how to ask nvcc for.
#pragma once

struct CUstream_st;

namespace weir::cli {

bool has_cuda_busy_kernel() noexcept;
// Runs the kernel once, for no time, and waits for it: the first launch of a kernel loads it, and may synchronise.
int load_cuda_busy_kernel(int device) noexcept;
// Makes `device` the calling thread's current one.
int launch_cuda_busy_kernel(int device, CUstream_st* stream, unsigned long long duration_ns) noexcept;

}  // namespace weir::cli
