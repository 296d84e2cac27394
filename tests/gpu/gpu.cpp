// SPDX-License-Identifier: Apache-2.0
#include "gpu.hpp"

#include <cstdlib>
#include <string_view>

#include "kernels.hpp"

namespace weir::test {
namespace {

bool gpu_is_required() {
  const char* wanted = std::getenv("WEIR_REQUIRE_GPU");
  return wanted && std::string_view(wanted) == "1";
}

void load_kernels() {
  unsigned char* block = nullptr;
  unsigned long long* count = nullptr;
  WEIR_CUDA_OK(cudaMalloc(reinterpret_cast<void**>(&block), 256));
  WEIR_CUDA_OK(cudaMalloc(reinterpret_cast<void**>(&count), sizeof *count));
  fill(block, 256, 1, nullptr);
  count_mismatches(block, 256, 1, count, nullptr);
  count_different(block, block, 256, count, nullptr);
  blend({block, 128}, {block + 128, 128}, {block + 128, 128}, 1, nullptr);
  busy(1, nullptr);
  WEIR_CUDA_OK(cudaGetLastError());
  WEIR_CUDA_OK(cudaDeviceSynchronize());
  WEIR_CUDA_OK(cudaFree(block));
  WEIR_CUDA_OK(cudaFree(count));
}

}  // namespace

void require_devices(int count) {
  const auto there = cuda_device_count();
  const int found = there ? *there : 0;
  if (found < count) {
    const std::string text = std::to_string(found) + " of " + std::to_string(count) + " CUDA devices" +
                             (there ? "" : ": " + there.error().message());
    // A second device is a bonus everywhere.
    if (gpu_is_required() && found == 0) FAIL(text);
    SKIP(text);
  }
  static const bool loaded = (load_kernels(), true);
  REQUIRE(loaded);
}

void order(cudaStream_t earlier, cudaStream_t later) {
  cudaEvent_t event = nullptr;
  WEIR_CUDA_OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  WEIR_CUDA_OK(cudaEventRecord(event, earlier));
  WEIR_CUDA_OK(cudaStreamWaitEvent(later, event, 0));
  WEIR_CUDA_OK(cudaEventDestroy(event));
}

mismatch_counter::mismatch_counter() {
  WEIR_CUDA_OK(cudaMalloc(reinterpret_cast<void**>(&device_), sizeof *device_));
  WEIR_CUDA_OK(cudaMemset(device_, 0, sizeof *device_));
  WEIR_CUDA_OK(cudaDeviceSynchronize());
}

mismatch_counter::~mismatch_counter() { (void)cudaFree(device_); }

void mismatch_counter::check(const void* begin, std::size_t bytes, std::uint32_t seed, cudaStream_t stream) {
  count_mismatches(begin, bytes, seed, device_, stream);
}

void mismatch_counter::compare(const void* one, const void* other, std::size_t bytes, cudaStream_t stream) {
  count_different(one, other, bytes, device_, stream);
}

unsigned long long mismatch_counter::total() const {
  unsigned long long total = 0;
  WEIR_CUDA_OK(cudaDeviceSynchronize());
  WEIR_CUDA_OK(cudaMemcpy(&total, device_, sizeof total, cudaMemcpyDeviceToHost));
  return total;
}

}  // namespace weir::test
