// SPDX-License-Identifier: Apache-2.0
//
// The driver's functions we use, found through the CUDA runtime, so that a program linked with weir starts on a
// machine without a driver.
//
// Why not the runtime's own calls: each of them that fails, and each query that answers "not ready", overwrites the
// calling thread's last error, cudaGetLastError(). A user's failed launch that nobody looked at yet would be
// swallowed, or ours be found in its place, and neither can be put back. The driver keeps no last error. It also has
// the current context on a stack, so a scope can put back exactly what was there, where cudaSetDevice(old) would
// create a context on a device that has none. Streams, events and native pools are the same objects in both.
#pragma once

#include <cuda.h>
#include <cudaTypedefs.h>

#include "weir/result.hpp"

namespace weir::cuda {

struct driver_api {
  PFN_cuDeviceGet_v2000 device_get;
  PFN_cuDeviceGetName_v2000 device_get_name;
  PFN_cuDeviceGetAttribute_v2000 device_get_attribute;
  PFN_cuDevicePrimaryCtxRetain_v7000 primary_context_retain;

  PFN_cuCtxGetCurrent_v4000 context_get_current;
  PFN_cuCtxPushCurrent_v4000 context_push;
  PFN_cuCtxPopCurrent_v4000 context_pop;
  PFN_cuCtxGetDevice_v2000 context_get_device;
  PFN_cuCtxEnablePeerAccess_v4000 context_enable_peer;
  PFN_cuThreadExchangeStreamCaptureMode_v10010 exchange_capture_mode;

  PFN_cuMemPoolCreate_v11020 pool_create;
  PFN_cuMemPoolDestroy_v11020 pool_destroy;
  PFN_cuMemPoolTrimTo_v11020 pool_trim;
  PFN_cuMemPoolGetAttribute_v11020 pool_get_attribute;
  PFN_cuMemPoolSetAttribute_v11020 pool_set_attribute;
  PFN_cuMemPoolSetAccess_v11020 pool_set_access;
  PFN_cuDeviceCanAccessPeer_v4000 device_can_access;
  PFN_cuMemPoolExportToShareableHandle_v11020 pool_export;
  PFN_cuMemPoolImportFromShareableHandle_v11020 pool_import;
  PFN_cuMemPoolExportPointer_v11020 pool_export_pointer;
  PFN_cuMemPoolImportPointer_v11020 pool_import_pointer;
  PFN_cuMemAllocFromPoolAsync_v11020 allocate_from_pool;
  PFN_cuMemFreeAsync_v11020 free_async;
  PFN_cuMemAlloc_v3020 allocate;
  PFN_cuMemFree_v3020 free;
  PFN_cuMemGetInfo_v3020 memory_info;
  PFN_cuMemHostRegister_v6050 host_register;
  PFN_cuMemHostUnregister_v4000 host_unregister;

  PFN_cuStreamCreate_v2000 stream_create;
  PFN_cuStreamDestroy_v4000 stream_destroy;
  PFN_cuStreamGetId_v12000 stream_get_id;
  PFN_cuStreamGetCtx_v9020 stream_get_context;
  PFN_cuStreamIsCapturing_v10000 stream_is_capturing;
  PFN_cuStreamQuery_v2000 stream_query;
  PFN_cuStreamSynchronize_v2000 stream_synchronize;
  PFN_cuStreamWaitEvent_v3020 stream_wait_event;

  PFN_cuEventCreate_v2000 event_create;
  PFN_cuEventDestroy_v4000 event_destroy;
  PFN_cuEventRecord_v2000 event_record;
  PFN_cuEventQuery_v2000 event_query;
  PFN_cuEventSynchronize_v2000 event_synchronize;
};

// The table, filled at the first call and kept. errc::no_cuda_device where there is no driver, errc::not_supported
// where it is older than CUDA 12.0. Makes no context.
result<const driver_api*> load_driver_api() noexcept;

}  // namespace weir::cuda
