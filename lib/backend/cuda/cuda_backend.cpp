// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/cuda_backend.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "backend/cuda/sharing.hpp"

namespace weir::cuda {
namespace {

CUdeviceptr to_address(void* pointer) noexcept { return reinterpret_cast<CUdeviceptr>(pointer); }
void* to_pointer(CUdeviceptr address) noexcept { return reinterpret_cast<void*>(address); }

// A backend_event is the driver's event; nothing is allocated for it.
CUevent to_native(backend_event* event) noexcept { return reinterpret_cast<CUevent>(event); }

stream_kind kind_of(stream_handle stream) noexcept {
  if (stream == legacy_stream()) return stream_kind::legacy_default;
  if (stream == per_thread_stream()) return stream_kind::per_thread_default;
  return stream_kind::ordinary;
}

// "Not ready" is an answer, not a failure.
result<bool> to_readiness(const result<void>& asked) noexcept {
  if (asked) return true;
  if (asked.error().native_code == cudaErrorNotReady) return false;
  return asked.error();
}

std::size_t less(std::size_t whole, std::size_t part) noexcept { return whole > part ? whole - part : 0; }

}  // namespace

cuda_backend::cuda_backend(const device& opened, CUmemoryPool pool, CUstream own_stream,
                           backend_capabilities capabilities, const cuda_backend_options& options)
    : api_(*opened.api),
      device_(opened),
      pool_(pool),
      own_stream_(own_stream),
      capabilities_(std::move(capabilities)),
      pool_bytes_max_(options.pool_bytes_max),
      handle_types_(options.handle_types) {}

cuda_backend::~cuda_backend() {
  (void)call("cuStreamDestroy", [&] { return api_.stream_destroy(own_stream_); });
  (void)call("cuMemPoolDestroy", [&] { return api_.pool_destroy(pool_); });
}

result<void*> cuda_backend::allocate(std::size_t bytes, stream_handle stream) noexcept {
  CUdeviceptr address = 0;
  auto done = on_stream(stream, "cuMemAllocFromPoolAsync", [&] {
    // The driver's answer to absurd sizes is not documented; ours is.
    if (bytes > capabilities_.device_bytes_total) return CUDA_ERROR_OUT_OF_MEMORY;
    return api_.allocate_from_pool(&address, bytes, pool_, stream);
  });
  if (done) return to_pointer(address);
  return no_room(bytes, true, done.error());
}

result<void> cuda_backend::deallocate(void* pointer, stream_handle stream) noexcept {
  return on_stream(stream, "cuMemFreeAsync", [&] { return api_.free_async(to_address(pointer), stream); });
}

result<void> cuda_backend::trim(std::size_t bytes_to_keep) noexcept {
  if (!capabilities_.can_trim) return error{.code = errc::not_supported, .what = "trimming a pool made for export"};
  return call("cuMemPoolTrimTo", [&] { return api_.pool_trim(pool_, bytes_to_keep); });
}

result<native_pool_bytes> cuda_backend::pool_bytes() noexcept {
  cuuint64_t reserved = 0, high = 0, used = 0;
  const auto get = [&](CUmemPool_attribute attribute, cuuint64_t& value) {
    return api_.pool_get_attribute(pool_, attribute, &value);
  };
  auto done = call("cuMemPoolGetAttribute", [&] {
    CUresult status = get(CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, reserved);
    if (status == CUDA_SUCCESS) status = get(CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, high);
    if (status == CUDA_SUCCESS) status = get(CU_MEMPOOL_ATTR_USED_MEM_CURRENT, used);
    return status;
  });
  if (!done) return done.error();
  // What a reset high reads before the next growth is not documented; it is never below what is reserved.
  return native_pool_bytes{.reserved = reserved, .reserved_high = std::max(high, reserved), .used = used};
}

result<void> cuda_backend::reset_reserved_high() noexcept {
  cuuint64_t zero = 0;
  return call("cuMemPoolSetAttribute",
              [&] { return api_.pool_set_attribute(pool_, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &zero); });
}

result<device_memory> cuda_backend::memory() noexcept {
  device_memory out;
  auto done = call("cuMemGetInfo", [&] { return api_.memory_info(&out.free, &out.total); });
  if (!done) return done.error();
  return out;
}

// Adds to an out_of_memory what could have been had: free on the device, and for the pool what it has reserved and
// not in use, within its own maximum. An upper bound: it says nothing of fragments.
error cuda_backend::no_room(std::size_t bytes, bool in_pool, const error& why) noexcept {
  if (why.code != errc::out_of_memory) return why;
  error out = why;
  out.bytes = bytes;
  if (const auto device = memory()) out.limit = device->free;
  if (!in_pool) return out;
  if (const auto pool = pool_bytes()) {
    out.limit += less(pool->reserved, pool->used);
    if (pool_bytes_max_) out.limit = std::min(out.limit, less(pool_bytes_max_, pool->used));
  }
  return out;
}

result<void*> cuda_backend::allocate_direct(std::size_t bytes) noexcept {
  CUdeviceptr address = 0;
  auto done = call("cuMemAlloc", [&] {
    if (bytes > capabilities_.device_bytes_total) return CUDA_ERROR_OUT_OF_MEMORY;
    return api_.allocate(&address, bytes);
  });
  if (done) return to_pointer(address);
  return no_room(bytes, false, done.error());
}

result<void> cuda_backend::deallocate_direct(void* pointer) noexcept {
  return call("cuMemFree", [&] { return api_.free(to_address(pointer)); });
}

result<stream_handle> cuda_backend::create_stream() noexcept {
  CUstream stream = nullptr;
  auto made = call("cuStreamCreate", [&] { return api_.stream_create(&stream, CU_STREAM_NON_BLOCKING); });
  if (!made) return made.error();
  return stream;
}

result<void> cuda_backend::destroy_stream(stream_handle stream) noexcept {
  return call("cuStreamDestroy", [&] { return api_.stream_destroy(stream); });
}

// Of a capturing stream the driver refuses to tell the id, and the question alone invalidates the capture (measured),
// so the capture is looked for first: 71 ns beside the id's 67. The special handles mean a stream of the current
// context, so it has to be ours; the others carry theirs, and the driver asks for any current one at most.
result<std::uint64_t> cuda_backend::identify(stream_handle stream) noexcept {
  if (const errc gone = process_state(); gone != errc::ok) return error{.code = gone, .what = "cuStreamGetId"};
  if (kind_of(stream) == stream_kind::ordinary) {
    CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_ACTIVE;
    unsigned long long id = 0;
    if (api_.stream_is_capturing(stream, &capture) == CUDA_SUCCESS && capture == CU_STREAM_CAPTURE_STATUS_NONE &&
        api_.stream_get_id(stream, &id) == CUDA_SUCCESS)
      return std::uint64_t{id};
  }
  const context_scope current(api_, device_.context);
  if (current.status() != CUDA_SUCCESS) return to_error(current.status(), "cuStreamGetId");
  const auto capturing = is_capturing(api_, stream);
  if (!capturing) return capturing.error();
  if (*capturing) return error{.code = errc::stream_capturing, .what = "cuStreamGetId"};
  unsigned long long id = 0;
  const CUresult status = api_.stream_get_id(stream, &id);
  if (status != CUDA_SUCCESS) return to_error(status, "cuStreamGetId");
  return std::uint64_t{id};
}

// A stream of another context cannot record our events, and a green context's has only a part of the device.
result<void> cuda_backend::require_context_of(stream_handle stream) noexcept {
  CUcontext context = nullptr;
  auto asked = call("cuStreamGetCtx", [&] { return api_.stream_get_context(stream, &context); });
  if (!asked) return asked;
  if (context == device_.context) return {};
  const auto ordinal = device_of_context(api_, context);
  if (!ordinal) return ordinal.error();
  if (*ordinal != device_.ordinal) return error{.code = errc::wrong_device, .what = "stream"};
  return error{.code = errc::stream_unsupported, .what = "stream of a context that is not the device's primary one"};
}

result<stream_identity> cuda_backend::examine(stream_handle stream) noexcept {
  unsigned long long id = 0;
  auto asked = on_stream(stream, "cuStreamGetId", [&] { return api_.stream_get_id(stream, &id); });
  if (!asked) return asked.error();
  const stream_identity out{.id = id, .device = device_.ordinal, .kind = kind_of(stream)};
  if (out.kind == stream_kind::ordinary) {
    if (auto ours = require_context_of(stream); !ours) return ours.error();
  }
  return out;
}

result<bool> cuda_backend::is_idle(stream_handle stream) noexcept {
  return to_readiness(on_stream(stream, "cuStreamQuery", [&] { return api_.stream_query(stream); }));
}

result<backend_event*> cuda_backend::create_event() noexcept {
  CUevent event = nullptr;
  auto done = call("cuEventCreate", [&] { return api_.event_create(&event, CU_EVENT_DISABLE_TIMING); });
  if (!done) return done.error();
  return reinterpret_cast<backend_event*>(event);
}

void cuda_backend::destroy_event(backend_event* event) noexcept {
  (void)call("cuEventDestroy", [&] { return api_.event_destroy(to_native(event)); });
}

result<void> cuda_backend::record(backend_event* event, stream_handle stream) noexcept {
  return on_stream(stream, "cuEventRecord", [&] { return api_.event_record(to_native(event), stream); });
}

result<bool> cuda_backend::query(backend_event* event) noexcept {
  return to_readiness(call("cuEventQuery", [&] { return api_.event_query(to_native(event)); }));
}

result<void> cuda_backend::wait(stream_handle stream, backend_event* event) noexcept {
  return on_stream(stream, "cuStreamWaitEvent",
                   [&] { return api_.stream_wait_event(stream, to_native(event), CU_EVENT_WAIT_DEFAULT); });
}

result<void> cuda_backend::synchronize(backend_event* event) noexcept {
  return call("cuEventSynchronize", [&] { return api_.event_synchronize(to_native(event)); });
}

result<void> cuda_backend::synchronize_device() noexcept {
  return call("waiting for the device", [&] { return device_wait_(api_, own_stream_); });
}

result<void> cuda_backend::allow_access(int device) noexcept { return let_into_pool(device_, pool_, device); }
result<void> cuda_backend::allow_direct_access(int device) noexcept { return let_into_direct(device_, device); }

result<exported_pool> cuda_backend::export_pool(unsigned handle_type) noexcept {
  return weir::cuda::export_pool(device_, pool_, handle_types_, handle_type);
}

result<exported_allocation> cuda_backend::export_allocation(void* pointer) noexcept {
  static_assert(sizeof(CUmemPoolPtrExportData) == sizeof(exported_allocation));
  if (handle_types_ == 0) return not_for_export();
  CUmemPoolPtrExportData data{};
  auto done = call("cuMemPoolExportPointer", [&] { return api_.pool_export_pointer(&data, to_address(pointer)); });
  if (!done) return done.error();
  return std::bit_cast<exported_allocation>(data);
}

}  // namespace weir::cuda
