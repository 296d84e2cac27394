// SPDX-License-Identifier: Apache-2.0
//
// The three that 03_inference_pipeline compares, behind one interface: weir with a token for each stream, the native
// pool as cudaMallocAsync has it (one of its own, that keeps what it has), and cudaMalloc.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime_api.h>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "weir/pool.hpp"

namespace pipeline {

class allocator {
 public:
  virtual ~allocator() = default;
  virtual const char* name() const = 0;
  virtual void* get(std::size_t bytes, std::size_t stream) = 0;
  virtual void put(void* block, std::size_t bytes, std::size_t stream) = 0;
  // The most it has had from the driver.
  virtual std::size_t peak_bytes() = 0;
  // Around the first round, which is not timed.
  virtual void warm_up() {}
  virtual void warmed_up() {}
};

[[noreturn]] inline void fail(const char* what, const char* why) {
  std::fprintf(stderr, "%s: %s\n", what, why);
  std::exit(1);
}

class weir_allocator final : public allocator {
 public:
  explicit weir_allocator(const std::vector<cudaStream_t>& streams) : pool_(weir::pool::make(0)) {
    for (cudaStream_t s : streams) tokens_.push_back(pool_.stream(s).value());
  }
  ~weir_allocator() override {
    for (const weir::stream& token : tokens_) (void)pool_.retire(token).has_value();  // before the streams go
  }
  const char* name() const override { return "weir"; }
  void* get(std::size_t bytes, std::size_t stream) override { return pool_.allocate(bytes, tokens_[stream]); }
  void put(void* block, std::size_t bytes, std::size_t stream) override {
    pool_.deallocate(block, bytes, tokens_[stream]);
  }
  std::size_t peak_bytes() override {
    const weir::statistics s = pool_.statistics();
    return s.reserved_peak + s.direct;
  }

 private:
  weir::pool pool_;
  std::vector<weir::stream> tokens_;
};

class native_allocator final : public allocator {
 public:
  explicit native_allocator(const std::vector<cudaStream_t>& streams) : streams_(streams) {
    cudaMemPoolProps what{};
    what.allocType = cudaMemAllocationTypePinned;
    what.location.type = cudaMemLocationTypeDevice;
    auto keep = std::numeric_limits<unsigned long long>::max();
    if (cudaMemPoolCreate(&pool_, &what) != cudaSuccess ||
        cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep) != cudaSuccess)
      fail("native pool", "not supported by this device");
  }
  ~native_allocator() override { (void)cudaMemPoolDestroy(pool_); }
  const char* name() const override { return "native"; }
  void* get(std::size_t bytes, std::size_t stream) override {
    void* block = nullptr;
    const cudaError_t status = cudaMallocFromPoolAsync(&block, bytes, pool_, streams_[stream]);
    if (status != cudaSuccess) fail("cudaMallocFromPoolAsync", cudaGetErrorString(status));
    return block;
  }
  void put(void* block, std::size_t, std::size_t stream) override { (void)cudaFreeAsync(block, streams_[stream]); }
  std::size_t peak_bytes() override {
    unsigned long long high = 0;
    (void)cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemHigh, &high);
    return high;
  }

 private:
  std::vector<cudaStream_t> streams_;
  cudaMemPool_t pool_ = nullptr;
};

// Its peak is how far the device's free memory fell in the round before the timed ones: to ask costs time.
class direct_allocator final : public allocator {
 public:
  const char* name() const override { return "cudaMalloc"; }
  void* get(std::size_t bytes, std::size_t) override {
    void* block = nullptr;
    const cudaError_t status = cudaMalloc(&block, bytes);
    if (status != cudaSuccess) fail("cudaMalloc", cudaGetErrorString(status));
    if (is_measuring_.load(std::memory_order_relaxed)) look();
    return block;
  }
  void put(void* block, std::size_t, std::size_t) override { (void)cudaFree(block); }
  std::size_t peak_bytes() override { return free_before_ - free_least_; }
  void warm_up() override {
    free_before_ = free_least_ = device_free();
    is_measuring_ = true;
  }
  void warmed_up() override { is_measuring_ = false; }

 private:
  static std::size_t device_free() {
    std::size_t free = 0, total = 0;
    (void)cudaMemGetInfo(&free, &total);
    return free;
  }
  void look() {
    const std::size_t now = device_free();
    const std::lock_guard lock(mutex_);
    if (now < free_least_) free_least_ = now;
  }

  std::mutex mutex_;
  std::size_t free_before_ = 0, free_least_ = 0;
  std::atomic<bool> is_measuring_{false};
};

}  // namespace pipeline
