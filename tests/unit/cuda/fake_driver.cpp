// SPDX-License-Identifier: Apache-2.0
#include "fake_driver.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <cuda_runtime_api.h>
#include <string_view>

namespace weir::test {
namespace {

fake_driver driver;

template <class Handle>
Handle handle(std::uintptr_t number) {
  return reinterpret_cast<Handle>(number);
}

int device_of(CUcontext context) { return static_cast<int>(reinterpret_cast<std::uintptr_t>(context) & 0xf); }

CUresult answer(const char* name) {
  driver.calls.emplace_back(name);
  const auto found = driver.answers.find(name);
  return found == driver.answers.end() ? CUDA_SUCCESS : found->second;
}

// A call that needs the device's context current, and one that a capture elsewhere would mind.
CUresult in_context(const char* name) {
  driver.calls_without_context |= driver.stack.empty() || driver.stack.back() != primary_context(0);
  return answer(name);
}
// One that needs a context, whichever, and for a stream of its own context only: the special handles mean the current
// one's.
CUresult in_any_context(const char* name, CUstream stream) {
  if (stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD) return in_context(name);
  return driver.stack.empty() ? CUDA_ERROR_INVALID_CONTEXT : answer(name);
}
CUresult guarded(const char* name) {
  driver.calls_unrelaxed |= driver.mode != CU_STREAM_CAPTURE_MODE_RELAXED;
  return in_context(name);
}

CUresult device_get(CUdevice* out, int ordinal) { return *out = ordinal, answer("cuDeviceGet"); }
CUresult device_get_name(char* name, int bytes, CUdevice) {
  std::snprintf(name, static_cast<std::size_t>(bytes), "Fake");
  return answer("cuDeviceGetName");
}
CUresult device_get_attribute(int* out, CUdevice_attribute attribute, CUdevice) {
  const bool types = attribute == CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES;
  return *out = types ? driver.pool_handle_types : driver.pools_supported, answer("cuDeviceGetAttribute");
}
// The current context is let into another.
CUresult context_enable_peer(CUcontext home, unsigned) {
  const CUresult answered = answer("cuCtxEnablePeerAccess");
  if (answered != CUDA_SUCCESS) return answered;
  if (home != primary_context(0) || driver.stack.back() == home) return CUDA_ERROR_INVALID_CONTEXT;
  return driver.context_peers.insert(driver.stack.back()).second ? CUDA_SUCCESS
                                                                 : CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
}
CUresult context_retain(CUcontext* out, CUdevice device) {
  return *out = primary_context(device), answer("cuDevicePrimaryCtxRetain");
}

CUresult context_get_current(CUcontext* out) {
  *out = driver.stack.empty() ? nullptr : driver.stack.back();
  return CUDA_SUCCESS;
}
CUresult context_push(CUcontext context) { return driver.stack.push_back(context), CUDA_SUCCESS; }
CUresult context_pop(CUcontext* out) {
  *out = driver.stack.back();
  driver.stack.pop_back();
  return CUDA_SUCCESS;
}
CUresult context_get_device(CUdevice* out) { return *out = device_of(driver.stack.back()), CUDA_SUCCESS; }
CUresult exchange_mode(CUstreamCaptureMode* mode) {
  ++driver.mode_exchanges;
  return std::swap(*mode, driver.mode), CUDA_SUCCESS;
}

CUresult pool_create(CUmemoryPool* out, const CUmemPoolProps*) {
  return *out = handle<CUmemoryPool>(0x700), guarded("cuMemPoolCreate");
}
CUresult pool_destroy(CUmemoryPool) { return guarded("cuMemPoolDestroy"); }
CUresult pool_set_access(CUmemoryPool, const CUmemAccessDesc* access, std::size_t) {
  driver.accessible_from = access->location.id;
  return guarded("cuMemPoolSetAccess");
}
CUresult can_access(int* can, CUdevice, CUdevice) { return *can = driver.peers, answer("cuDeviceCanAccessPeer"); }
CUresult pool_trim(CUmemoryPool, std::size_t) { return guarded("cuMemPoolTrimTo"); }
CUresult pool_get(CUmemoryPool, CUmemPool_attribute attribute, void* out) {
  auto& value = *static_cast<cuuint64_t*>(out);
  if (attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) value = driver.pool_reserved;
  if (attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH) value = driver.pool_reserved_high;
  if (attribute == CU_MEMPOOL_ATTR_USED_MEM_CURRENT) value = driver.pool_used;
  return guarded("cuMemPoolGetAttribute");
}
CUresult pool_set(CUmemoryPool, CUmemPool_attribute, void*) { return guarded("cuMemPoolSetAttribute"); }
CUresult pool_export(void* out, CUmemoryPool, CUmemAllocationHandleType type, unsigned long long) {
  if (type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) *static_cast<int*>(out) = 42;
  if (type == CU_MEM_HANDLE_TYPE_FABRIC) *static_cast<unsigned char*>(out) = 43;
  return guarded("cuMemPoolExportToShareableHandle");
}
CUresult pool_import(CUmemoryPool* out, void* from, CUmemAllocationHandleType type, unsigned long long) {
  const CUresult answered = guarded("cuMemPoolImportFromShareableHandle");
  const bool right = type == CU_MEM_HANDLE_TYPE_FABRIC ? *static_cast<unsigned char*>(from) == 43
                                                       : reinterpret_cast<std::uintptr_t>(from) == 42;
  return *out = handle<CUmemoryPool>(0x701), right ? answered : CUDA_ERROR_INVALID_VALUE;
}
// The data is the address, and one allocation is imported once at a time.
CUresult pool_export_pointer(CUmemPoolPtrExportData* out, CUdeviceptr pointer) {
  std::memcpy(out, &pointer, sizeof pointer);
  return guarded("cuMemPoolExportPointer");
}
CUresult pool_import_pointer(CUdeviceptr* out, CUmemoryPool, CUmemPoolPtrExportData* data) {
  const CUresult answered = guarded("cuMemPoolImportPointer");
  std::memcpy(out, data, sizeof *out);
  *out += imported_distance;
  if (std::count(driver.imported.begin(), driver.imported.end(), *out)) return CUDA_ERROR_INVALID_VALUE;
  if (answered == CUDA_SUCCESS) driver.imported.push_back(*out);
  return answered;
}
// Fresh addresses, as far apart as any test's blocks are long.
CUresult allocate_from_pool(CUdeviceptr* out, std::size_t, CUmemoryPool, CUstream) {
  const auto before = static_cast<CUdeviceptr>(driver.count("cuMemAllocFromPoolAsync"));
  return *out = 0x10000 + (before << 31), guarded("cuMemAllocFromPoolAsync");
}
CUresult free_async(CUdeviceptr, CUstream) { return guarded("cuMemFreeAsync"); }
CUresult allocate(CUdeviceptr* out, std::size_t) { return *out = 0x20000, guarded("cuMemAlloc"); }
CUresult free_(CUdeviceptr pointer) { return std::erase(driver.imported, pointer), guarded("cuMemFree"); }
CUresult memory_info(std::size_t* free_bytes, std::size_t* total) {
  *free_bytes = driver.free_bytes;
  *total = driver.total_bytes;
  return guarded("cuMemGetInfo");
}
CUresult host_register(void* begin, std::size_t bytes, unsigned) {
  const CUresult answered = guarded("cuMemHostRegister");
  if (answered != CUDA_SUCCESS) return answered;
  if (reinterpret_cast<std::uintptr_t>(begin) % 4096 || !bytes || bytes % 4096) return CUDA_ERROR_INVALID_VALUE;
  return driver.registered.insert(begin).second ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
}
CUresult host_unregister(void* begin) {
  const CUresult answered = guarded("cuMemHostUnregister");
  if (answered != CUDA_SUCCESS) return answered;
  return driver.registered.erase(begin) ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}

CUresult stream_create(CUstream* out, unsigned) { return *out = fake_stream(99), guarded("cuStreamCreate"); }
CUresult stream_destroy(CUstream) { return guarded("cuStreamDestroy"); }
CUresult stream_get_id(CUstream stream, unsigned long long* out) {
  *out = reinterpret_cast<std::uintptr_t>(stream) + 1000;
  const CUresult answered = in_any_context("cuStreamGetId", stream);
  return driver.capturing.count(stream) ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : answered;
}
CUresult stream_get_context(CUstream stream, CUcontext* out) {
  const auto found = driver.contexts.find(stream);
  *out = found == driver.contexts.end() ? primary_context(0) : found->second;
  return answer("cuStreamGetCtx");
}
CUresult stream_is_capturing(CUstream stream, CUstreamCaptureStatus* out) {
  *out = driver.capturing.count(stream) ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
  return in_any_context("cuStreamIsCapturing", stream);
}
CUresult stream_query(CUstream) { return guarded("cuStreamQuery"); }
CUresult stream_synchronize(CUstream) { return guarded("cuStreamSynchronize"); }
CUresult stream_wait(CUstream, CUevent, unsigned) { return guarded("cuStreamWaitEvent"); }

CUresult event_create(CUevent* out, unsigned) { return *out = handle<CUevent>(0x800), guarded("cuEventCreate"); }
CUresult event_destroy(CUevent) { return guarded("cuEventDestroy"); }
CUresult event_record(CUevent, CUstream) { return guarded("cuEventRecord"); }
CUresult event_query(CUevent) { return guarded("cuEventQuery"); }
CUresult event_synchronize(CUevent) { return guarded("cuEventSynchronize"); }

template <class Function>
void* address(Function* function) {
  return reinterpret_cast<void*>(function);
}

const std::map<std::string_view, void*> functions{
    {"cuDeviceGet", address(device_get)},
    {"cuDeviceGetName", address(device_get_name)},
    {"cuDeviceGetAttribute", address(device_get_attribute)},
    {"cuDevicePrimaryCtxRetain", address(context_retain)},
    {"cuCtxGetCurrent", address(context_get_current)},
    {"cuCtxPushCurrent", address(context_push)},
    {"cuCtxPopCurrent", address(context_pop)},
    {"cuCtxGetDevice", address(context_get_device)},
    {"cuThreadExchangeStreamCaptureMode", address(exchange_mode)},
    {"cuMemPoolCreate", address(pool_create)},
    {"cuMemPoolDestroy", address(pool_destroy)},
    {"cuMemPoolSetAccess", address(pool_set_access)},
    {"cuDeviceCanAccessPeer", address(can_access)},
    {"cuCtxEnablePeerAccess", address(context_enable_peer)},
    {"cuMemPoolExportToShareableHandle", address(pool_export)},
    {"cuMemPoolImportFromShareableHandle", address(pool_import)},
    {"cuMemPoolExportPointer", address(pool_export_pointer)},
    {"cuMemPoolImportPointer", address(pool_import_pointer)},
    {"cuMemPoolTrimTo", address(pool_trim)},
    {"cuMemPoolGetAttribute", address(pool_get)},
    {"cuMemPoolSetAttribute", address(pool_set)},
    {"cuMemAllocFromPoolAsync", address(allocate_from_pool)},
    {"cuMemFreeAsync", address(free_async)},
    {"cuMemAlloc", address(allocate)},
    {"cuMemFree", address(free_)},
    {"cuMemGetInfo", address(memory_info)},
    {"cuMemHostRegister", address(host_register)},
    {"cuMemHostUnregister", address(host_unregister)},
    {"cuStreamCreate", address(stream_create)},
    {"cuStreamDestroy", address(stream_destroy)},
    {"cuStreamGetId", address(stream_get_id)},
    {"cuStreamGetCtx", address(stream_get_context)},
    {"cuStreamIsCapturing", address(stream_is_capturing)},
    {"cuStreamQuery", address(stream_query)},
    {"cuStreamSynchronize", address(stream_synchronize)},
    {"cuStreamWaitEvent", address(stream_wait)},
    {"cuEventCreate", address(event_create)},
    {"cuEventDestroy", address(event_destroy)},
    {"cuEventRecord", address(event_record)},
    {"cuEventQuery", address(event_query)},
    {"cuEventSynchronize", address(event_synchronize)},
};

}  // namespace

bool fake_driver::called(const std::string& name) const { return count(name) > 0; }
std::size_t fake_driver::count(const std::string& name) const {
  return static_cast<std::size_t>(std::count(calls.begin(), calls.end(), name));
}

CUcontext primary_context(int device) { return handle<CUcontext>(0x500U + static_cast<unsigned>(device)); }
CUcontext other_context(int device) { return handle<CUcontext>(0x600U + static_cast<unsigned>(device)); }
CUstream fake_stream(int number) { return handle<CUstream>(0x900U + static_cast<unsigned>(number)); }

fake_driver& reset_fake_driver() { return driver = fake_driver{}; }

void* fake_function(const char* name) {
  const auto found = functions.find(name);
  return found == functions.end() ? nullptr : found->second;
}

}  // namespace weir::test

// The runtime, as far as weir calls it.
extern "C" {
cudaError_t cudaGetDeviceCount(int* count) { return *count = weir::test::fake_device_count, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 1, cudaSuccess; }
cudaError_t cudaPeekAtLastError() { return cudaSuccess; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** out, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
  *out = weir::test::fake_function(name);
  *found = *out ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
}
