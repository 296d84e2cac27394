// SPDX-License-Identifier: Apache-2.0
//
// In place of busy_kernel.cu where there is no nvcc.
#include "busy_kernel_cuda.hpp"

namespace weir::cli {

namespace {
constexpr int not_supported = 801;  // cudaErrorNotSupported
}

bool has_cuda_busy_kernel() noexcept { return false; }
int load_cuda_busy_kernel(int) noexcept { return not_supported; }
int launch_cuda_busy_kernel(int, CUstream_st*, unsigned long long) noexcept { return not_supported; }

}  // namespace weir::cli
