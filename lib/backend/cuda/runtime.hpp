// SPDX-License-Identifier: Apache-2.0
//
// The few calls of the CUDA runtime itself: how many devices, which is current, where the driver's functions are.
#pragma once

#include <cuda_runtime_api.h>

#include "backend/cuda/cuda_errors.hpp"

namespace weir::cuda {

// Runs one runtime call and keeps its failure out of the thread's last error, so that the user's next check does not
// find ours. Where an error of the user's was already waiting there, the call has overwritten it and it cannot be put
// back: then ours stays, because finding a wrong error is better than finding none.
template <class Call>
result<void> call_runtime(const char* what, Call&& call) noexcept {
  const bool somebody_elses_error_waits = cudaPeekAtLastError() != cudaSuccess;
  const cudaError_t status = call();
  if (status == cudaSuccess) return {};
  if (!somebody_elses_error_waits) (void)cudaGetLastError();
  return to_error(status, what);
}

// At least one, or errc::no_cuda_device. Makes no context.
result<int> count_devices() noexcept;

}  // namespace weir::cuda
