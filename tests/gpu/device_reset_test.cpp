// SPDX-License-Identifier: Apache-2.0
//
// A device that is reset under a pool. Alone in its process: every handle in it is dead afterwards.
#include "gpu.hpp"
#include "kernels.hpp"
#include "weir/pool.hpp"

namespace weir::test {
namespace {

TEST_CASE("device reset: what needs the device is refused, frees are taken, the pool ends, and another can be made") {
  require_device();
  pool p = pool::make(0);
  cudaStream_t handle = nullptr;
  WEIR_CUDA_OK(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking));
  const weir::stream stream = value_of(p.stream(raw_stream(handle)));
  constexpr std::size_t sizes[]{4096, 3 * MiB, 64 * MiB};
  void* blocks[3];
  for (int i = 0; i < 3; ++i) {
    blocks[i] = p.allocate(sizes[i], stream);
    fill(blocks[i], sizes[i], 1, handle);
    p.deallocate(p.allocate(sizes[i], stream), stream);
  }
  WEIR_CUDA_OK(cudaDeviceReset());

  const auto refused = p.try_allocate(GiB, stream);
  REQUIRE_FALSE(refused.has_value());
  CAPTURE(refused.error().message());
  CHECK(refused.error().code == errc::device_lost);
  if (const auto trimmed = p.trim(0); !trimmed) CHECK(trimmed.error().code == errc::device_lost);
  for (int i = 0; i < 3; ++i) CHECK(code_of(p.try_deallocate(blocks[i], sizes[i], stream)) == errc::ok);
  CHECK(p.statistics().allocated == 0);
  CHECK(p.validate().empty());
  p = {};

  pool next = value_of(pool::try_make(0));
  gpu_stream fresh;
  mismatch_counter wrong;
  void* block = value_of(next.try_allocate(MiB, raw_stream(fresh)));
  fill(block, MiB, 2, fresh);
  wrong.check(block, MiB, 2, fresh);
  value_of(next.try_deallocate(block, MiB, raw_stream(fresh)));
  CHECK(wrong.total() == 0);
}

}  // namespace
}  // namespace weir::test
