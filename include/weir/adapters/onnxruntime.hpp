// SPDX-License-Identifier: Apache-2.0
//
// A pool as the memory of ONNX Runtime, in the two ways it takes one.
//
//     // 1: an OrtAllocator, of any version of the structure from that of 1.0 to the installed header's
//     weir::onnxruntime::allocator memory(pool, OrtGetApiBase()->GetApi(ORT_API_VERSION), 0, stream);
//     api->RegisterAllocator(env, &memory);
//
//     // 2: three function addresses for the CUDA execution provider, which then has no arena of its own
//     weir::onnxruntime::external_allocator<> memory(pool, stream);
//     keys   = {"gpu_external_alloc", "gpu_external_free", "gpu_external_empty_cache", "user_compute_stream"};
//     values = {memory.alloc_address(), memory.free_address(), memory.empty_cache_address(), address of the stream};
//
// Free names no stream, nor do most allocations. So either is made for the stream that the session computes on
// (user_compute_stream), and blocks are in its order; AllocOnStream names another. Made for none, memory is usable on
// every stream and each free waits for the device: right, and slow. Where there is no memory ONNX Runtime gets null.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <onnxruntime_c_api.h>
#include <optional>
#include <string>
#include <utility>

#include "weir/adapters/remembered_blocks.hpp"

namespace weir::onnxruntime {

// Must outlive the environment and the sessions that use it. Not movable: ONNX Runtime keeps its address.
class allocator final : public OrtAllocator {
 public:
  // Throws logic_error where there is no pool or api, or ONNX Runtime refuses to name the memory.
  allocator(std::shared_ptr<weir::pool> pool, const OrtApi* api, int device, std::optional<raw_stream> stream = {},
            adapters::failure_listener::function told = {})
      : OrtAllocator{}, api_(api), stream_(stream), blocks_(std::move(pool)), told_(std::move(told)) {
    if (!api_) raise({.code = errc::invalid_argument, .what = "no OrtApi: is ONNX Runtime older than its header?"});
    if (OrtStatus* bad = api_->CreateMemoryInfo("Cuda", OrtDeviceAllocator, device, OrtMemTypeDefault, &info_)) {
      api_->ReleaseStatus(bad);
      raise({.code = errc::invalid_argument, .what = "OrtApi::CreateMemoryInfo for weir's allocator"});
    }
    version = ORT_API_VERSION;
    Alloc = [](OrtAllocator* a, std::size_t bytes) noexcept { return self(a).take(bytes, self(a).stream_); };
    Free = [](OrtAllocator* a, void* block) noexcept { self(a).give(block); };
    Info = [](const OrtAllocator* a) noexcept -> const OrtMemoryInfo* { return self(a).info_; };
#if ORT_API_VERSION >= 18
    Reserve = [](OrtAllocator* a, std::size_t bytes) noexcept {
      self(a).reserves_.fetch_add(1, std::memory_order_relaxed);
      return self(a).take(bytes, self(a).stream_);
    };
#endif
#if ORT_API_VERSION >= 23
    GetStats = [](const OrtAllocator* a, OrtKeyValuePairs** out) noexcept { return self(a).tell(out); };
    AllocOnStream = [](OrtAllocator* a, std::size_t bytes, OrtSyncStream* on) noexcept {
      if (!on) return self(a).take(bytes, self(a).stream_);
      return self(a).take(bytes, raw_stream(static_cast<stream_handle>(self(a).api_->SyncStream_GetHandle(on))));
    };
#endif
#if ORT_API_VERSION >= 25
    Shrink = [](OrtAllocator* a) noexcept { return self(a).shrink(); };
#endif
  }
  allocator(const allocator&) = delete;
  allocator& operator=(const allocator&) = delete;
  ~allocator() { api_->ReleaseMemoryInfo(info_); }

  weir::pool& pool() const noexcept { return blocks_.pool(); }

 private:
  static allocator& self(OrtAllocator* a) noexcept { return *static_cast<allocator*>(a); }
  static const allocator& self(const OrtAllocator* a) noexcept { return *static_cast<const allocator*>(a); }

  void* take(std::size_t bytes, std::optional<raw_stream> on) noexcept {
    const auto block = blocks_.allocate(bytes, on);
    if (!block) told_(block.error());
    return block ? *block : nullptr;
  }
  // Cannot answer, so what cannot be freed is told to the bug handler.
  void give(void* block) noexcept {
    if (const auto freed = blocks_.deallocate(block); !freed) report_bug(freed.error());
  }

#if ORT_API_VERSION >= 23
  OrtStatus* tell(OrtKeyValuePairs** out) const noexcept {
    try {
      const weir::statistics now = pool().statistics();
      const std::size_t limit = pool().options().bytes_max;
      api_->CreateKeyValuePairs(out);
      const auto add = [&](const char* key, const std::string& value) {
        api_->AddKeyValuePair(*out, key, value.c_str());
      };
      add("Limit", limit == SIZE_MAX ? "-1" : std::to_string(limit));
      add("InUse", std::to_string(now.allocated));
      add("TotalAllocated", std::to_string(now.reserved + now.direct));
      add("MaxInUse", std::to_string(now.allocated_peak));
      add("NumAllocs", std::to_string(now.allocations));
      add("NumReserves", std::to_string(reserves_.load(std::memory_order_relaxed)));
      add("NumArenaExtensions", std::to_string(now.native.grow));
      add("NumArenaShrinkages", std::to_string(now.native.trim));
      add("MaxAllocSize", std::to_string(blocks_.bytes_largest()));
      return nullptr;
    } catch (const std::exception& e) {
      return api_->CreateStatus(ORT_FAIL, e.what());
    }
  }
#endif
#if ORT_API_VERSION >= 25
  // Waits for nobody: what is behind running work stays for the next time.
  OrtStatus* shrink() noexcept {
    const auto done = blocks_.trim(stream_);
    return done ? nullptr : api_->CreateStatus(ORT_FAIL, to_string(done.error().code));
  }
#endif

  const OrtApi* api_;
  OrtMemoryInfo* info_ = nullptr;
  std::optional<raw_stream> stream_;
  adapters::remembered_blocks blocks_;
  adapters::failure_listener told_;
  std::atomic<std::uint64_t> reserves_{0};
};

// The functions carry no context, so there is one such allocator at a time for each Tag; one for each device, say. It
// must outlive the sessions: later calls find no pool, get null, and a free goes to the bug handler.
template <int Tag = 0>
class external_allocator {
 public:
  explicit external_allocator(std::shared_ptr<weir::pool> pool, std::optional<raw_stream> stream = {})
      : blocks_(std::make_shared<blocks>(std::move(pool), stream)) {
    const std::lock_guard lock(mutex_);
    if (current_)
      raise({.code = errc::invalid_argument, .what = "a second onnxruntime::external_allocator of its Tag"});
    current_ = blocks_;
  }
  external_allocator(const external_allocator&) = delete;
  external_allocator& operator=(const external_allocator&) = delete;
  ~external_allocator() {
    const std::lock_guard lock(mutex_);
    current_.reset();
  }

  weir::pool& pool() const noexcept { return blocks_->remembered.pool(); }
  // In decimal, as the provider's options have them.
  static std::string alloc_address() { return address_of(reinterpret_cast<std::uintptr_t>(&alloc)); }
  static std::string free_address() { return address_of(reinterpret_cast<std::uintptr_t>(&free)); }
  static std::string empty_cache_address() { return address_of(reinterpret_cast<std::uintptr_t>(&empty_cache)); }

  static void* alloc(std::size_t bytes) noexcept {
    const auto now = current();
    if (!now) return nullptr;
    const auto block = now->remembered.allocate(bytes, now->stream);
    return block ? *block : nullptr;
  }
  static void free(void* block) noexcept {
    const auto now = current();
    const auto freed = now ? now->remembered.deallocate(block) : result<void>(error{.code = errc::null_pool});
    if (block && !freed) report_bug(freed.error());
  }
  static void empty_cache() noexcept {
    if (const auto now = current()) (void)now->remembered.trim(now->stream).has_value();
  }

 private:
  struct blocks {
    blocks(std::shared_ptr<weir::pool> pool, std::optional<raw_stream> on) : remembered(std::move(pool)), stream(on) {}
    adapters::remembered_blocks remembered;
    std::optional<raw_stream> stream;
  };
  static std::string address_of(std::uintptr_t function) { return std::to_string(function); }
  static std::shared_ptr<blocks> current() noexcept {
    const std::lock_guard lock(mutex_);
    return current_;
  }

  static inline std::mutex mutex_;
  static inline std::shared_ptr<blocks> current_;
  std::shared_ptr<blocks> blocks_;
};

}  // namespace weir::onnxruntime
