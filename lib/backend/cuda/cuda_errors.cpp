// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/cuda_errors.hpp"

namespace weir::cuda {
namespace {

// The numbers are one list in two enumerations; these are the ones we lean on.
static_assert(static_cast<int>(CUDA_ERROR_OUT_OF_MEMORY) == static_cast<int>(cudaErrorMemoryAllocation));
static_assert(static_cast<int>(CUDA_ERROR_DEINITIALIZED) == static_cast<int>(cudaErrorCudartUnloading));
static_assert(static_cast<int>(CUDA_ERROR_NO_DEVICE) == static_cast<int>(cudaErrorNoDevice));
static_assert(static_cast<int>(CUDA_ERROR_INVALID_CONTEXT) == static_cast<int>(cudaErrorDeviceUninitialized));
static_assert(static_cast<int>(CUDA_ERROR_NOT_READY) == static_cast<int>(cudaErrorNotReady));
static_assert(static_cast<int>(CUDA_ERROR_ILLEGAL_ADDRESS) == static_cast<int>(cudaErrorIllegalAddress));
static_assert(static_cast<int>(CUDA_ERROR_LAUNCH_FAILED) == static_cast<int>(cudaErrorLaunchFailure));
static_assert(static_cast<int>(CUDA_ERROR_NOT_SUPPORTED) == static_cast<int>(cudaErrorNotSupported));
static_assert(static_cast<int>(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT) == static_cast<int>(cudaErrorStreamCaptureImplicit));

}  // namespace

errc to_errc(cudaError_t status) noexcept {
  switch (status) {
    case cudaSuccess: return errc::ok;
    case cudaErrorMemoryAllocation: return errc::out_of_memory;
    case cudaErrorCudartUnloading: return errc::driver_unloading;
    case cudaErrorInvalidDevice: return errc::no_such_device;

    // There is no device, or no driver that fits, or none that lets us in.
    case cudaErrorInitializationError:
    case cudaErrorStubLibrary:
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorDeviceNotLicensed:
    case cudaErrorStartupFailure:
    case cudaErrorSystemNotReady:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorMpsConnectionFailed:
    case cudaErrorMpsServerNotReady:
    case cudaErrorMpsMaxClientsReached:
    case cudaErrorMpsMaxConnectionsReached: return errc::no_cuda_device;

    case cudaErrorPeerAccessUnsupported:
    case cudaErrorTooManyPeers:
    case cudaErrorNotPermitted:
    case cudaErrorNotYetImplemented:
    case cudaErrorCallRequiresNewerDriver:
    case cudaErrorNotSupported: return errc::not_supported;

    // "This leaves the process in an inconsistent state and any further CUDA work will return the same error", or the
    // context is gone (cudaDeviceReset, cuDevicePrimaryCtxReset).
    case cudaErrorDeviceUninitialized:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsRpcFailure:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice: return errc::device_lost;

    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
    case cudaErrorStreamCaptureMerge:
    case cudaErrorStreamCaptureUnmatched:
    case cudaErrorStreamCaptureUnjoined:
    case cudaErrorStreamCaptureIsolation:
    case cudaErrorStreamCaptureImplicit:
    case cudaErrorCapturedEvent:
    case cudaErrorStreamCaptureWrongThread: return errc::stream_capturing;

    default: return errc::cuda;  // cudaErrorUnknown too: it is not documented to stay
  }
}

}  // namespace weir::cuda
