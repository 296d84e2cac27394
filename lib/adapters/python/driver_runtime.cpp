// SPDX-License-Identifier: Apache-2.0
//
// The five calls of the CUDA runtime that weir makes, on the driver: so that libweir_torch.so has no runtime in it. One
// linked in would bring 12 KiB of thread-local storage, which a library that is loaded while a program runs does not
// get beside weir's own. The names stay inside the library (exports.map).
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

namespace {

// Never closed: what was found is called until the process ends.
void* driver() {
  static void* const handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  return handle;
}

template <class Function>
Function* find(const char* name) {
  return driver() ? reinterpret_cast<Function*>(dlsym(driver(), name)) : nullptr;
}

// The numbers of the two interfaces agree as far as these calls fail.
cudaError_t to_runtime(CUresult status) { return static_cast<cudaError_t>(status); }

cudaError_t initialise() {
  const auto init = find<CUresult(unsigned)>("cuInit");
  return init ? to_runtime(init(0)) : cudaErrorInsufficientDriver;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (const cudaError_t status = initialise(); status != cudaSuccess) return status;
  const auto get = find<CUresult(int*)>("cuDeviceGetCount");
  return get ? to_runtime(get(count)) : cudaErrorInsufficientDriver;
}

// Of the current context, which the host's runtime has made current; else the first.
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  CUdevice current = 0;
  const auto get = find<CUresult(CUdevice*)>("cuCtxGetDevice");
  if (get && get(&current) == CUDA_SUCCESS) *device = current;
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned version,
                                             unsigned long long flags, cudaDriverEntryPointQueryResult* found) {
  using get_address = CUresult(const char*, void**, int, cuuint64_t, CUdriverProcAddressQueryResult*);
  const auto get = find<get_address>("cuGetProcAddress_v2");
  if (!get) return cudaErrorInsufficientDriver;
  CUdriverProcAddressQueryResult how = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  const CUresult status = get(name, function, static_cast<int>(version), flags, &how);
  *found = static_cast<cudaDriverEntryPointQueryResult>(how);
  return to_runtime(status);
}

// It has no last error to disturb.
cudaError_t cudaPeekAtLastError(void) { return cudaSuccess; }
cudaError_t cudaGetLastError(void) { return cudaSuccess; }
}
