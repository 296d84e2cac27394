// SPDX-License-Identifier: Apache-2.0
//
// An opened device: the driver's functions and the primary context, which the CUDA runtime shares.
#pragma once

#include "backend/cuda/driver_api.hpp"

namespace weir::cuda {

struct device {
  const driver_api* api = nullptr;
  CUdevice handle = 0;
  CUcontext context = nullptr;
  int ordinal = 0;
};

// Makes the device's primary context if nobody did yet, and keeps it for the life of the process, as the runtime
// does: it costs a fifth of a second to make, and pending frees may outlive a backend. Makes no other context.
// errc::no_cuda_device, errc::no_such_device, errc::not_supported where the device has no native pools.
result<device> open_device(int ordinal) noexcept;

// The device of an ordinal, without a context; errc::no_such_device with both numbers.
result<CUdevice> find_device(const driver_api&, int ordinal) noexcept;

// The ordinal of a context's device; the context need not be current.
result<int> device_of_context(const driver_api&, CUcontext) noexcept;

}  // namespace weir::cuda
