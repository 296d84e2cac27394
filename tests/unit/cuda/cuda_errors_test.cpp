// SPDX-License-Identifier: Apache-2.0
//
// The table of errors, and what is answered where there is no device.
#include "backend/cuda/cuda_errors.hpp"

#include <catch2/catch_test_macros.hpp>
#include <cuda_runtime_api.h>

#include "weir/backend.hpp"

namespace weir {
namespace {

TEST_CASE("cuda errors: those that stay are told apart") {
  for (const cudaError_t status :
       {cudaErrorIllegalAddress, cudaErrorLaunchFailure, cudaErrorLaunchTimeout, cudaErrorHardwareStackError,
        cudaErrorIllegalInstruction, cudaErrorMisalignedAddress, cudaErrorInvalidAddressSpace, cudaErrorInvalidPc,
        cudaErrorAssert, cudaErrorECCUncorrectable, cudaErrorContextIsDestroyed, cudaErrorDeviceUninitialized,
        cudaErrorMpsRpcFailure}) {
    CAPTURE(cudaGetErrorName(status));
    CHECK(cuda::to_errc(status) == errc::device_lost);
  }
  for (const cudaError_t status : {cudaErrorInvalidValue, cudaErrorLaunchOutOfResources, cudaErrorNotReady,
                                   cudaErrorInvalidConfiguration, cudaErrorUnknown}) {
    CAPTURE(cudaGetErrorName(status));
    CHECK(cuda::to_errc(status) == errc::cuda);
  }
}

TEST_CASE("cuda errors: each kind has its code") {
  CHECK(cuda::to_errc(cudaSuccess) == errc::ok);
  CHECK(cuda::to_errc(cudaErrorMemoryAllocation) == errc::out_of_memory);
  CHECK(cuda::to_errc(cudaErrorCudartUnloading) == errc::driver_unloading);
  CHECK(cuda::to_errc(cudaErrorNoDevice) == errc::no_cuda_device);
  CHECK(cuda::to_errc(cudaErrorInsufficientDriver) == errc::no_cuda_device);
  CHECK(cuda::to_errc(cudaErrorStubLibrary) == errc::no_cuda_device);
  CHECK(cuda::to_errc(cudaErrorInvalidDevice) == errc::no_such_device);
  CHECK(cuda::to_errc(cudaErrorNotSupported) == errc::not_supported);
  CHECK(cuda::to_errc(cudaErrorStreamCaptureImplicit) == errc::stream_capturing);
  CHECK(cuda::to_errc(cudaErrorStreamCaptureUnsupported) == errc::stream_capturing);
  CHECK(cuda::to_errc(cudaErrorCapturedEvent) == errc::stream_capturing);
}

TEST_CASE("cuda errors: the driver's numbers are the runtime's") {
  const error e = cuda::to_error(CUDA_ERROR_ILLEGAL_ADDRESS, "cuEventQuery");
  CHECK(e.code == errc::device_lost);
  CHECK(e.native_code == cudaErrorIllegalAddress);
  CHECK(e.message().find("cuEventQuery") != std::string::npos);
}

// Without a driver the runtime's last error always reads as that, so there is nothing to be seen of it here.
TEST_CASE("no device: said so, with the runtime's reason") {
  const auto count = cuda_device_count();
  if (count) SKIP("there is a device");
  CHECK(count.error().code == errc::no_cuda_device);
  CHECK(count.error().native_code != 0);
  CHECK(make_cuda_backend(0).error().code == errc::no_cuda_device);
  CHECK(cuda_stream_device(legacy_stream()).error().code == errc::no_cuda_device);
}

}  // namespace
}  // namespace weir
