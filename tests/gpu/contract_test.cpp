// SPDX-License-Identifier: Apache-2.0
//
// The contract of a backend (tests/support), run on a CUDA device.
#include "backend_contract.hpp"
#include "gpu.hpp"
#include "kernels.hpp"

namespace weir::test {
namespace {

class cuda_fixture final : public backend_fixture {
 public:
  std::unique_ptr<backend> make_backend(std::size_t pool_bytes_max) override {
    return value_of(make_cuda_backend(0, {.pool_bytes_max = pool_bytes_max}));
  }

  stream_handle create_stream() override {
    cudaStream_t stream = nullptr;
    WEIR_CUDA_OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
  }
  void destroy_stream(stream_handle stream) override { (void)cudaStreamDestroy(stream); }

  void busy(stream_handle stream, unsigned microseconds) override {
    test::busy(microseconds, stream);
    WEIR_CUDA_OK(cudaGetLastError());
  }

  // Global: the mode that forbids most to everybody.
  void begin_capture(stream_handle stream) override {
    WEIR_CUDA_OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  }
  void end_capture(stream_handle stream) override {
    cudaGraph_t graph = nullptr;
    WEIR_CUDA_OK(cudaStreamEndCapture(stream, &graph));
    REQUIRE(graph != nullptr);
    WEIR_CUDA_OK(cudaGraphDestroy(graph));
  }
};

}  // namespace

std::unique_ptr<backend_fixture> make_backend_fixture() {
  require_device();
  return std::make_unique<cuda_fixture>();
}

}  // namespace weir::test
