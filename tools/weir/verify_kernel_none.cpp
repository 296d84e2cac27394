// SPDX-License-Identifier: Apache-2.0
//
// In place of verify_kernel.cu where there is no nvcc.
#include "verify_kernel_cuda.hpp"

namespace weir::cli {

namespace {
constexpr int not_supported = 801;  // cudaErrorNotSupported
}

int make_cuda_counters(int, verify_counters**) noexcept { return not_supported; }
int free_cuda_counters(int, verify_counters*) noexcept { return not_supported; }
int take_cuda_counters(int, verify_counters*, verify_counters*) noexcept { return not_supported; }
int launch_cuda_fill(int, CUstream_st*, const verify_work&) noexcept { return not_supported; }
int launch_cuda_check(int, CUstream_st*, const verify_work&, verify_counters*) noexcept { return not_supported; }
int spoil_cuda_byte(int, void*) noexcept { return not_supported; }

}  // namespace weir::cli
