// SPDX-License-Identifier: Apache-2.0
//
// A pool as the memory of TensorRT (10 and later): engines, execution contexts and their activations.
//
//     weir::tensorrt::gpu_allocator memory(weir::adapters::make_shared_pool(0));
//     runtime->setGpuAllocator(&memory);                   // or the builder's, or an execution context's
//     context->enqueueV3(stream);
//
// The object must outlive every builder, runtime, engine and context it was given to, and so does the pool then, which
// it shares. Nothing is thrown: where there is no memory TensorRT gets null, and the listener is told why.
#pragma once

#include <NvInferRuntime.h>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "weir/adapters/shared_pool.hpp"

#if defined(NV_TENSORRT_MAJOR) && NV_TENSORRT_MAJOR < 10
#error "weir/adapters/tensorrt.hpp needs TensorRT 10 or later"
#endif

namespace weir::tensorrt {

// Thread-safe. Mode says what TensorRT's null stream means, by the compile flag of the file that makes the allocator.
template <class Mode = weir::detail::default_stream_mode>
class basic_gpu_allocator final : public nvinfer1::IGpuAsyncAllocator {
 public:
  explicit basic_gpu_allocator(std::shared_ptr<weir::pool> pool, adapters::failure_listener::function told = {})
      : shared_(std::move(pool)), told_(std::move(told)) {}

  weir::pool& pool() const noexcept { return shared_.pool(); }

  // Alignment 0 means any. kRESIZABLE is taken and means nothing: see reallocate().
  void* allocateAsync(std::uint64_t bytes, std::uint64_t alignment, nvinfer1::AllocatorFlags,
                      cudaStream_t stream) noexcept override {
    return answer(pool().try_allocate(bytes, raw_stream(stream, Mode{}), aligned(alignment)));
  }
  // False, and nothing is changed, for what is not a live block of the pool.
  bool deallocateAsync(void* memory, cudaStream_t stream) noexcept override {
    return answer(pool().try_deallocate(memory, raw_stream(stream, Mode{})));
  }

  // Null: the block stays as it is, and TensorRT allocates anew. There is no stream to copy on.
  void* reallocate(void*, std::uint64_t, std::uint64_t) noexcept override { return nullptr; }

  // The deprecated forms name no stream and stand for cudaMalloc and cudaFree, so the memory is usable on every stream,
  // and a free waits for the device. (The base's would use the default stream, which non-blocking ones do not mind.)
  void* allocate(std::uint64_t bytes, std::uint64_t alignment, nvinfer1::AllocatorFlags) noexcept override {
    return answer(shared_.try_allocate_ready(bytes, aligned(alignment)));
  }
  bool deallocate(void* memory) noexcept override { return answer(shared_.try_deallocate_waiting(memory)); }

 private:
  static std::size_t aligned(std::uint64_t alignment) noexcept {
    return alignment == 0 ? weir::pool::alignment_default : adapters::alignment_for(alignment);
  }
  void* answer(const result<void*>& block) const noexcept {
    if (!block) told_(block.error());
    return block ? *block : nullptr;
  }
  bool answer(const result<void>& freed) const noexcept {
    if (!freed) told_(freed.error());
    return freed.has_value();
  }

  adapters::shared_pool shared_;
  adapters::failure_listener told_;
};

using gpu_allocator = basic_gpu_allocator<>;

}  // namespace weir::tensorrt
