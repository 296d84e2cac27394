// SPDX-License-Identifier: Apache-2.0
//
// Stands in for TensorRT's header of this name where that is missing: the allocator's interface alone, written after
// the documentation of TensorRT 10 and 11, so that weir/adapters/tensorrt.hpp can be tested without it.
#pragma once

#include <cstdint>

#define NV_TENSORRT_MAJOR 10
#define WEIR_STAND_IN_TENSORRT 1

struct CUstream_st;
using cudaStream_t = CUstream_st*;

namespace nvinfer1 {

using AllocatorFlags = std::uint32_t;
enum class AllocatorFlag : std::int32_t { kRESIZABLE = 0 };

struct InterfaceInfo {
  const char* kind;
  std::int32_t major;
  std::int32_t minor;
};

class IGpuAllocator {
 public:
  virtual ~IGpuAllocator() = default;
  virtual InterfaceInfo getInterfaceInfo() const noexcept = 0;
  [[deprecated]] virtual void* allocate(std::uint64_t, std::uint64_t, AllocatorFlags) noexcept = 0;
  virtual void* reallocate(void*, std::uint64_t, std::uint64_t) noexcept { return nullptr; }
  [[deprecated]] virtual bool deallocate(void*) noexcept = 0;
  virtual void* allocateAsync(std::uint64_t, std::uint64_t, AllocatorFlags, cudaStream_t) noexcept = 0;
  virtual bool deallocateAsync(void*, cudaStream_t) noexcept = 0;
};

class IGpuAsyncAllocator : public IGpuAllocator {
 public:
  void* allocateAsync(std::uint64_t, std::uint64_t, AllocatorFlags, cudaStream_t) noexcept override = 0;
  bool deallocateAsync(void*, cudaStream_t) noexcept override = 0;
  [[deprecated]] void* allocate(std::uint64_t bytes, std::uint64_t alignment, AllocatorFlags flags) noexcept override {
    return allocateAsync(bytes, alignment, flags, nullptr);
  }
  [[deprecated]] bool deallocate(void* memory) noexcept override { return deallocateAsync(memory, nullptr); }
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"IGpuAllocator", 1, 0}; }
};

}  // namespace nvinfer1
