// SPDX-License-Identifier: Apache-2.0
//
// The life of a graph's memory: where it comes from inside a capture, and how it goes back.
#include <optional>

#include "graph_scene.hpp"

namespace weir::test {
namespace {

constexpr unsigned late_us = 50'000;

// Nothing is left to do on it. A stream that is not done leaves an error behind.
bool is_done(cudaStream_t s) {
  const bool is = cudaStreamQuery(s) == cudaSuccess;
  (void)cudaGetLastError();
  return is;
}

// A graph that needs all of a large block, the pool it is of, and the bits it should give.
struct large_graph {
  large_graph() : g(make()) {}

  static constexpr std::size_t bytes = 200 * MiB;

  template <class Memory>
  static void run(Memory& memory, cudaStream_t on, words seed, words result) {
    const words block = made_of(memory, bytes, seed, seed, 1, on);
    const words small = made_of(memory, 1 * KiB, block, block, 2, on);
    blend(result, block, small, 3, on);
    memory.put(block);
    memory.put(small);
  }
  graph make() {
    return capture(pool, a, memory, [&] {
      pooled_memory scratch{pool, a.token};
      run(scratch, a.handle, expected.seed(), expected.result());
    });
  }
  // The last of these launches begins long after the call.
  void launch_late() {
    expected.replay(g, a.handle, 1);
    busy(late_us, a.handle);
    expected.replay(g, a.handle, 2);
  }
  // Others may have the memory, but not before the graph is done with it.
  void use_elsewhere() {
    for (std::uint32_t i = 0; i < 4; ++i) {
      void* block = value_of(pool.try_allocate(bytes, b.token));
      fill(block, bytes, i, b.handle);
      busy(2000, b.handle);
      others.check(block, bytes, i, b.handle);
      value_of(pool.try_deallocate(block, b.token));
      void* small = value_of(pool.try_allocate(1 * KiB, b.token));
      fill(small, 1 * KiB, i, b.handle);
      others.check(small, 1 * KiB, i, b.handle);
      value_of(pool.try_deallocate(small, b.token));
    }
  }
  void check_bits() const {
    CHECK(expected.mismatches() == 0);
    CHECK(others.total() == 0);
    CHECK(pool.validate().empty());
    CHECK(cudaGetLastError() == cudaSuccess);
  }

  weir::pool pool = value_of(pool::try_make(0));
  lane a{pool}, b{pool};
  expectation expected{
      [](plain_memory& scratch, cudaStream_t on, words seed, words result) { run(scratch, on, seed, result); }};
  mismatch_counter others;
  graph_memory memory;
  graph g;
};

TEST_CASE("graph memory: released behind a stream it serves others in order, and the host does not wait") {
  require_device();
  large_graph s;
  s.launch_late();
  value_of(s.memory.release(s.a.token));
  CHECK_FALSE(is_done(s.a.handle));
  CHECK(s.pool.statistics().pinned == 0);
  s.use_elsewhere();
  s.check_bits();
}

TEST_CASE("graph memory: while a share is left nobody has it") {
  require_device();
  large_graph s;
  graph_memory copy = s.memory;
  s.launch_late();
  value_of(copy.release(s.a.token));
  CHECK(s.pool.statistics().pinned >= large_graph::bytes);
  s.use_elsewhere();
  s.launch_late();
  s.check_bits();
  value_of(s.memory.release(s.a.token));
}

TEST_CASE("graph memory: dropped without a stream, its end waits for the device") {
  require_device();
  large_graph s;
  s.launch_late();
  CHECK_FALSE(is_done(s.a.handle));
  s.memory = {};
  CHECK(is_done(s.a.handle));
  s.use_elsewhere();
  s.check_bits();
}

TEST_CASE("graph memory: once given back it can be trimmed") {
  require_device();
  large_graph s;
  s.expected.replay(s.g, s.a.handle, 3);
  s.a.handle.synchronize();
  value_of(s.pool.trim(0));
  const auto kept = s.pool.statistics();
  CHECK(kept.pinned >= large_graph::bytes);
  CHECK(kept.reserved >= large_graph::bytes);
  s.expected.replay(s.g, s.a.handle, 4);  // a trim takes nothing from it
  value_of(s.memory.release(s.a.token));
  const auto trimmed = value_of(s.pool.synchronize_and_trim(0));
  CHECK(trimmed.reserved_after + large_graph::bytes <= kept.reserved);
  CHECK(s.pool.statistics().held == 0);
  s.check_bits();
}

TEST_CASE("graph memory: a stream may go after its scope; the graph runs on another") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  const lane b(pool);
  expectation expected(
      [](auto& memory, cudaStream_t on, words seed, words result) { run_pipeline(memory, on, seed, result); });
  graph_memory memory;
  std::optional<graph> g;
  {
    const lane a(pool);
    g.emplace(capture(pool, a, memory, [&] {
      pooled_memory scratch{pool, a.token};
      run_pipeline(scratch, a.handle, expected.seed(), expected.result());
    }));
  }
  traffic eager(pool, b.handle, 7);
  for (unsigned i = 0; i < 100; ++i) expected.replay(*g, b.handle, i);
  eager.stop();
  CHECK(expected.mismatches() == 0);
  CHECK(eager.mismatches() == 0);
  value_of(memory.release(b.token));
  CHECK(pool.statistics().pinned == 0);
}

TEST_CASE("graph memory: what is live at the end is freed eagerly, and stays the graph's") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  const lane a(pool), b(pool);
  for (const std::size_t bytes : {4 * KiB, 2 * MiB, 40 * MiB}) {
    INFO(bytes);
    mismatch_counter mismatches;
    graph_memory memory;
    void* out = nullptr;
    graph g = capture(pool, a, memory, [&] {
      out = value_of(pool.try_allocate(bytes, a.token));
      fill(out, bytes, 1, a.handle);
    });
    g.launch(a.handle);
    order(a.handle, b.handle);
    mismatches.check(out, bytes, 1, b.handle);
    value_of(pool.try_deallocate(out, bytes, b.token));
    CHECK(code_of(pool.try_deallocate(out, bytes, b.token)) == errc::double_free);
    order(b.handle, a.handle);
    for (std::uint32_t i = 2; i < 30; ++i) {
      const lane& on = i % 2 ? a : b;
      void* eager = value_of(pool.try_allocate(bytes, on.token));
      CHECK(eager != out);
      fill(eager, bytes, i, on.handle);
      g.launch(a.handle);
      busy(100, on.handle);
      mismatches.check(eager, bytes, i, on.handle);
      value_of(pool.try_deallocate(eager, bytes, on.token));
    }
    CHECK(mismatches.total() == 0);
    value_of(memory.release(a.token));
    CHECK(pool.statistics().live_count == 0);
  }
}

// A capture of another thread, open from construction to end().
class other_capture {
 public:
  other_capture()
      : thread_([this] {
          begun_ = cudaStreamBeginCapture(on_, cudaStreamCaptureModeGlobal);
          busy(1, on_);
          step_ = 1;
          while (step_ != 2) std::this_thread::yield();
          cudaGraph_t made = nullptr;
          ended_ = cudaStreamEndCapture(on_, &made);
          if (made) (void)cudaGraphDestroy(made);
        }) {
    while (step_ != 1) std::this_thread::yield();
  }
  ~other_capture() {
    if (thread_.joinable()) (void)end();
  }
  other_capture(const other_capture&) = delete;
  other_capture& operator=(const other_capture&) = delete;
  bool end() {
    step_ = 2;
    thread_.join();
    return begun_ == cudaSuccess && ended_ == cudaSuccess;
  }

 private:
  gpu_stream on_;
  std::atomic<int> step_{0};
  cudaError_t begun_ = cudaErrorUnknown, ended_ = cudaErrorUnknown;
  std::thread thread_;  // last: it uses the others
};

TEST_CASE("graph memory: growth inside a capture breaks neither it nor one on another thread") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  const lane a(pool);
  mismatch_counter mismatches;
  graph_memory memory;
  other_capture other;
  graph g = capture(pool, a, memory, [&] {
    const auto grown = pool.statistics().native.grow;
    for (const std::size_t bytes : {4 * KiB, 4 * MiB, 100 * MiB, 500 * MiB}) {
      void* block = value_of(pool.try_allocate(bytes, a.token));
      fill(block, bytes, 5, a.handle);
      mismatches.check(block, bytes, 5, a.handle);
      value_of(pool.try_deallocate(block, a.token));
    }
    CHECK(pool.statistics().native.grow > grown);
  });
  CHECK(other.end());
  CHECK(g.node_count() == 8);
  for (int i = 0; i < 10; ++i) g.launch(a.handle);
  CHECK(mismatches.total() == 0);
  value_of(memory.release(a.token));
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("graph memory: a capture takes what an eager stream has behind running work, and is right") {
  require_device();
  pool pool = value_of(pool::try_make(0, {.bytes_max = 768 * MiB}));
  const lane a(pool), b(pool);
  mismatch_counter mismatches;
  constexpr std::size_t bytes = 500 * MiB;
  void* eager = value_of(pool.try_allocate(bytes, b.token));
  fill(eager, bytes, 1, b.handle);
  busy(late_us, b.handle);
  mismatches.check(eager, bytes, 1, b.handle);
  value_of(pool.try_deallocate(eager, b.token));
  graph_memory memory;
  graph g = capture(pool, a, memory, [&] {
    void* block = value_of(pool.try_allocate(bytes, a.token));
    fill(block, bytes, 2, a.handle);
    mismatches.check(block, bytes, 2, a.handle);
    value_of(pool.try_deallocate(block, a.token));
  });
  g.launch(a.handle);  // ordered with nothing of b's
  CHECK(mismatches.total() == 0);
  CHECK(code_of(pool.try_allocate(bytes, b.token)) == errc::out_of_memory);
  value_of(memory.release(a.token));
  value_of(pool.try_deallocate(value_of(pool.try_allocate(bytes, b.token)), b.token));
}

}  // namespace
}  // namespace weir::test
