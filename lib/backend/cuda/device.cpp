// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/device.hpp"

#include "backend/cuda/call_scope.hpp"
#include "backend/cuda/runtime.hpp"
#include "weir/backend.hpp"

namespace weir {
namespace cuda {

result<int> count_devices() noexcept {
  if (const errc gone = process_state(); gone != errc::ok) return error{.code = gone, .what = "cudaGetDeviceCount"};
  int count = 0;
  const auto counted = call_runtime("cudaGetDeviceCount", [&] { return cudaGetDeviceCount(&count); });
  if (!counted) {
    // Whatever keeps the driver from starting (cudaErrorUnknown from a broken one), there is no device to be had.
    const errc code = counted.error().code == errc::cuda ? errc::no_cuda_device : counted.error().code;
    return error{.code = code, .native_code = counted.error().native_code, .what = "cudaGetDeviceCount"};
  }
  watch_process();
  if (count == 0) return error{.code = errc::no_cuda_device, .native_code = cudaErrorNoDevice};
  return count;
}

namespace {

result<void> require_native_pools(const driver_api& api, CUdevice handle) noexcept {
  int supported = 0;
  const CUresult status = api.device_get_attribute(&supported, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, handle);
  if (status != CUDA_SUCCESS) return to_error(status, "cuDeviceGetAttribute");
  if (!supported) return error{.code = errc::not_supported, .what = "memory pools (cudaDevAttrMemoryPoolsSupported)"};
  return {};
}

bool is_special(stream_handle stream) noexcept {
  return !stream || stream == legacy_stream() || stream == per_thread_stream();
}

}  // namespace

result<CUdevice> find_device(const driver_api& api, int ordinal) noexcept {
  const auto count = count_devices();
  if (!count) return count.error();
  if (ordinal < 0 || ordinal >= *count) {
    return error{.code = errc::no_such_device,
                 .native_code = cudaErrorInvalidDevice,
                 .bytes = static_cast<std::size_t>(ordinal),
                 .limit = static_cast<std::size_t>(*count)};
  }
  CUdevice handle = 0;
  if (const CUresult status = api.device_get(&handle, ordinal); status != CUDA_SUCCESS)
    return to_error(status, "cuDeviceGet");
  return handle;
}

result<device> open_device(int ordinal) noexcept {
  const auto loaded = load_driver_api();
  if (!loaded) return loaded.error();
  const driver_api& api = **loaded;
  const auto found = find_device(api, ordinal);
  if (!found) return found.error();
  device opened{.api = &api, .handle = *found, .ordinal = ordinal};
  if (auto pools = require_native_pools(api, opened.handle); !pools) return pools.error();
  const relaxed_capture_scope relaxed(api);
  if (const CUresult status = api.primary_context_retain(&opened.context, opened.handle); status != CUDA_SUCCESS)
    return to_error(status, "cuDevicePrimaryCtxRetain");
  return opened;
}

result<int> device_of_context(const driver_api& api, CUcontext context) noexcept {
  const context_scope current(api, context);
  if (current.status() != CUDA_SUCCESS) return to_error(current.status(), "cuCtxPushCurrent");
  CUdevice handle = 0;
  if (const CUresult status = api.context_get_device(&handle); status != CUDA_SUCCESS)
    return to_error(status, "cuCtxGetDevice");
  return static_cast<int>(handle);
}

namespace {

result<int> stream_device(const driver_api& api, stream_handle stream) noexcept {
  CUcontext context = nullptr;
  if (const CUresult status = api.stream_get_context(stream, &context); status != CUDA_SUCCESS)
    return to_error(status, "cuStreamGetCtx");
  return device_of_context(api, context);
}

}  // namespace
}  // namespace cuda

result<int> cuda_device_count() noexcept { return cuda::count_devices(); }

result<int> cuda_stream_device(stream_handle stream) noexcept {
  const auto api = cuda::load_driver_api();
  if (!api) return api.error();
  if (!cuda::is_special(stream)) return cuda::stream_device(**api, stream);
  int ordinal = 0;
  const auto asked = cuda::call_runtime("cudaGetDevice", [&] { return cudaGetDevice(&ordinal); });
  if (!asked) return asked.error();
  return ordinal;
}

}  // namespace weir
