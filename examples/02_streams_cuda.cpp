// SPDX-License-Identifier: Apache-2.0
//
// 02_streams on a GPU: one stream fills a block, another copies it out and frees it, ordered by an event. No kernel is
// needed to see that: a memset writes, a memcpy reads.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime_api.h>
#include <vector>

#include "weir/buffer.hpp"
#include "weir/pool.hpp"

namespace {

void check(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(status));
  std::exit(1);
}

}  // namespace

int main() {
  if (const auto gpus = weir::cuda_device_count(); !gpus || *gpus == 0) {
    std::puts("skipped: no CUDA device");
    return 4;
  }
  constexpr std::size_t bytes = std::size_t{64} << 20;
  weir::pool pool = weir::pool::make(0);
  cudaStream_t writer = nullptr, reader = nullptr;
  cudaEvent_t written = nullptr;
  check(cudaStreamCreateWithFlags(&writer, cudaStreamNonBlocking));
  check(cudaStreamCreateWithFlags(&reader, cudaStreamNonBlocking));
  check(cudaEventCreateWithFlags(&written, cudaEventDisableTiming));

  std::vector<unsigned char> seen(bytes);
  {
    weir::buffer<unsigned char> block(pool, bytes, pool.stream(writer).value());
    check(cudaMemsetAsync(block.data(), 0x5a, bytes, writer));
    check(cudaEventRecord(written, writer));
    check(cudaStreamWaitEvent(reader, written));
    check(cudaMemcpyAsync(seen.data(), block.data(), bytes, cudaMemcpyDeviceToHost, reader));
    block.free_on(pool.stream(reader).value());  // after the copy, in the reader's order; the host does not wait
  }
  check(cudaStreamSynchronize(reader));

  pool.retire(writer).value();  // before a stream is destroyed
  pool.retire(reader).value();
  check(cudaEventDestroy(written));
  check(cudaStreamDestroy(writer));
  check(cudaStreamDestroy(reader));

  const auto wrong = std::count_if(seen.begin(), seen.end(), [](unsigned char byte) { return byte != 0x5a; });
  std::printf("%zu bytes handed over, %td wrong\n", bytes, wrong);
  return wrong == 0 ? 0 : 1;
}
