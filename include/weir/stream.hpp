// SPDX-License-Identifier: Apache-2.0
//
// How weir speaks of streams. No CUDA header is needed: cudaStream_t is CUstream_st*.
//
//     weir::stream s = pool.stream(handle).value();   // a token: identity checked once, no look-up afterwards
//     void* p = pool.allocate(bytes, s);              // the fast way
//     void* q = pool.allocate(bytes, handle);         // a raw handle: identity verified at every call
#pragma once

#include <cstdint>
#include <utility>

#include "weir/export.hpp"

struct CUstream_st;

namespace weir {

// cudaStream_t. Null means the default stream of the translation unit that says it (raw_stream, below).
using stream_handle = ::CUstream_st*;

// CUDA's special handles, the same in every translation unit.
inline stream_handle legacy_stream() noexcept { return reinterpret_cast<stream_handle>(std::uintptr_t{1}); }
inline stream_handle per_thread_stream() noexcept { return reinterpret_cast<stream_handle>(std::uintptr_t{2}); }

namespace detail {

struct legacy_by_default {
  static stream_handle handle() noexcept { return legacy_stream(); }
};
struct per_thread_by_default {
  static stream_handle handle() noexcept { return per_thread_stream(); }
};
// The caller's compile flag decides what null means; as a template argument it keeps both kinds of translation unit
// apart in one program.
#if defined(CUDA_API_PER_THREAD_DEFAULT_STREAM) || defined(__CUDA_API_PER_THREAD_DEFAULT_STREAM)
using default_stream_mode = per_thread_by_default;
#else
using default_stream_mode = legacy_by_default;
#endif

class stream_state;  // lib/pool

// Shared ownership of a stream's state, for the token alone.
WEIR_EXPORT void retain(stream_state*) noexcept;
WEIR_EXPORT void release(stream_state*) noexcept;

}  // namespace detail

// A handle as the caller has it, null resolved. Never null.
class raw_stream {
 public:
  template <class Mode = detail::default_stream_mode>
  raw_stream(stream_handle handle, Mode = {}) noexcept : handle_(handle ? handle : Mode::handle()) {}

  stream_handle handle() const noexcept { return handle_; }

 private:
  stream_handle handle_;
};

// A token for one stream of one pool, from pool::stream(). Cheap to copy; it keeps the stream's bookkeeping alive, not
// the stream. Empty when default-constructed. After pool::retire(), or once the pool is gone, calls with it answer
// errc::stream_retired.
class stream {
 public:
  stream() = default;
  stream(const stream& other) noexcept : state_(other.state_) {
    if (state_) detail::retain(state_);
  }
  stream(stream&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  stream& operator=(stream other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~stream() {
    if (state_) detail::release(state_);
  }

  explicit operator bool() const noexcept { return state_ != nullptr; }
  friend bool operator==(const stream&, const stream&) = default;

  // The handle the token was made from; null once retired. Precondition of both: not empty.
  WEIR_EXPORT stream_handle handle() const noexcept;
  // Unique for the life of the process (cudaStreamGetId).
  WEIR_EXPORT std::uint64_t id() const noexcept;

  // For lib/ alone.
  explicit stream(detail::stream_state* state) noexcept : state_(state) {
    if (state_) detail::retain(state_);
  }
  detail::stream_state* state() const noexcept { return state_; }

 private:
  detail::stream_state* state_ = nullptr;
};

}  // namespace weir
