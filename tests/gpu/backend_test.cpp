// SPDX-License-Identifier: Apache-2.0
//
// What only the CUDA backend has to do: leave the runtime's last error alone, survive a fork, refuse what is not there.
#include <chrono>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "gpu.hpp"
#include "kernels.hpp"

namespace weir::test {
namespace {

constexpr std::size_t limit = 64 * MiB;

// Calls that fail, each for an everyday reason.
void fail_in_every_way(backend& target, cudaStream_t stream) {
  CHECK(code_of(target.allocate(4 * limit, stream)) == errc::out_of_memory);
  CHECK(code_of(target.allocate_direct(std::size_t{1} << 60)) == errc::out_of_memory);
  backend_event* event = value_of(target.create_event());
  busy(20'000, stream);
  value_of(target.record(event, stream));
  CHECK_FALSE(value_of(target.query(event)));
  CHECK_FALSE(value_of(target.is_idle(stream)));
  value_of(target.synchronize(event));
  CHECK(value_of(target.query(event)));
  target.destroy_event(event);
}

TEST_CASE("last error: our failures leave none behind") {
  require_device();
  auto target = value_of(make_cuda_backend(0, {.pool_bytes_max = limit}));
  gpu_stream stream;
  REQUIRE(cudaPeekAtLastError() == cudaSuccess);
  fail_in_every_way(*target, stream);
  CHECK(make_cuda_backend(9999).error().code == errc::no_such_device);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("last error: one of the caller's that waits is neither taken nor changed") {
  require_device();
  auto target = value_of(make_cuda_backend(0, {.pool_bytes_max = limit}));
  gpu_stream stream;
  fail_in_every_way(*target, stream);
  launch_nothing(stream);
  const cudaError_t waiting = cudaPeekAtLastError();
  REQUIRE(waiting != cudaSuccess);
  backend_event* event = value_of(target->create_event());
  CHECK(code_of(target->allocate(4 * limit, stream)) == errc::out_of_memory);
  value_of(target->record(event, stream));
  value_of(target->synchronize(event));
  value_of(target->is_idle(stream));
  value_of(target->pool_bytes());
  target->destroy_event(event);
  CHECK(cudaPeekAtLastError() == waiting);
  CHECK(cudaGetLastError() == waiting);
}

TEST_CASE("make: a device that does not exist is named") {
  require_device();
  const int count = value_of(cuda_device_count());
  for (const int ordinal : {count, 9999, -1}) {
    const auto made = make_cuda_backend(ordinal);
    REQUIRE(code_of(made) == errc::no_such_device);
    CHECK(made.error().limit == static_cast<std::size_t>(count));
  }
}

TEST_CASE("make: a pool that can be exported cannot be trimmed") {
  require_device();
  constexpr unsigned file_descriptor = 1;
  auto made = make_cuda_backend(0, {.handle_types = file_descriptor});
  if (code_of(made) == errc::not_supported) SKIP(made.error().message());
  auto target = value_of(std::move(made));
  CHECK_FALSE(target->capabilities().can_trim);
  CHECK(code_of(target->trim(0)) == errc::not_supported);
  void* block = value_of(target->allocate(MiB, target->own_stream()));
  value_of(target->deallocate(block, target->own_stream()));
}

TEST_CASE("end: a backend whose frees are pending gives its memory back once they are done") {
  require_device();
  auto watcher = value_of(make_cuda_backend(0));
  gpu_stream stream;
  const std::size_t before = value_of(watcher->memory()).free;
  {
    auto target = value_of(make_cuda_backend(0));
    void* block = value_of(target->allocate(2 * GiB, stream));
    busy(20'000, stream);
    fill(block, 2 * GiB, 1, stream);
    value_of(target->deallocate(block, stream));
  }
  CHECK(cudaGetLastError() == cudaSuccess);
  stream.synchronize();  // the driver gives back what it has seen complete
  std::size_t after = 0;
  for (int tries = 0; tries < 100 && after + GiB < before; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    after = value_of(watcher->memory()).free;
  }
  CHECK(after + GiB >= before);
}

// Runs in a forked child: which call answered something else than errc::forked, 0 for none.
int ask_everything(backend& target, stream_handle stream, void* block, backend_event* event) {
  if (code_of(target.allocate(MiB, stream)) != errc::forked) return 1;
  if (code_of(target.deallocate(block, stream)) != errc::forked) return 2;
  if (code_of(target.identify(stream)) != errc::forked) return 3;
  if (code_of(target.examine(stream)) != errc::forked) return 4;
  if (code_of(target.is_idle(stream)) != errc::forked) return 5;
  if (code_of(target.create_event()) != errc::forked) return 6;
  if (code_of(target.record(event, stream)) != errc::forked) return 7;
  if (code_of(target.query(event)) != errc::forked) return 8;
  if (code_of(target.wait(stream, event)) != errc::forked) return 9;
  if (code_of(target.synchronize(event)) != errc::forked) return 10;
  if (code_of(target.synchronize_device()) != errc::forked) return 11;
  if (code_of(target.pool_bytes()) != errc::forked) return 12;
  if (code_of(target.memory()) != errc::forked) return 13;
  if (code_of(target.trim(0)) != errc::forked) return 14;
  if (code_of(target.allocate_direct(MiB)) != errc::forked) return 15;
  if (code_of(cuda_device_count()) != errc::forked) return 16;
  if (code_of(make_cuda_backend(0)) != errc::forked) return 17;
  target.destroy_event(event);
  return 0;
}

TEST_CASE("fork: in the child every call answers that, and destruction is silent") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  backend_event* event = value_of(target->create_event());
  void* block = value_of(target->allocate(MiB, target->own_stream()));
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const int wrong = ask_everything(*target, target->own_stream(), block, event);
    target.reset();
    _exit(wrong);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  // The parent goes on.
  value_of(target->deallocate(block, target->own_stream()));
  target->destroy_event(event);
  value_of(target->synchronize_device());
}

}  // namespace
}  // namespace weir::test
