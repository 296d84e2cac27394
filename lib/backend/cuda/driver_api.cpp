// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/driver_api.hpp"

#include <type_traits>

#include "backend/cuda/runtime.hpp"

namespace weir::cuda {
namespace {

// Every function is asked for as of this version, so that each has the signature its typedef above says: the first to
// change was cuStreamGetCtx, in 12.5.
constexpr unsigned interface_version = 12000;

cudaError_t find(const char* name, void** function, cudaDriverEntryPointQueryResult* found) noexcept {
#if CUDART_VERSION >= 12050
  return cudaGetDriverEntryPointByVersion(name, function, interface_version, cudaEnableLegacyStream, found);
#else
  return cudaGetDriverEntryPoint(name, function, cudaEnableLegacyStream, found);
#endif
}

// Finds functions until one fails, then keeps that failure.
class finder {
 public:
  // The name in the interface, without a version suffix.
  template <class Function>
  finder& operator()(const char* name, Function& function) noexcept {
    if (failure_.code != errc::ok) return *this;
    void* address = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    const auto status = call_runtime(name, [&] { return find(name, &address, &found); });
    if (!status)
      failure_ = status.error();
    else if (found != cudaDriverEntryPointSuccess || !address)
      failure_ = {.code = errc::not_supported, .what = name};
    else
      function = reinterpret_cast<Function>(address);
    return *this;
  }

  const error& failure() const noexcept { return failure_; }

 private:
  error failure_{.code = errc::ok};
};

// Never destroyed: a late destructor elsewhere may still read it.
struct loaded {
  driver_api api{};
  errc code = errc::ok;
  int native_code = 0;
  const char* what = nullptr;
};
static_assert(std::is_trivially_destructible_v<loaded>);

loaded load() noexcept {
  loaded out;
  driver_api& api = out.api;
  finder find_all;
  find_all("cuDeviceGet", api.device_get)("cuDeviceGetName", api.device_get_name)(
      "cuDeviceGetAttribute", api.device_get_attribute)("cuDevicePrimaryCtxRetain", api.primary_context_retain);
  find_all("cuCtxGetCurrent", api.context_get_current)("cuCtxPushCurrent", api.context_push)(
      "cuCtxPopCurrent", api.context_pop)("cuCtxGetDevice", api.context_get_device)("cuThreadExchangeStreamCaptureMode",
                                                                                    api.exchange_capture_mode);
  find_all("cuCtxEnablePeerAccess", api.context_enable_peer)("cuMemPoolExportToShareableHandle", api.pool_export)(
      "cuMemPoolImportFromShareableHandle", api.pool_import)("cuMemPoolExportPointer", api.pool_export_pointer)(
      "cuMemPoolImportPointer", api.pool_import_pointer);
  find_all("cuMemPoolCreate", api.pool_create)("cuMemPoolDestroy", api.pool_destroy)("cuMemPoolTrimTo", api.pool_trim)(
      "cuMemPoolGetAttribute", api.pool_get_attribute)("cuMemPoolSetAttribute", api.pool_set_attribute)(
      "cuMemAllocFromPoolAsync", api.allocate_from_pool)("cuMemFreeAsync", api.free_async)("cuMemAlloc", api.allocate)(
      "cuMemFree", api.free)("cuMemGetInfo", api.memory_info)("cuMemHostRegister", api.host_register)(
      "cuMemHostUnregister", api.host_unregister);
  find_all("cuMemPoolSetAccess", api.pool_set_access)("cuDeviceCanAccessPeer", api.device_can_access);
  find_all("cuStreamCreate", api.stream_create)("cuStreamDestroy", api.stream_destroy)(
      "cuStreamGetId", api.stream_get_id)("cuStreamGetCtx", api.stream_get_context)(
      "cuStreamIsCapturing", api.stream_is_capturing)("cuStreamQuery", api.stream_query)(
      "cuStreamSynchronize", api.stream_synchronize)("cuStreamWaitEvent", api.stream_wait_event);
  find_all("cuEventCreate", api.event_create)("cuEventDestroy", api.event_destroy)("cuEventRecord", api.event_record)(
      "cuEventQuery", api.event_query)("cuEventSynchronize", api.event_synchronize);
  out.code = find_all.failure().code;
  out.native_code = find_all.failure().native_code;
  out.what = find_all.failure().what;
  return out;
}

}  // namespace

result<const driver_api*> load_driver_api() noexcept {
  // Without a driver the runtime fails before the table is asked for; a failure here would stay, so ask first.
  if (auto count = count_devices(); !count) return count.error();
  static const loaded table = load();
  if (table.code != errc::ok) return error{.code = table.code, .native_code = table.native_code, .what = table.what};
  return &table.api;
}

}  // namespace weir::cuda
