// SPDX-License-Identifier: Apache-2.0
//
// The one table from CUDA's errors to weir's. CUresult and cudaError_t share their numbers (since CUDA 10.2), so it
// serves the driver's answers and the runtime's; `native_code` is the cudaError_t.
#pragma once

#include <cuda.h>
#include <driver_types.h>

#include "weir/result.hpp"

namespace weir::cuda {

errc to_errc(cudaError_t) noexcept;

// `what` is a static string: the call that failed.
inline error to_error(cudaError_t status, const char* what) noexcept {
  return {.code = to_errc(status), .native_code = status, .what = what};
}
inline error to_error(CUresult status, const char* what) noexcept {
  return to_error(static_cast<cudaError_t>(status), what);
}
inline result<void> to_result(CUresult status, const char* what) noexcept {
  if (status == CUDA_SUCCESS) return {};
  return to_error(status, what);
}

}  // namespace weir::cuda
