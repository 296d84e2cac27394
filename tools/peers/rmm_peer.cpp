// SPDX-License-Identifier: Apache-2.0
//
// RMM's pool, arena and binning resources over cudaMalloc, one a plugin, chosen when it is compiled. The arena is of a
// fixed size: 16 GiB, or WEIR_PEER_ARENA_BYTES of the environment. The bins are those of RMM's own benchmarks, 256 KiB
// to 4 MiB, over a pool.
#include <cstdlib>
#include <cuda/stream_ref>
#include <rmm/mr/arena_memory_resource.hpp>
#include <rmm/mr/binning_memory_resource.hpp>
#include <rmm/mr/cuda_memory_resource.hpp>
#include <rmm/mr/pool_memory_resource.hpp>
#include <rmm/mr/statistics_resource_adaptor.hpp>

#include "peer.hpp"

namespace {

using rmm::mr::statistics_resource_adaptor;

#if defined(WEIR_PEER_RMM_POOL)
constexpr const char* resource_name = "rmm_pool";
using resource = rmm::mr::pool_memory_resource;
resource make(const statistics_resource_adaptor& upstream) { return resource(upstream, 0); }
#elif defined(WEIR_PEER_RMM_ARENA)
constexpr const char* resource_name = "rmm_arena";
using resource = rmm::mr::arena_memory_resource;
resource make(const statistics_resource_adaptor& upstream) {
  const char* const text = std::getenv("WEIR_PEER_ARENA_BYTES");
  const std::size_t bytes = text ? std::strtoull(text, nullptr, 10) : std::size_t{16} << 30;
  return resource(upstream, bytes);
}
#else
constexpr const char* resource_name = "rmm_binning";
using resource = rmm::mr::binning_memory_resource;
resource make(const statistics_resource_adaptor& upstream) {
  return resource(rmm::mr::pool_memory_resource(upstream, 0), 18, 22);
}
#endif

class rmm_peer {
 public:
  static constexpr const char* name = resource_name;

  explicit rmm_peer(int) {}
  void* allocate(std::size_t bytes, cudaStream_t stream) {
    return resource_.allocate(cuda::stream_ref(stream), bytes, 256);
  }
  void deallocate(void* block, std::size_t bytes, cudaStream_t stream) {
    resource_.deallocate(cuda::stream_ref(stream), block, bytes, 256);
  }
  std::size_t reserved() const { return static_cast<std::size_t>(upstream_.get_bytes_counter().value); }
  std::size_t reserved_high() const { return static_cast<std::size_t>(upstream_.get_bytes_counter().peak); }

 private:
  statistics_resource_adaptor upstream_{rmm::mr::cuda_memory_resource()};
  resource resource_ = make(upstream_);
};

}  // namespace

WEIR_PEER(rmm_peer)
