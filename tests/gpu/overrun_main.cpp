// SPDX-License-Identifier: Apache-2.0
//
// Writes a block, and one byte past it when told to; for compute-sanitizer, which must see the second and not the
// first:
//
//     compute-sanitizer --tool memcheck --error-exitcode 9 gpu_overrun bypass overrun
//
// bypass: every block is a cudaMalloc of its own; direct: this block is. Without a tool both end well: the byte lies in
// what the block was rounded up to. Of a pool's blocks no tool knows: compute-sanitizer of CUDA 13.0 refuses memory of
// a native pool as a heap of NVTX's memory API ("one or more of the parameters is invalid").
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>
#include <string_view>

#include "kernels.hpp"
#include "weir/pool.hpp"

namespace {

constexpr std::size_t bytes = 1000;

int skip(const weir::error& why) {
  std::printf("skipped: %s\n", why.message().c_str());
  const char* wanted = std::getenv("WEIR_REQUIRE_GPU");
  return wanted && std::string_view(wanted) == "1" ? 1 : 4;
}

int write(weir::pool& pool, cudaStream_t stream, std::string_view mode, bool overruns) {
  const bool is_direct = mode == "direct";
  void* const before = pool.allocate(bytes, stream);
  void* const block = is_direct ? pool.allocate_direct(bytes) : pool.allocate(bytes, stream);
  void* const after = pool.allocate(bytes, stream);
  for (void* each : {before, block, after}) weir::test::fill(each, bytes, 1, stream);
  if (overruns) weir::test::fill(block, bytes + 1, 1, stream);
  const cudaError_t status = cudaStreamSynchronize(stream);
  std::printf("%s, %zu bytes of a block of %zu: %s\n", mode.data(), overruns ? bytes + 1 : bytes, bytes,
              cudaGetErrorString(status));
  for (void* each : {before, after}) pool.deallocate(each, stream);
  if (is_direct)
    pool.deallocate_direct(block);
  else
    pool.deallocate(block, stream);
  return status == cudaSuccess ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "bypass";
  const bool overruns = argc > 2 && std::string_view(argv[2]) == "overrun";
  if (argc > 3 || (argc > 2 && !overruns) || (mode != "bypass" && mode != "direct")) {
    std::fprintf(stderr, "usage: gpu_overrun bypass|direct [overrun]\n");
    return 2;
  }
  if (const auto count = weir::cuda_device_count(); !count) return skip(count.error());
  (void)cudaFree(nullptr);  // the tool wants a runtime that is up
  cudaStream_t stream = nullptr;
  if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return 1;
  int answer = 0;
  {
    auto pool = weir::pool::make(0, {.bypass = mode == "bypass"});
    answer = write(pool, stream, mode, overruns);
    if (!pool.retire(stream)) answer = 1;
  }
  (void)cudaStreamDestroy(stream);
  return answer;
}
