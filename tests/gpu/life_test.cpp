// SPDX-License-Identifier: Apache-2.0
//
// Lives that end early, and captures that mind: a pool in a child after fork, a stream destroyed with its frees
// pending, and a thread that captures in the strictest mode while a pool does everything it can do.
#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"
#include "weir/pool.hpp"

namespace weir::test {
namespace {

constexpr std::array<std::size_t, 3> sizes{4096, 3 * MiB, 64 * MiB};

bool is_forked(const auto& answer) { return !answer && answer.error().code == errc::forked; }

// 0, or which call answered otherwise.
int use_in_child(pool& p, const weir::stream& stream, const std::vector<void*>& blocks) {
  int step = 0;
  for (const std::size_t bytes : sizes)
    if (++step; !is_forked(p.try_allocate(bytes, stream))) return step;
  for (void* block : blocks)
    if (++step; !is_forked(p.try_deallocate(block, stream))) return step;
  if (++step; !is_forked(p.try_allocate_direct(MiB))) return step;
  if (++step; !is_forked(p.trim(0))) return step;
  if (++step; !is_forked(p.stream(raw_stream(nullptr)))) return step;
  p = {};  // and makes no call
  return 0;
}

TEST_CASE("fork: in the child a pool answers so, hits too, ends without a call, and the parent goes on") {
  require_device();
  pool p = pool::make(0, {.background = std::chrono::milliseconds(1)});
  gpu_stream handle;
  const weir::stream stream = value_of(p.stream(raw_stream(handle)));
  std::vector<void*> blocks;
  for (const std::size_t bytes : sizes) {
    blocks.push_back(p.allocate(bytes, stream));
    p.deallocate(p.allocate(bytes, stream), stream);
  }
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(20);
    _exit(use_in_child(p, stream, blocks));
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  mismatch_counter wrong;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    fill(blocks[i], sizes[i], 7, handle);
    wrong.check(blocks[i], sizes[i], 7, handle);
    p.deallocate(blocks[i], sizes[i], stream);
  }
  CHECK(wrong.total() == 0);
  CHECK(p.validate().empty());
}

// By raw handles, and never retired: the pool learns of it only when it needs the memory.
TEST_CASE("stream: destroyed with frees pending behind late work, its memory is whole when others get it") {
  require_device();
  pool p = pool::make(0, {.bytes_max = 512 * MiB});
  gpu_stream other;
  mismatch_counter wrong;
  for (std::uint32_t round = 0; round < 20; ++round) {
    cudaStream_t brief = nullptr;
    WEIR_CUDA_OK(cudaStreamCreateWithFlags(&brief, cudaStreamNonBlocking));
    busy(2000, brief);
    for (const std::size_t bytes : sizes) {
      void* block = p.allocate(bytes, raw_stream(brief));
      fill(block, bytes, round, brief);
      wrong.check(block, bytes, round, brief);
      p.deallocate(block, bytes, raw_stream(brief));
    }
    WEIR_CUDA_OK(cudaStreamDestroy(brief));
    for (const std::size_t bytes : {sizes[0], sizes[1], 256 * MiB}) {
      void* block = p.allocate(bytes, raw_stream(other));
      fill(block, bytes, 1000 + round, other);
      wrong.check(block, bytes, 1000 + round, other);
      p.deallocate(block, bytes, raw_stream(other));
    }
  }
  CHECK(wrong.total() == 0);
  CHECK(p.statistics().allocated == 0);
  CHECK(p.validate().empty());
}

// Begins, captures a kernel and ends, again and again; what is wrong is counted, since Catch2 is for one thread.
struct capturer {
  std::atomic<bool> stop{false};
  std::atomic<int> captures{0}, failures{0};

  void run() {
    cudaStream_t stream = nullptr;
    if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) ++failures;
    while (!stop) {
      cudaGraph_t graph = nullptr;
      std::size_t nodes = 0;
      bool good = cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess;
      busy(1, stream);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      busy(1, stream);
      good = cudaStreamEndCapture(stream, &graph) == cudaSuccess && good;
      good = good && cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess && nodes == 2;
      if (graph) (void)cudaGraphDestroy(graph);
      failures += !good;
      ++captures;
    }
    (void)cudaStreamDestroy(stream);
  }
};

TEST_CASE("capture: a thread captures in global mode while a pool grows, polls, trims, waits and runs its policies") {
  require_device();
  pool p = pool::make(0, {.bytes_max = GiB,
                          .trim = {release_above(256 * MiB), idle(std::chrono::milliseconds(2))},
                          .background = std::chrono::milliseconds(1)});
  capturer other;
  std::thread capturing([&] { other.run(); });
  gpu_stream a, b;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  int refused = 0, past_limit = 0, rounds = 0;
  std::string first;  // what was refused first
  const auto demand = [&](const char* what, const auto& answer) {
    if (answer) return;
    if (refused++ == 0) first = std::string(what) + ": " + answer.error().message();
  };
  for (; std::chrono::steady_clock::now() < end; ++rounds) {
    for (const std::size_t bytes : {sizes[0], sizes[1], sizes[2], std::size_t{200} * MiB}) {
      const auto block = p.try_allocate(bytes, raw_stream(a));
      demand("allocate", block);
      if (!block) continue;
      busy(20, a);
      order(a, b);
      demand("free", p.try_deallocate(*block, bytes, raw_stream(b)));
      const auto again = p.try_allocate(bytes, raw_stream(a));
      demand("allocate again", again);
      if (again) demand("free again", p.try_deallocate(*again, bytes, raw_stream(a)));
    }
    // More than the limit leaves: the pressure chain waits for the device.
    if (rounds % 16 == 0) past_limit += p.try_allocate(2 * GiB, raw_stream(a)).has_value();
    if (rounds % 4 == 0) demand("trim", p.trim(0));
    if (rounds % 8 == 0) {
      const auto direct = p.try_allocate_direct(MiB);
      demand("direct", direct);
      if (direct) demand("free of direct", p.try_deallocate_direct(*direct));
    }
  }
  other.stop = true;
  capturing.join();
  INFO(first);
  CHECK(refused == 0);
  CHECK(past_limit == 0);
  CHECK(other.failures == 0);
  CHECK(other.captures > 100);
  CHECK(rounds > 10);
  CHECK(p.validate().empty());
}

}  // namespace
}  // namespace weir::test
