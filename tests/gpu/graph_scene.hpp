// SPDX-License-Identifier: Apache-2.0
//
// CUDA graphs on a pool: captures, a pipeline whose every result word depends on all its scratch memory, and eager
// traffic of other threads. Everything of CUDA's that a capture forbids is made before it.
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"
#include "weir/pool.hpp"

namespace weir::test {

// A stream with its token, retired before it goes.
struct lane {
  explicit lane(pool& of) : owner(of), token(value_of(of.stream(raw_stream(handle)))) {}
  ~lane() { (void)owner.retire(token).has_value(); }
  lane(const lane&) = delete;
  lane& operator=(const lane&) = delete;

  pool& owner;
  gpu_stream handle;
  weir::stream token;
};

// From cudaMalloc, for the life of the object.
class device_block {
 public:
  explicit device_block(std::size_t bytes) : words_{nullptr, bytes} { WEIR_CUDA_OK(cudaMalloc(&words_.begin, bytes)); }
  ~device_block() { (void)cudaFree(words_.begin); }
  device_block(const device_block&) = delete;
  device_block& operator=(const device_block&) = delete;
  operator words() const noexcept { return words_; }

 private:
  words words_;
};

class gpu_event {
 public:
  gpu_event() { WEIR_CUDA_OK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  ~gpu_event() { (void)cudaEventDestroy(event_); }
  gpu_event(const gpu_event&) = delete;
  gpu_event& operator=(const gpu_event&) = delete;
  // As order() in gpu.hpp, also inside a capture.
  void order(cudaStream_t earlier, cudaStream_t later) const {
    WEIR_CUDA_OK(cudaEventRecord(event_, earlier));
    WEIR_CUDA_OK(cudaStreamWaitEvent(later, event_, 0));
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Becomes executable at its first launch: what that takes is not for a time when others capture.
class graph {
 public:
  // Ends the capture on the stream.
  explicit graph(cudaStream_t captured) { WEIR_CUDA_OK(cudaStreamEndCapture(captured, &graph_)); }
  graph(graph&& other) noexcept
      : graph_(std::exchange(other.graph_, nullptr)), executable_(std::exchange(other.executable_, nullptr)) {}
  graph& operator=(graph&&) = delete;
  ~graph() {
    if (executable_) (void)cudaGraphExecDestroy(executable_);
    if (graph_) (void)cudaGraphDestroy(graph_);
  }

  void launch(cudaStream_t on) {
    if (!executable_) WEIR_CUDA_OK(cudaGraphInstantiate(&executable_, graph_, 0));
    WEIR_CUDA_OK(cudaGraphLaunch(executable_, on));
  }
  // From now on launches what `other` was captured as. Precondition: launched before.
  void update_from(const graph& other) {
    cudaGraphExecUpdateResultInfo info{};
    WEIR_CUDA_OK(cudaGraphExecUpdate(executable_, other.graph_, &info));
  }
  std::size_t node_count() const {
    std::size_t count = 0;
    WEIR_CUDA_OK(cudaGraphGetNodes(graph_, nullptr, &count));
    return count;
  }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

inline void begin_capture(cudaStream_t on) { WEIR_CUDA_OK(cudaStreamBeginCapture(on, cudaStreamCaptureModeGlobal)); }

// What `body` puts on the stream, as a graph. `memory` is what it allocates from, or new where that is empty; it is a
// share of it afterwards.
template <class Body>
graph capture(pool& from, const lane& on, graph_memory& memory, Body body) {
  capture_scope scope = from.capture(on.token, memory);
  memory = scope.memory();
  begin_capture(on.handle);
  body();
  return graph(on.handle);
}

// --- where a pipeline's scratch memory comes from --------------------------------------------------------------------

class plain_memory {
 public:
  plain_memory() = default;
  plain_memory(const plain_memory&) = delete;
  plain_memory& operator=(const plain_memory&) = delete;
  ~plain_memory() {
    (void)cudaDeviceSynchronize();
    for (void* each : all_) (void)cudaFree(each);
  }
  void* get(std::size_t bytes) {
    void* block = nullptr;
    WEIR_CUDA_OK(cudaMalloc(&block, bytes));
    all_.push_back(block);
    return block;
  }
  void put(const words&) {}

 private:
  std::vector<void*> all_;
};

// Stream: a token or a raw handle.
template <class Stream>
struct pooled_memory {
  pool& from;
  Stream on;
  void* get(std::size_t bytes) { return value_of(from.try_allocate(bytes, on)); }
  void put(const words& block) { value_of(from.try_deallocate(block.begin, block.bytes, on)); }
};
template <class Stream>
pooled_memory(pool&, Stream) -> pooled_memory<Stream>;

// --- pipelines -------------------------------------------------------------------------------------------------------

inline constexpr std::size_t result_bytes = 64 * KiB;

template <class Memory>
words made_of(Memory& memory, std::size_t bytes, words one, words other, std::uint32_t salt, cudaStream_t on) {
  const words out{memory.get(bytes), bytes};
  blend(out, one, other, salt, on);
  return out;
}

// Small, medium and big blocks, most of them freed before the next is asked for.
template <class Memory>
void run_pipeline(Memory& memory, cudaStream_t on, words seed, words result, std::uint32_t salt = 0) {
  const words a = made_of(memory, 3 * KiB, seed, seed, salt, on);
  const words b = made_of(memory, 200 * KiB, a, seed, salt, on);
  const words c = made_of(memory, 3 * MiB, b, a, salt, on);
  memory.put(a);
  const words d = made_of(memory, 24 * MiB, c, b, salt, on);
  memory.put(b);
  const words e = made_of(memory, 300 * KiB, d, c, salt, on);
  memory.put(c);
  memory.put(d);
  const words f = made_of(memory, 5 * KiB, e, e, salt, on);
  const words g = made_of(memory, 24 * MiB, f, e, salt, on);
  blend(result, g, f, salt, on);
  memory.put(e);
  memory.put(f);
  memory.put(g);
}

// Expected results of a pipeline for several seeds, found eagerly with memory of nobody else's; and the buffers that a
// graph of the pipeline reads and writes.
class expectation {
 public:
  static constexpr unsigned variants = 8;

  // `run` is given plain memory, a stream, the seed and the result.
  template <class Run>
  explicit expectation(Run run) {
    plain_memory memory;
    const gpu_stream on;
    for (unsigned i = 0; i < variants; ++i) {
      WEIR_CUDA_OK(cudaMemsetAsync(words(seed_).begin, static_cast<int>(i), 4, on));
      run(memory, on, words(seed_), expected(i));
    }
    on.synchronize();
  }

  words seed() const noexcept { return seed_; }
  words result() const noexcept { return result_; }

  // One launch, its result compared on the device. Each turn has another seed than the one before it.
  void replay(graph& g, cudaStream_t on, unsigned turn) {
    WEIR_CUDA_OK(cudaMemsetAsync(seed().begin, static_cast<int>(turn % variants), 4, on));
    WEIR_CUDA_OK(cudaMemsetAsync(result().begin, 0xa5, result_bytes, on));
    g.launch(on);
    mismatches_.compare(result().begin, expected(turn % variants).begin, result_bytes, on);
  }
  // Synchronises the device.
  unsigned long long mismatches() const { return mismatches_.total(); }

 private:
  words expected(unsigned i) const noexcept {
    return {static_cast<char*>(words(expected_).begin) + i * result_bytes, result_bytes};
  }

  device_block seed_{256}, result_{result_bytes}, expected_{variants * result_bytes};
  mismatch_counter mismatches_;
};

// --- eager work ------------------------------------------------------------------------------------------------------

// A thread that allocates, writes, checks and frees on a stream until it is told to stop.
class traffic {
 public:
  traffic(pool& from, cudaStream_t on, unsigned number)
      : thread_([this, &from, on, number] { run(from, on, number); }) {}
  ~traffic() {
    if (thread_.joinable()) stop();
  }
  traffic(const traffic&) = delete;
  traffic& operator=(const traffic&) = delete;

  // Blocks it had; waits until there were some.
  std::uint64_t begun() const {
    while (rounds_.load() < 50 && failures_.load() == 0) std::this_thread::yield();
    return rounds_.load();
  }
  void stop() {
    is_over_ = true;
    thread_.join();
  }
  // After stop(). Synchronises the device.
  unsigned long long mismatches() const { return mismatches_.total(); }
  unsigned failures() const { return failures_.load(); }
  std::uint64_t rounds() const { return rounds_.load(); }

 private:
  struct filled {
    words block;
    std::uint32_t seed;
  };

  void run(pool& from, cudaStream_t handle, unsigned number) {
    const auto on = from.stream(raw_stream(handle));
    if (!on) ++failures_;
    std::mt19937 random(number);
    std::deque<filled> live;
    const auto drop_oldest = [&] {
      const auto [block, seed] = live.front();
      mismatches_.check(block.begin, block.bytes, seed, handle);
      if (!from.try_deallocate(block.begin, block.bytes, *on)) ++failures_;
      live.pop_front();
    };
    for (std::uint32_t i = 0; on && !is_over_; ++i) {
      const auto bytes =
          static_cast<std::size_t>(std::exp2(std::uniform_real_distribution<>(8, i % 40 ? 19 : 26)(random)));
      const auto block = from.try_allocate(bytes, *on);
      if (!block) {
        ++failures_;
        continue;
      }
      const std::uint32_t seed = number * 10'000'000 + i;
      fill(*block, bytes, seed, handle);
      live.push_back({{*block, bytes}, seed});
      if (live.size() > 24) drop_oldest();
      if (i % 200 == 199 && !from.trim(256 * MiB)) ++failures_;
      ++rounds_;
    }
    while (!live.empty()) drop_oldest();
  }

  mismatch_counter mismatches_;
  std::atomic<bool> is_over_{false};
  std::atomic<unsigned> failures_{0};
  std::atomic<std::uint64_t> rounds_{0};
  std::thread thread_;  // last: it uses the others
};

}  // namespace weir::test
