// SPDX-License-Identifier: Apache-2.0
#include "busy_kernel_cuda.hpp"

namespace weir::cli {
namespace {

__device__ unsigned long long now_ns() {
  unsigned long long now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

// One thread, so that kernels of many streams run side by side. The timer ticks once a microsecond on some devices.
__global__ void spin(unsigned long long duration_ns) {
  const unsigned long long begin = now_ns();
  while (now_ns() - begin < duration_ns) {}
}

cudaError_t make_current(int device) noexcept {
  int current = -1;
  if (const auto status = cudaGetDevice(&current); status != cudaSuccess) return status;
  return current == device ? cudaSuccess : cudaSetDevice(device);
}

}  // namespace

bool has_cuda_busy_kernel() noexcept { return true; }

int load_cuda_busy_kernel(int device) noexcept {
  if (const int status = launch_cuda_busy_kernel(device, nullptr, 0)) return status;
  return cudaDeviceSynchronize();
}

int launch_cuda_busy_kernel(int device, CUstream_st* stream, unsigned long long duration_ns) noexcept {
  if (const auto status = make_current(device); status != cudaSuccess) return status;
  void* arguments[] = {&duration_ns};
  return cudaLaunchKernel(reinterpret_cast<const void*>(&spin), dim3(1), dim3(1), arguments, 0, stream);
}

}  // namespace weir::cli
