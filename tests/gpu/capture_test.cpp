// SPDX-License-Identifier: Apache-2.0
//
// Captures of others, on this thread and on another, in the strictest mode.
#include <atomic>
#include <thread>

#include "gpu.hpp"
#include "kernels.hpp"

namespace weir::test {
namespace {

// Everything a pool asks of a backend.
void use_everything(backend& target, cudaStream_t stream) {
  backend_event* event = value_of(target.create_event());
  void* block = value_of(target.allocate(64 * MiB, stream));
  value_of(target.record(event, stream));
  value_of(target.wait(target.own_stream(), event));
  value_of(target.query(event));
  value_of(target.is_idle(stream));
  value_of(target.synchronize(event));
  value_of(target.deallocate(block, target.own_stream()));
  value_of(target.identify(stream));
  value_of(target.examine(stream));
  value_of(target.memory());
  value_of(target.pool_bytes());
  value_of(target.reset_reserved_high());
  value_of(target.synchronize_device());
  value_of(target.trim(0));
  target.destroy_event(event);
  auto other = value_of(make_cuda_backend(0));
}

void end_capture(cudaStream_t stream) {
  cudaGraph_t graph = nullptr;
  WEIR_CUDA_OK(cudaStreamEndCapture(stream, &graph));
  std::size_t nodes = 0;
  WEIR_CUDA_OK(cudaGraphGetNodes(graph, nullptr, &nodes));
  CHECK(nodes == 1);  // the kernel, and nothing of ours
  WEIR_CUDA_OK(cudaGraphDestroy(graph));
}

TEST_CASE("capture: one on this thread survives every call on other streams") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  gpu_stream captured, other;
  WEIR_CUDA_OK(cudaStreamBeginCapture(captured, cudaStreamCaptureModeGlobal));
  busy(1, captured);
  use_everything(*target, other);
  end_capture(captured);
}

TEST_CASE("capture: one on this thread survives direct allocations and their frees") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  gpu_stream captured;
  WEIR_CUDA_OK(cudaStreamBeginCapture(captured, cudaStreamCaptureModeGlobal));
  busy(1, captured);
  void* direct = value_of(target->allocate_direct(2 * MiB));
  value_of(target->deallocate_direct(direct));
  end_capture(captured);
}

TEST_CASE("capture: one on another thread survives every call") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  gpu_stream captured, other;
  std::atomic<int> step{0};
  cudaError_t begun = cudaErrorUnknown;
  cudaError_t ended = cudaErrorUnknown;
  std::thread capturer([&] {
    begun = cudaStreamBeginCapture(captured, cudaStreamCaptureModeGlobal);
    busy(1, captured);
    step = 1;
    while (step != 2) std::this_thread::yield();
    cudaGraph_t graph = nullptr;
    ended = cudaStreamEndCapture(captured, &graph);
    if (graph) (void)cudaGraphDestroy(graph);
  });
  while (step != 1) std::this_thread::yield();
  // A failed requirement throws; the thread must end first.
  struct joiner {
    std::atomic<int>& step;
    std::thread& thread;
    ~joiner() {
      step = 2;
      thread.join();
    }
  };
  {
    joiner at_end{step, capturer};
    use_everything(*target, other);
  }
  CHECK(begun == cudaSuccess);
  CHECK(ended == cudaSuccess);
}

TEST_CASE("capture: the legacy stream is refused while a blocking stream is captured") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  gpu_stream blocking(cudaStreamDefault);
  backend_event* event = value_of(target->create_event());
  void* block = value_of(target->allocate(MiB, target->own_stream()));
  WEIR_CUDA_OK(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeGlobal));
  busy(1, blocking);
  CHECK(code_of(target->allocate(MiB, legacy_stream())) == errc::stream_capturing);
  CHECK(code_of(target->deallocate(block, legacy_stream())) == errc::stream_capturing);
  CHECK(code_of(target->record(event, legacy_stream())) == errc::stream_capturing);
  CHECK(code_of(target->is_idle(legacy_stream())) == errc::stream_capturing);
  CHECK(code_of(target->examine(legacy_stream())) == errc::stream_capturing);
  end_capture(blocking);
  CHECK(code_of(target->examine(legacy_stream())) == errc::ok);
  value_of(target->deallocate(block, legacy_stream()));
  target->destroy_event(event);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("capture: a blocking stream's survives who asks for its id and for the legacy stream's") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  gpu_stream blocking(cudaStreamDefault);
  const std::uint64_t legacy = value_of(target->identify(legacy_stream()));
  WEIR_CUDA_OK(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeGlobal));
  busy(1, blocking);
  for (const stream_handle asked : {stream_handle(blocking), legacy_stream()}) {
    const auto answer = target->identify(asked);
    CAPTURE(answer ? cudaSuccess : static_cast<cudaError_t>(answer.error().native_code));
    CHECK(code_of(answer) == errc::stream_capturing);
  }
  end_capture(blocking);
  CHECK(value_of(target->identify(legacy_stream())) == legacy);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("capture: the thread's own mode is put back") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal;
  WEIR_CUDA_OK(cudaThreadExchangeStreamCaptureMode(&mode));
  value_of(target->memory());
  cudaStreamCaptureMode now = mode;
  WEIR_CUDA_OK(cudaThreadExchangeStreamCaptureMode(&now));
  CHECK(now == cudaStreamCaptureModeThreadLocal);
}

}  // namespace
}  // namespace weir::test
