// SPDX-License-Identifier: Apache-2.0
//
// What every test on a device needs: the device, or a visible skip; streams and events of the test's own; a counter of
// bytes that were not as written.
#pragma once

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <cuda_runtime_api.h>
#include <string>
#include <type_traits>

#include "weir/backend.hpp"

// A call of the CUDA runtime by the test itself. From any thread, as value_of: Catch2, which is for one at a time,
// hears of failures only.
#define WEIR_CUDA_OK(call)                                                                  \
  do {                                                                                      \
    const cudaError_t weir_status = (call);                                                 \
    if (weir_status != cudaSuccess) FAIL(#call << ": " << cudaGetErrorString(weir_status)); \
  } while (false)

namespace weir::test {

inline constexpr std::size_t KiB = std::size_t{1} << 10;
inline constexpr std::size_t MiB = std::size_t{1} << 20;
inline constexpr std::size_t GiB = std::size_t{1} << 30;

// Skips the case where there is no device, fails it there when WEIR_REQUIRE_GPU=1. Loads the kernels once, since the
// first launch of a kernel may synchronise.
void require_devices(int count = 1);
inline void require_device() { require_devices(1); }

// The value, or a failed test that says why there is none.
template <class T>
T value_of(result<T> r) {
  if (!r) FAIL(r.error().message());
  if constexpr (!std::is_void_v<T>) return *std::move(r);
}

// errc::ok where there is a value.
template <class T>
errc code_of(const result<T>& r) {
  return r ? errc::ok : r.error().code;
}

// Makes a device current for a scope.
class on_device {
 public:
  explicit on_device(int device) {
    WEIR_CUDA_OK(cudaGetDevice(&before_));
    WEIR_CUDA_OK(cudaSetDevice(device));
  }
  ~on_device() { (void)cudaSetDevice(before_); }
  on_device(const on_device&) = delete;
  on_device& operator=(const on_device&) = delete;

 private:
  int before_ = 0;
};

class gpu_stream {
 public:
  explicit gpu_stream(unsigned flags = cudaStreamNonBlocking) {
    WEIR_CUDA_OK(cudaStreamCreateWithFlags(&handle_, flags));
  }
  ~gpu_stream() { (void)cudaStreamDestroy(handle_); }
  gpu_stream(const gpu_stream&) = delete;
  gpu_stream& operator=(const gpu_stream&) = delete;

  operator cudaStream_t() const noexcept { return handle_; }
  void synchronize() const { WEIR_CUDA_OK(cudaStreamSynchronize(handle_)); }

 private:
  cudaStream_t handle_ = nullptr;
};

// Work put on `later` after the call runs after what `earlier` has now.
void order(cudaStream_t earlier, cudaStream_t later);

// Counts on the device; read once all work is done.
class mismatch_counter {
 public:
  mismatch_counter();
  ~mismatch_counter();
  mismatch_counter(const mismatch_counter&) = delete;
  mismatch_counter& operator=(const mismatch_counter&) = delete;

  void check(const void* begin, std::size_t bytes, std::uint32_t seed, cudaStream_t);
  // Of two ranges of whole words.
  void compare(const void* one, const void* other, std::size_t bytes, cudaStream_t);
  // Synchronises the device.
  unsigned long long total() const;

 private:
  unsigned long long* device_ = nullptr;
};

}  // namespace weir::test
