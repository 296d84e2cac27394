// SPDX-License-Identifier: Apache-2.0
//
// Native pools of one device for others: for kernels of a second device, for a second process.
#pragma once

#include "backend/cuda/device.hpp"
#include "weir/backend.hpp"

namespace weir::cuda {

// Access to all of a native pool for a device that can have it. The driver would permit it to any as long as the pool
// is empty, and fail the next allocation instead; so it is asked first whether the two devices can.
result<void> let_into_pool(const device& home, CUmemoryPool, int peer) noexcept;
// Access to direct allocations, of which native pools say nothing: the peer's context is let into this one's.
result<void> let_into_direct(const device& home, int peer) noexcept;

// errc::not_supported, where memory of the device cannot be exported by these types.
result<void> require_handle_types(const device&, unsigned handle_types) noexcept;
// `wanted` is one of the pool's types, or 0 for its first.
result<exported_pool> export_pool(const device&, CUmemoryPool, unsigned handle_types, unsigned wanted) noexcept;
error not_for_export() noexcept;

}  // namespace weir::cuda
