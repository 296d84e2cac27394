// SPDX-License-Identifier: Apache-2.0
//
// Contexts and devices: what was current stays so, streams of other contexts and devices are refused by name.
#include <cuda.h>
#include <cudaTypedefs.h>
#include <thread>

#include "gpu.hpp"

namespace weir::test {
namespace {

// A function of the driver interface, of the version its typedef has; null where the driver has none.
template <class Function>
Function driver_function(const char* name, unsigned version) {
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  WEIR_CUDA_OK(cudaGetDriverEntryPointByVersion(name, &address, version, cudaEnableLegacyStream, &found));
  return reinterpret_cast<Function>(address);
}

#define WEIR_DRIVER_OK(call) REQUIRE(static_cast<int>(call) == static_cast<int>(CUDA_SUCCESS))

TEST_CASE("context: a thread that never used CUDA still has none after our calls") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  const auto get_current = driver_function<PFN_cuCtxGetCurrent_v4000>("cuCtxGetCurrent", 12000);
  CUcontext after = reinterpret_cast<CUcontext>(1);
  bool worked = false;
  std::thread([&] {
    const auto block = target->allocate(MiB, target->own_stream());
    worked = block && target->deallocate(*block, target->own_stream()) && target->memory() &&
             target->examine(legacy_stream()) && target->identify(per_thread_stream());
    (void)get_current(&after);
  }).join();
  CHECK(worked);
  CHECK(after == nullptr);
}

TEST_CASE("context: the one that was current is put back") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  const auto create = driver_function<PFN_cuCtxCreate_v3020>("cuCtxCreate", 11030);
  const auto destroy = driver_function<PFN_cuCtxDestroy_v4000>("cuCtxDestroy", 12000);
  const auto get_current = driver_function<PFN_cuCtxGetCurrent_v4000>("cuCtxGetCurrent", 12000);
  CUcontext mine = nullptr;
  WEIR_DRIVER_OK(create(&mine, 0, 0));  // and makes it current
  CUcontext after = nullptr;
  {
    void* block = value_of(target->allocate(MiB, target->own_stream()));
    value_of(target->deallocate(block, target->own_stream()));
    WEIR_DRIVER_OK(get_current(&after));
  }
  WEIR_DRIVER_OK(destroy(mine));
  CHECK(after == mine);
}

TEST_CASE("context: a stream of another context of the device is refused by name") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  const auto create = driver_function<PFN_cuCtxCreate_v3020>("cuCtxCreate", 11030);
  const auto destroy = driver_function<PFN_cuCtxDestroy_v4000>("cuCtxDestroy", 12000);
  const auto create_stream = driver_function<PFN_cuStreamCreate_v2000>("cuStreamCreate", 12000);
  CUcontext mine = nullptr;
  WEIR_DRIVER_OK(create(&mine, 0, 0));
  CUstream stream = nullptr;
  WEIR_DRIVER_OK(create_stream(&stream, CU_STREAM_NON_BLOCKING));
  const errc answered = code_of(target->examine(stream));
  const auto device = cuda_stream_device(stream);
  WEIR_DRIVER_OK(destroy(mine));  // and its stream
  CHECK(answered == errc::stream_unsupported);
  CHECK(value_of(device) == 0);
}

TEST_CASE("context: a stream of a green context is refused by name") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  const auto get_resource = driver_function<PFN_cuDeviceGetDevResource_v12040>("cuDeviceGetDevResource", 12040);
  const auto split = driver_function<PFN_cuDevSmResourceSplitByCount_v12040>("cuDevSmResourceSplitByCount", 12040);
  const auto describe = driver_function<PFN_cuDevResourceGenerateDesc_v12040>("cuDevResourceGenerateDesc", 12040);
  const auto create = driver_function<PFN_cuGreenCtxCreate_v12040>("cuGreenCtxCreate", 12040);
  const auto destroy = driver_function<PFN_cuGreenCtxDestroy_v12040>("cuGreenCtxDestroy", 12040);
  const auto create_stream = driver_function<PFN_cuGreenCtxStreamCreate_v12050>("cuGreenCtxStreamCreate", 12050);
  const auto destroy_stream = driver_function<PFN_cuStreamDestroy_v4000>("cuStreamDestroy", 12000);
  if (!get_resource || !split || !describe || !create || !destroy || !create_stream)
    SKIP("a driver without green contexts");
  CUdevResource all{}, part{}, rest{};
  unsigned groups = 1;
  CUdevResourceDesc description = nullptr;
  CUgreenCtx green = nullptr;
  CUstream stream = nullptr;
  WEIR_DRIVER_OK(get_resource(0, &all, CU_DEV_RESOURCE_TYPE_SM));
  WEIR_DRIVER_OK(split(&part, &groups, &all, &rest, 0, 8));
  WEIR_DRIVER_OK(describe(&description, &part, 1));
  WEIR_DRIVER_OK(create(&green, description, 0, CU_GREEN_CTX_DEFAULT_STREAM));
  WEIR_DRIVER_OK(create_stream(&stream, green, CU_STREAM_NON_BLOCKING, 0));
  const errc answered = code_of(target->examine(stream));
  WEIR_DRIVER_OK(destroy_stream(stream));
  WEIR_DRIVER_OK(destroy(green));
  CHECK(answered == errc::stream_unsupported);
}

TEST_CASE("stream device: told before there is a backend, special handles mean the current one") {
  require_device();
  gpu_stream stream;
  CHECK(value_of(cuda_stream_device(stream)) == 0);
  CHECK(value_of(cuda_stream_device(legacy_stream())) == 0);
  CHECK(value_of(cuda_stream_device(per_thread_stream())) == 0);
}

TEST_CASE("two devices: streams are told apart and the current device stays") {
  require_devices(2);
  auto second = value_of(make_cuda_backend(1));
  int current = -1;
  WEIR_CUDA_OK(cudaGetDevice(&current));
  CHECK(current == 0);
  gpu_stream on_first;
  CHECK(code_of(second->examine(on_first)) == errc::wrong_device);
  CHECK(value_of(second->examine(second->own_stream())).device == 1);
  CHECK(value_of(cuda_stream_device(second->own_stream())) == 1);
  void* block = value_of(second->allocate(MiB, legacy_stream()));
  cudaPointerAttributes attributes{};
  WEIR_CUDA_OK(cudaPointerGetAttributes(&attributes, block));
  CHECK(attributes.device == 1);
  value_of(second->deallocate(block, legacy_stream()));
  WEIR_CUDA_OK(cudaGetDevice(&current));
  CHECK(current == 0);
}

}  // namespace
}  // namespace weir::test
