// SPDX-License-Identifier: Apache-2.0
//
// Waiting for the whole device beside a capture, in ways that CUDA documents for none of the calls it is made of
// (lib/backend/cuda/device_wait.hpp): where a driver does otherwise, these cases fail.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"

namespace weir::test {
namespace {

// Waits for the device while `other` is busy; true when that has finished. A query by CUDA's own means would break a
// global capture.
bool waits_for(backend& target, cudaStream_t other) {
  busy(20'000, other);
  REQUIRE_FALSE(value_of(target.is_idle(other)));
  value_of(target.synchronize_device());
  return value_of(target.is_idle(other));
}

// Ends the capture, runs what it got and counts it.
std::size_t end_and_replay(cudaStream_t captured) {
  cudaGraph_t graph = nullptr;
  WEIR_CUDA_OK(cudaStreamEndCapture(captured, &graph));
  REQUIRE(graph != nullptr);
  std::size_t nodes = 0;
  cudaGraphExec_t exec = nullptr;
  WEIR_CUDA_OK(cudaGraphGetNodes(graph, nullptr, &nodes));
  WEIR_CUDA_OK(cudaGraphInstantiate(&exec, graph, 0));
  WEIR_CUDA_OK(cudaGraphLaunch(exec, captured));
  WEIR_CUDA_OK(cudaStreamSynchronize(captured));
  WEIR_CUDA_OK(cudaGraphExecDestroy(exec));
  WEIR_CUDA_OK(cudaGraphDestroy(graph));
  return nodes;
}

// In each mode, of streams of both kinds, and whether or not the capture has got anything yet.
TEST_CASE("device wait: it waits, and a capture on this thread survives it") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  for (const unsigned flags : {cudaStreamNonBlocking, cudaStreamDefault}) {
    for (const auto mode :
         {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed}) {
      for (const unsigned before : {0U, 1U}) {
        CAPTURE(flags, mode, before);
        gpu_stream captured(flags), other(flags);
        WEIR_CUDA_OK(cudaStreamBeginCapture(captured, mode));
        if (before) busy(1, captured);
        CHECK(waits_for(*target, other));
        busy(1, captured);
        CHECK(end_and_replay(captured) == before + 1);  // what the capture got, and nothing of ours
      }
    }
  }
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("device wait: an empty capture survives it") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  gpu_stream captured, other;
  WEIR_CUDA_OK(cudaStreamBeginCapture(captured, cudaStreamCaptureModeGlobal));
  CHECK(waits_for(*target, other));
  CHECK(end_and_replay(captured) == 0);
}

TEST_CASE("device wait: a capture survives several at once of other threads") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  gpu_stream captured;
  std::atomic<int> failed{0};
  WEIR_CUDA_OK(cudaStreamBeginCapture(captured, cudaStreamCaptureModeGlobal));
  busy(1, captured);
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] {
      for (int n = 0; n < 50; ++n) {
        if (!target->synchronize_device()) ++failed;
      }
    });
  }
  for (std::thread& waiter : waiters) waiter.join();
  CHECK(failed == 0);
  CHECK(end_and_replay(captured) == 1);
}

TEST_CASE("device wait: it waits for the special streams too") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  gpu_stream blocking(cudaStreamDefault);
  for (const cudaStream_t stream : {cudaStream_t(blocking), cudaStreamLegacy, cudaStreamPerThread}) {
    CHECK(waits_for(*target, stream));
  }
}

TEST_CASE("device wait: it waits for a host function, the last of its stream") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  gpu_stream stream;
  static std::atomic<bool> called;
  called = false;
  const auto function = [](void*) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    called = true;
  };
  WEIR_CUDA_OK(cudaLaunchHostFunc(stream, function, nullptr));
  value_of(target->synchronize_device());
  CHECK(called);
  stream.synchronize();
}

// The wait is not only for the host's sake: the native pool has to see that what was freed is free.
TEST_CASE("device wait: a trim after it gives back what was freed behind work") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  gpu_stream captured, other;
  WEIR_CUDA_OK(cudaStreamBeginCapture(captured, cudaStreamCaptureModeGlobal));
  busy(1, captured);
  void* block = value_of(target->allocate(64 * MiB, other));
  busy(20'000, other);
  backend_event* done = value_of(target->create_event());
  value_of(target->record(done, other));
  value_of(target->wait(target->own_stream(), done));
  value_of(target->deallocate(block, target->own_stream()));
  value_of(target->synchronize_device());
  value_of(target->trim(0));
  CHECK(value_of(target->pool_bytes()).reserved == 0);
  target->destroy_event(done);
  CHECK(end_and_replay(captured) == 1);
}

// CUDA has no way to ask whether some stream of the device is being captured, and says nothing on what a device-wide
// wait does to a capture. What synchronize_device() could be made of, measured and printed.
struct outcome {
  cudaError_t status = cudaSuccess;
  bool waited = false;
  cudaError_t ended = cudaSuccess;
};

outcome try_during_capture(cudaStreamCaptureMode mode, const std::function<cudaError_t()>& call) {
  gpu_stream captured, other;
  outcome out;
  WEIR_CUDA_OK(cudaStreamBeginCapture(captured, cudaStreamCaptureModeGlobal));
  busy(1, captured);
  WEIR_CUDA_OK(cudaThreadExchangeStreamCaptureMode(&mode));
  busy(20'000, other);
  out.status = call();
  out.waited = cudaStreamQuery(other) == cudaSuccess;
  WEIR_CUDA_OK(cudaThreadExchangeStreamCaptureMode(&mode));
  cudaGraph_t graph = nullptr;
  out.ended = cudaStreamEndCapture(captured, &graph);
  if (graph) (void)cudaGraphDestroy(graph);
  (void)cudaGetLastError();
  WEIR_CUDA_OK(cudaDeviceSynchronize());
  return out;
}

void print(const char* what, const outcome& o) {
  std::printf("  %-28s answers %-34s waits %-4s capture %s\n", what, cudaGetErrorName(o.status),
              o.waited ? "yes" : "no", o.ended == cudaSuccess ? "lives" : cudaGetErrorName(o.ended));
}

// Made before the captures, so that each call is tried alone.
struct things_to_free {
  void *large = nullptr, *small = nullptr, *host = nullptr;
  void* page = std::aligned_alloc(4096, 4096);
  void* registered = std::aligned_alloc(4096, 4096);
  things_to_free() {
    WEIR_CUDA_OK(cudaMalloc(&large, 2 * MiB));
    WEIR_CUDA_OK(cudaMalloc(&small, 256));
    WEIR_CUDA_OK(cudaMallocHost(&host, 4096));
    WEIR_CUDA_OK(cudaHostRegister(registered, 4096, cudaHostRegisterDefault));
  }
  ~things_to_free() {
    (void)cudaHostUnregister(page);
    std::free(page);
    std::free(registered);
  }
};

double idle_us(const std::function<void()>& wait) {
  constexpr int rounds = 200;
  wait();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) wait();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count() / rounds;
}

TEST_CASE("device wait: what it costs on an idle device, printed") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  const double ours = idle_us([&] { (void)target->synchronize_device(); });
  const double theirs = idle_us([] { (void)cudaDeviceSynchronize(); });
  std::printf("on an idle device: synchronize_device() %.1f us, cudaDeviceSynchronize %.1f us\n", ours, theirs);
  CHECK(code_of(target->synchronize_device()) == errc::ok);
}

TEST_CASE("device wait: what CUDA's own do to a capture, printed") {
  require_device();
  const auto relaxed = cudaStreamCaptureModeRelaxed;
  things_to_free those;
  const auto attribute = [] {
    cudaMemPool_t pool = nullptr;
    std::uint64_t value = 0;
    if (const cudaError_t status = cudaDeviceGetDefaultMemPool(&pool, 0)) return status;
    return cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &value);
  };
  std::printf("during a global capture, by a thread in relaxed mode:\n");
  const outcome nothing = try_during_capture(relaxed, [] { return cudaSuccess; });
  print("nothing", nothing);
  print("cudaFree of 2 MiB", try_during_capture(relaxed, [&] { return cudaFree(those.large); }));
  print("cudaFree of 256 bytes", try_during_capture(relaxed, [&] { return cudaFree(those.small); }));
  print("cudaFreeHost", try_during_capture(relaxed, [&] { return cudaFreeHost(those.host); }));
  print("cudaHostRegister",
        try_during_capture(relaxed, [&] { return cudaHostRegister(those.page, 4096, cudaHostRegisterDefault); }));
  print("cudaHostUnregister", try_during_capture(relaxed, [&] { return cudaHostUnregister(those.registered); }));
  print("cudaDeviceSynchronize", try_during_capture(relaxed, [] { return cudaDeviceSynchronize(); }));
  std::printf("and by one in global mode:\n");
  print("cudaMemPoolGetAttribute", try_during_capture(cudaStreamCaptureModeGlobal, attribute));
  CHECK_FALSE(nothing.waited);  // or nothing above was told by it
}

}  // namespace
}  // namespace weir::test
