// SPDX-License-Identifier: Apache-2.0
//
// An owning range of device memory that knows its pool and its stream.
//
//     weir::buffer<float> x(pool, n, stream);     // n elements, not constructed, not initialised
//     kernel<<<…, handle>>>(x.data(), x.count());
//     x.free_on(other);                            // or let it go: freed on `stream` in order
#pragma once

#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include "weir/pool.hpp"

namespace weir {

template <class T>
class buffer {
  static_assert(std::is_trivially_destructible_v<T>, "no destructor runs on the device");

 public:
  using value_type = T;

  buffer() = default;
  // Throws as pool::allocate does. The pool must outlive the buffer.
  buffer(weir::pool& pool, std::size_t count, weir::stream stream)
      : pool_(&pool), stream_(std::move(stream)), count_(count) {
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(T))
      raise({.code = errc::invalid_size,
             .bytes = count,
             .limit = std::numeric_limits<std::size_t>::max() / sizeof(T),
             .what = "weir::buffer, in elements"});
    constexpr std::size_t alignment = alignof(T) > pool::alignment_default ? alignof(T) : pool::alignment_default;
    data_ = static_cast<T*>(pool.allocate(count * sizeof(T), stream_, alignment));
  }
  buffer(buffer&& other) noexcept { swap(other); }
  buffer& operator=(buffer&& other) noexcept {
    buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~buffer() { reset(); }

  T* data() const noexcept { return data_; }
  std::size_t count() const noexcept { return count_; }
  std::size_t bytes() const noexcept { return count_ * sizeof(T); }
  bool is_empty() const noexcept { return count_ == 0; }
  const weir::stream& stream() const noexcept { return stream_; }
  // The device it lives on; -1 when it has no pool.
  int device() const noexcept { return pool_ ? pool_->device() : -1; }

  // From now on the buffer is freed on this stream. The caller has ordered it after all uses so far.
  void set_stream(weir::stream stream) noexcept { stream_ = std::move(stream); }
  // Announces a use on a second stream, so that no event is needed before the buffer goes.
  void used_on(const weir::stream& stream) {
    if (data_) pool_->record_use(data_, stream).value();
  }

  void reset() noexcept {
    if (data_) pool_->deallocate(data_, bytes(), stream_);
    forget();
  }
  void free_on(weir::stream stream) noexcept {
    set_stream(std::move(stream));
    reset();
  }
  // Gives the memory up to the caller, who frees it.
  T* release() noexcept {
    T* data = data_;
    forget();
    return data;
  }
  void swap(buffer& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(stream_, other.stream_);
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
  }

 private:
  void forget() noexcept {
    data_ = nullptr;
    count_ = 0;
  }

  weir::pool* pool_ = nullptr;
  weir::stream stream_{};
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace weir
