// SPDX-License-Identifier: Apache-2.0
//
// A driver that does nothing but remember: it takes the place of the CUDA runtime's five functions that weir calls, and
// hands out driver functions of its own. One thread at a time.
#pragma once

#include <cuda.h>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace weir::test {

struct fake_driver {
  std::vector<std::string> calls;           // every call but those of contexts and capture modes
  std::map<std::string, CUresult> answers;  // what a call fails with, until taken out
  std::vector<CUcontext> stack;             // contexts current, the last on top
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  int mode_exchanges = 0;
  std::set<CUstream> capturing;
  std::map<CUstream, CUcontext> contexts;  // of streams that are not of device 0's primary context
  std::set<void*> registered;              // pages of the host, by address
  bool calls_without_context = false;      // a call came while device 0's primary context was not on top
  bool calls_unrelaxed = false;            // a call came outside relaxed capture mode
  int pools_supported = 1;
  int peers = 1;                      // what cuDeviceCanAccessPeer says
  int accessible_from = -1;           // the last device that was given access to the pool
  int pool_handle_types = 1;          // what cudaDevAttrMemoryPoolSupportedHandleTypes says
  std::set<CUcontext> context_peers;  // contexts that may use device 0's
  std::vector<CUdeviceptr> imported;  // native allocations that were imported, and not freed
  std::size_t free_bytes = std::size_t{1} << 30, total_bytes = std::size_t{4} << 30;
  std::size_t pool_reserved = 0, pool_reserved_high = 0, pool_used = 0;

  bool called(const std::string& name) const;
  std::size_t count(const std::string& name) const;
};

inline constexpr int fake_device_count = 2;
inline constexpr CUdeviceptr imported_distance = 0x100000000000;  // of an imported address from the exporter's
CUcontext primary_context(int device);
// A context of that device which is not the primary one.
CUcontext other_context(int device);
CUstream fake_stream(int number);

// As at the start; returns the driver that stands in from now on.
fake_driver& reset_fake_driver();

}  // namespace weir::test
