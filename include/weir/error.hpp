// SPDX-License-Identifier: Apache-2.0
//
// What can go wrong, as values. Below the edges weir answers with `result<T>` whose error is this
// small struct; the C++ edge turns it into `out_of_memory`, `cuda_error` or `logic_error`.
//
//     if (auto block = pool.try_allocate(bytes, stream); !block)
//         log(block.error().message());
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "weir/export.hpp"

namespace weir {

struct memory_report;  // weir/memory_report.hpp

// One name per thing that can happen. The text of each is in `to_string`.
enum class errc {
  ok = 0,
  // The world says no.
  out_of_memory,       // `bytes` asked for, `limit` what could have been had; `report` says who holds the rest
  no_cuda_device,      // the CUDA backend is there, a device is not
  built_without_cuda,  // this build has no CUDA backend
  no_such_device,      // `bytes` is the ordinal asked for, `limit` the number of devices
  device_lost,         // a sticky CUDA error: an earlier kernel or the device failed; see `native_code`
  driver_unloading,    // the process exits and the CUDA runtime is gone
  cuda,                // any other CUDA error; see `native_code`
  not_supported,       // the platform or this backend cannot do it
  stream_capturing,    // the stream is being captured into a graph and the call needed the device
  // The caller is wrong.
  invalid_argument,
  invalid_alignment,  // `bytes` is the alignment: no power of two, or above the largest there is
  invalid_size,       // `bytes` is so near the top of size_t that rounding it would wrap
  null_pool,
  foreign_pointer,  // no allocation of this pool begins at that address
  double_free,
  size_mismatch,       // `bytes` given, `limit` what the block has
  wrong_device,        // a stream or a pool of another device
  stream_retired,      // the token was retired, or belongs to a pool that is gone
  stream_unsupported,  // a stream of a green or non-primary context
  limit_below_live,    // `bytes` asked for as limit, `limit` is what is live
  forked,              // used in a child of the process that made the pool
  // Ours.
  internal,
};

// A short fixed phrase for each code, e.g. "out of memory".
WEIR_EXPORT const char* to_string(errc) noexcept;

// `what` is a static string naming the thing that failed, or null. `bytes` and `limit` mean what the code's
// comment says, 0 where nothing is said. Copying never throws.
struct [[nodiscard]] error {
  errc code = errc::internal;
  int native_code = 0;  // cudaError_t where the runtime said no, else 0
  std::size_t bytes = 0;
  std::size_t limit = 0;
  const char* what = nullptr;
  std::shared_ptr<const memory_report> report = nullptr;  // out_of_memory of a pool only
  std::shared_ptr<const std::string> detail = nullptr;    // of options: the value given, and what is accepted; of peers

  // A sentence naming the thing, the value, the limit and what to do.
  WEIR_EXPORT std::string message() const;
};

// True for codes that mean a bug in the caller's program (double free, foreign pointer, …).
WEIR_EXPORT bool is_bug(errc) noexcept;

// Thrown by the C++ edge. what() is error::message().
class WEIR_EXPORT out_of_memory : public std::bad_alloc {
 public:
  explicit out_of_memory(weir::error);
  ~out_of_memory() override;
  const char* what() const noexcept override;
  const weir::error& error() const noexcept { return error_; }

 private:
  weir::error error_;
  std::shared_ptr<const std::string> message_;
};

class WEIR_EXPORT cuda_error : public std::runtime_error {
 public:
  explicit cuda_error(weir::error);
  ~cuda_error() override;
  const weir::error& error() const noexcept { return error_; }

 private:
  weir::error error_;
};

class WEIR_EXPORT logic_error : public std::logic_error {
 public:
  explicit logic_error(weir::error);
  ~logic_error() override;
  const weir::error& error() const noexcept { return error_; }

 private:
  weir::error error_;
};

// Throws the exception that fits the code: out_of_memory, cuda_error (device and driver), logic_error (the rest).
[[noreturn]] WEIR_EXPORT void raise(error);

// Told of a bug in the caller's program, or in weir, where the call at fault cannot answer (deallocate, destructors).
// The default writes one line to stderr and aborts. A handler that returns makes the call a no-op: nothing is
// freed, nothing is lost. Thread-safe; returns the handler before. Null restores the default.
using bug_handler = void (*)(const error&) noexcept;
WEIR_EXPORT bug_handler set_bug_handler(bug_handler) noexcept;
WEIR_EXPORT void report_bug(const error&) noexcept;

}  // namespace weir
