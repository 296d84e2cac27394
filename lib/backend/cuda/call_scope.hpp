// SPDX-License-Identifier: Apache-2.0
//
// What surrounds every call of the backend.
#pragma once

#include "backend/cuda/cuda_errors.hpp"
#include "backend/cuda/driver_api.hpp"
#include "backend/cuda/process_state.hpp"
#include "weir/stream.hpp"

namespace weir::cuda {

// Makes a device's primary context current and puts back what was: another device's, a context of the driver
// interface, or none (a thread that never used CUDA keeps having none, so that its first call still makes its own).
// Does nothing where the context is current already.
class context_scope {
 public:
  context_scope(const driver_api& api, CUcontext context) noexcept : api_(api) {
    CUcontext current = nullptr;
    status_ = api_.context_get_current(&current);
    if (status_ != CUDA_SUCCESS || current == context) return;
    status_ = api_.context_push(context);
    pushed_ = status_ == CUDA_SUCCESS;
  }
  ~context_scope() {
    CUcontext popped = nullptr;
    if (pushed_) (void)api_.context_pop(&popped);
  }
  context_scope(const context_scope&) = delete;
  context_scope& operator=(const context_scope&) = delete;

  CUresult status() const noexcept { return status_; }

 private:
  const driver_api& api_;
  CUresult status_;
  bool pushed_ = false;
};

// Lets this thread make calls that would break a capture elsewhere if they were captured: they are not, since no
// capturing stream is given to them.
class relaxed_capture_scope {
 public:
  explicit relaxed_capture_scope(const driver_api& api) noexcept : api_(api) {
    exchanged_ = api_.exchange_capture_mode(&mode_) == CUDA_SUCCESS;
  }
  ~relaxed_capture_scope() {
    if (exchanged_) (void)api_.exchange_capture_mode(&mode_);
  }
  relaxed_capture_scope(const relaxed_capture_scope&) = delete;
  relaxed_capture_scope& operator=(const relaxed_capture_scope&) = delete;

 private:
  const driver_api& api_;
  CUstreamCaptureMode mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;
  bool exchanged_ = false;
};

// True while the stream is being captured, or takes no work because another is: the legacy stream answers
// cudaErrorStreamCaptureImplicit while a blocking stream of its device is being captured. Harms no capture.
inline result<bool> is_capturing(const driver_api& api, stream_handle stream) noexcept {
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  const CUresult answer = api.stream_is_capturing(stream, &status);
  if (answer == CUDA_ERROR_STREAM_CAPTURE_IMPLICIT) return true;
  if (answer != CUDA_SUCCESS) return to_error(answer, "cuStreamIsCapturing");
  return status != CU_STREAM_CAPTURE_STATUS_NONE;
}

// Runs `call`, which answers CUresult, with the context current and captures safe. errc::forked and
// errc::driver_unloading before anything is touched.
template <class Call>
result<void> call_driver(const driver_api& api, CUcontext context, const char* what, Call&& call) noexcept {
  if (const errc gone = process_state(); gone != errc::ok) return error{.code = gone, .what = what};
  const context_scope current(api, context);
  if (current.status() != CUDA_SUCCESS) return to_error(current.status(), what);
  const relaxed_capture_scope relaxed(api);
  return to_result(call(), what);
}

// The same for work on a stream: one that is being captured is refused before it is touched.
template <class Call>
result<void> call_on_stream(const driver_api& api, CUcontext context, stream_handle stream, const char* what,
                            Call&& call) noexcept {
  if (const errc gone = process_state(); gone != errc::ok) return error{.code = gone, .what = what};
  const context_scope current(api, context);
  if (current.status() != CUDA_SUCCESS) return to_error(current.status(), what);
  const relaxed_capture_scope relaxed(api);
  const auto capturing = is_capturing(api, stream);
  if (!capturing) return capturing.error();
  if (*capturing) return error{.code = errc::stream_capturing, .what = what};
  return to_result(call(), what);
}

}  // namespace weir::cuda
