// SPDX-License-Identifier: Apache-2.0
//
// A pool as a memory resource of CUDA's C++ library (cuda::mr), for Thrust, CUB, RMM and cuDF.
//
//     weir::mr::resource memory(weir::adapters::make_shared_pool(0));
//     rmm::device_uvector<float> x(n, stream, memory);
//     rmm::mr::statistics_resource_adaptor counted(memory);
//     thrust::sort(thrust::cuda::par_nosync(weir::mr::stream_allocator<char>(memory, stream)).on(stream), begin, end);
//
// Both generations of the interface are met by one class: that of CCCL up to 3.0 (CUDA 13.0 brings 3.0.1), where
// allocate() waits and allocate_async() takes a stream, and that of 3.1 and later, where allocate_sync() waits and
// allocate() takes a stream. The older one is experimental: LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE has to be
// defined before the first header of CCCL; this one does it where it comes first.
#pragma once

#include <cuda/std/version>

#if CCCL_VERSION < 3001000 && !defined(LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE)
#ifdef _CUDA_MEMORY_RESOURCE
#error "weir: <cuda/memory_resource> came first and empty: define LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE"
#endif
#define LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE
#endif

#include <cstddef>
#include <cuda/memory_resource>
#include <cuda/stream_ref>
#include <limits>
#include <memory>
#include <utility>

#include "weir/adapters/shared_pool.hpp"

namespace weir::mr {

// Copies are cheap and equal, and share the pool: the memory of one may be freed through another. Made of a
// std::shared_ptr the pool lives as long as the last of them, so whoever holds a block and a copy may free it; of a
// reference, the pool must outlive all use.
//
// Blocks have 256 bytes of alignment at least, or what is asked for up to 1 GiB; zero bytes give null. Allocation
// throws weir::out_of_memory (a std::bad_alloc, with a report), weir::cuda_error or weir::logic_error (no power of two,
// a capturing stream). Freeing never throws: what cannot be freed, and a wrong size, goes to weir's bug handler.
//
// Mode says what the null stream means, by the compile flag of the file that made the resource.
template <class Mode = weir::detail::default_stream_mode>
class basic_resource {
 public:
  explicit basic_resource(weir::pool& pool) : shared_(std::make_shared<adapters::shared_pool>(pool)) {}
  explicit basic_resource(std::shared_ptr<weir::pool> pool)
      : shared_(std::make_shared<adapters::shared_pool>(std::move(pool))) {}

  weir::pool& pool() const noexcept { return shared_->pool(); }

  // In stream order: CCCL 3.1 and later.
  [[nodiscard]] void* allocate(cuda::stream_ref stream, std::size_t bytes,
                               std::size_t alignment = weir::pool::alignment_default) {
    return pool().allocate(bytes, raw(stream), adapters::alignment_for(alignment));
  }
  void deallocate(cuda::stream_ref stream, void* block, std::size_t bytes,
                  std::size_t = weir::pool::alignment_default) noexcept {
    pool().deallocate(block, bytes, raw(stream));
  }
  // For every stream at once; the block is no longer in use when it is freed. Frees and allocations of both kinds mix.
  [[nodiscard]] void* allocate_sync(std::size_t bytes, std::size_t alignment = weir::pool::alignment_default) {
    return shared_->try_allocate_ready(bytes, adapters::alignment_for(alignment)).value();
  }
  void deallocate_sync(void* block, std::size_t bytes, std::size_t = weir::pool::alignment_default) noexcept {
    if (const auto freed = shared_->try_deallocate_ready(block, bytes); !freed) report_bug(freed.error());
  }

  // The same, as CCCL up to 3.0 has it.
  [[nodiscard]] void* allocate_async(std::size_t bytes, std::size_t alignment, cuda::stream_ref stream) {
    return allocate(stream, bytes, alignment);
  }
  [[nodiscard]] void* allocate_async(std::size_t bytes, cuda::stream_ref stream) { return allocate(stream, bytes); }
  void deallocate_async(void* block, std::size_t bytes, std::size_t, cuda::stream_ref stream) noexcept {
    deallocate(stream, block, bytes);
  }
  void deallocate_async(void* block, std::size_t bytes, cuda::stream_ref stream) noexcept {
    deallocate(stream, block, bytes);
  }
  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment = weir::pool::alignment_default) {
    return allocate_sync(bytes, alignment);
  }
  void deallocate(void* block, std::size_t bytes, std::size_t = weir::pool::alignment_default) noexcept {
    deallocate_sync(block, bytes);
  }

  friend bool operator==(const basic_resource& a, const basic_resource& b) noexcept { return &a.pool() == &b.pool(); }
  friend void get_property(const basic_resource&, cuda::mr::device_accessible) noexcept {}
#if CCCL_VERSION >= 3001000
  using default_queries = cuda::mr::properties_list<cuda::mr::device_accessible>;
#endif

 private:
  static raw_stream raw(cuda::stream_ref stream) noexcept { return raw_stream(stream.get(), Mode{}); }

  std::shared_ptr<adapters::shared_pool> shared_;
};

using resource = basic_resource<>;

#if CCCL_VERSION >= 3001000
template <class... Properties>
using async_resource_ref = cuda::mr::resource_ref<Properties...>;
static_assert(cuda::mr::resource_with<resource, cuda::mr::device_accessible>);
static_assert(cuda::mr::synchronous_resource_with<resource, cuda::mr::device_accessible>);
#else
template <class... Properties>
using async_resource_ref = cuda::mr::async_resource_ref<Properties...>;
static_assert(cuda::mr::async_resource_with<resource, cuda::mr::device_accessible>);
static_assert(cuda::mr::resource_with<resource, cuda::mr::device_accessible>);
#endif
// Any resource in stream order whose memory a kernel may use, of whichever generation is there; does not own it.
using device_resource_ref = async_resource_ref<cuda::mr::device_accessible>;

// A resource and a stream as an allocator of C++, for the temporary storage of Thrust's algorithms. Pointers are plain
// and elements are not constructed, so no container of the host may use it.
template <class T>
class stream_allocator {
 public:
  using value_type = T;

  stream_allocator(resource memory, cuda::stream_ref stream) noexcept : memory_(std::move(memory)), stream_(stream) {}
  template <class U>
  stream_allocator(const stream_allocator<U>& other) noexcept : memory_(other.memory()), stream_(other.stream()) {}

  T* allocate(std::size_t count) {
    constexpr std::size_t count_max = std::numeric_limits<std::size_t>::max() / sizeof(T);
    if (count > count_max)
      raise({.code = errc::invalid_size, .bytes = count, .limit = count_max, .what = "stream_allocator, in elements"});
    return static_cast<T*>(memory_.allocate(stream_, count * sizeof(T), alignof(T)));
  }
  void deallocate(T* block, std::size_t count) noexcept { memory_.deallocate(stream_, block, count * sizeof(T)); }

  const resource& memory() const noexcept { return memory_; }
  cuda::stream_ref stream() const noexcept { return stream_; }
  template <class U>
  friend bool operator==(const stream_allocator& a, const stream_allocator<U>& b) noexcept {
    return a.memory() == b.memory() && a.stream() == b.stream();
  }

 private:
  resource memory_;
  cuda::stream_ref stream_;
};

}  // namespace weir::mr
