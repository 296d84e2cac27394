// SPDX-License-Identifier: Apache-2.0
//
// CUB's caching allocator, with bins of powers of two from 256 bytes to 64 GiB and no bound on what it keeps. It frees
// on the stream that a block was allocated on, whatever stream the free is said to be on; a program that hands blocks
// over has to order that itself, which is not in its figures.
#include <cub/util_allocator.cuh>

#include "peer.hpp"

namespace {

class cub_peer {
 public:
  static constexpr const char* name = "cub";

  explicit cub_peer(int device) : device_(device) {}
  void* allocate(std::size_t bytes, cudaStream_t stream) {
    void* block = nullptr;
    weir_peer::check(allocator_.DeviceAllocate(device_, &block, bytes, stream));
    return block;
  }
  void deallocate(void* block, std::size_t, cudaStream_t) { weir_peer::check(allocator_.DeviceFree(device_, block)); }

  std::size_t reserved() const {
    const std::lock_guard lock(allocator_.mutex);
    const auto& bytes = allocator_.cached_bytes[device_];
    return bytes.free + bytes.live;
  }
  // It gives nothing back but where there is no room.
  std::size_t reserved_high() const { return reserved(); }

 private:
  int device_;
  mutable cub::CachingDeviceAllocator allocator_{2, 8, 36};
};

}  // namespace

WEIR_PEER(cub_peer)
