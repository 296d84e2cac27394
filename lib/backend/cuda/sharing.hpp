// SPDX-License-Identifier: Apache-2.0
//
// Native pools of one device for others: for kernels of a second device, for a second process.
#pragma once

#include "backend/cuda/device.hpp"
#include "weir/backend.hpp"

namespace weir::cuda {

// Access to all of a native pool for a device that can have it. The driver would permit it to any as long as the pool
// is empty, and fail the next allocation instead; so it is asked first whether the two devices can.
result<void> let_peer_into_pool(const device& home, CUmemoryPool, int peer) noexcept;
// The same, and to what is outside native pools: their access says nothing of direct allocations, which need the peer's
// context to be let into this one's. That is the process's own setting and stays; it covers every cudaMalloc of the
// device.
result<void> let_peer_in(const device& home, CUmemoryPool, int peer) noexcept;

// errc::not_supported, where memory of the device cannot be exported by these types.
result<void> require_handle_types(const device&, unsigned handle_types) noexcept;
// `wanted` is one of the pool's types, or 0 for its first.
result<exported_pool> export_pool(const device&, CUmemoryPool, unsigned handle_types, unsigned wanted) noexcept;
error not_for_export() noexcept;

}  // namespace weir::cuda
