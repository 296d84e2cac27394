// SPDX-License-Identifier: Apache-2.0
#include <new>
#include <utility>

#include "backend/cuda/cuda_backend.hpp"
#include "backend/cuda/sharing.hpp"

namespace weir {
namespace cuda {
namespace {

// Measured on one H200, driver 580 (ARCHITECTURE.md); no attribute tells them.
constexpr std::size_t native_chunk_bytes = std::size_t{32} << 20;
constexpr std::size_t native_granularity = 512;

result<backend_capabilities> describe(const device& opened, const cuda_backend_options& options) {
  const driver_api& api = *opened.api;
  char name[256] = {};
  const auto named = call_driver(api, opened.context, "cuDeviceGetName",
                                 [&] { return api.device_get_name(name, sizeof name - 1, opened.handle); });
  if (!named) return named.error();
  // Of cuMemGetInfo, so that it agrees with memory().total under MPS limits too.
  std::size_t bytes_free = 0;
  std::size_t bytes_total = 0;
  const auto sized =
      call_driver(api, opened.context, "cuMemGetInfo", [&] { return api.memory_info(&bytes_free, &bytes_total); });
  if (!sized) return sized.error();
  return backend_capabilities{.kind = "cuda",
                              .device_name = name,
                              .device = opened.ordinal,
                              .device_bytes_total = bytes_total,
                              .chunk_bytes = native_chunk_bytes,
                              .granularity = native_granularity,
                              .costs_are_modelled = false,
                              .can_trim = options.handle_types == 0};
}

// The reuse policies stay as they are, all on. The release threshold is lifted: what to give back, and when, is our
// decision, and the default of 0 would give everything back at each synchronisation.
result<CUmemoryPool> make_native_pool(const device& opened, const cuda_backend_options& options) noexcept {
  CUmemPoolProps properties{};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.handleTypes = static_cast<CUmemAllocationHandleType>(options.handle_types);
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = opened.ordinal;
  properties.maxSize = options.pool_bytes_max;
  CUmemoryPool pool = nullptr;
  const driver_api& api = *opened.api;
  auto made = call_driver(api, opened.context, "cuMemPoolCreate", [&] { return api.pool_create(&pool, &properties); });
  if (!made) return made.error();
  cuuint64_t threshold = UINT64_MAX;
  auto set = call_driver(api, opened.context, "cuMemPoolSetAttribute",
                         [&] { return api.pool_set_attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold); });
  if (set) return pool;
  (void)call_driver(api, opened.context, "cuMemPoolDestroy", [&] { return api.pool_destroy(pool); });
  return set.error();
}

// Non-blocking: it must not wait for the legacy stream, nor be waited for.
result<CUstream> make_own_stream(const device& opened) noexcept {
  CUstream stream = nullptr;
  const driver_api& api = *opened.api;
  auto made = call_driver(api, opened.context, "cuStreamCreate",
                          [&] { return api.stream_create(&stream, CU_STREAM_NON_BLOCKING); });
  if (!made) return made.error();
  return stream;
}

result<std::unique_ptr<backend>> make(int ordinal, const cuda_backend_options& options) {
  const auto opened = open_device(ordinal);
  if (!opened) return opened.error();
  if (auto exportable = require_handle_types(*opened, options.handle_types); !exportable) return exportable.error();
  auto capabilities = describe(*opened, options);
  if (!capabilities) return capabilities.error();
  const auto stream = make_own_stream(*opened);
  if (!stream) return stream.error();
  const auto pool = make_native_pool(*opened, options);
  if (!pool) {
    const driver_api& api = *opened->api;
    (void)call_driver(api, opened->context, "cuStreamDestroy", [&] { return api.stream_destroy(*stream); });
    return pool.error();
  }
  std::unique_ptr<backend> made(new cuda_backend(*opened, *pool, *stream, *std::move(capabilities), options));
  return made;
}

}  // namespace
}  // namespace cuda

result<std::unique_ptr<backend>> make_cuda_backend(int device, const cuda_backend_options& options) noexcept {
  try {
    return cuda::make(device, options);
  } catch (const std::bad_alloc&) {  // of the host; the process has other worries than what we leave behind
    return error{.code = errc::internal, .what = "no host memory for a CUDA backend"};
  }
}

}  // namespace weir
