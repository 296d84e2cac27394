// SPDX-License-Identifier: Apache-2.0
//
// Graphs captured with a pool's memory: each replay gives the bits of the eager run, and disturbs nobody's.
#include <optional>

#include "graph_scene.hpp"

namespace weir::test {
namespace {

constexpr unsigned replays = 1000;

void run_plain(plain_memory& memory, cudaStream_t on, words seed, words result) {
  run_pipeline(memory, on, seed, result);
}

graph capture_pipeline(pool& from, const lane& on, graph_memory& memory, words seed, words result,
                       std::uint32_t salt = 0) {
  return capture(from, on, memory, [&] {
    pooled_memory scratch{from, on.token};
    run_pipeline(scratch, on.handle, seed, result, salt);
  });
}

// Replays amid eager work on the same stream and on another, which went on all the while.
void replay_amid_traffic(pool& from, graph& g, expectation& expected, const lane& same, const lane& other) {
  traffic on_same(from, same.handle, 1), on_other(from, other.handle, 2);
  const std::uint64_t begun = on_same.begun() + on_other.begun();
  for (unsigned i = 0; i < replays; ++i) expected.replay(g, same.handle, i);
  on_same.stop();
  on_other.stop();
  CHECK(expected.mismatches() == 0);
  CHECK(on_same.mismatches() == 0);
  CHECK(on_other.mismatches() == 0);
  CHECK(on_same.failures() + on_other.failures() == 0);
  CHECK(on_same.rounds() + on_other.rounds() > begun);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("graph: a pipeline gives the same bits a thousand times amid eager work on its stream and another") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  const lane a(pool), b(pool);
  expectation expected(run_plain);
  graph_memory memory;
  graph g = capture_pipeline(pool, a, memory, expected.seed(), expected.result());
  CHECK(memory.bytes() >= 27 * MiB);
  CHECK(g.node_count() == 8);  // its kernels, and nothing of ours
  replay_amid_traffic(pool, g, expected, a, b);
  CHECK(pool.statistics().allocated == 0);
  CHECK(pool.validate().empty());
  value_of(memory.release(a.token));
}

// Two branches, each with scratch memory of its own stream; `handed` goes from one to the other and back.
template <class Memory>
void run_forked(Memory on_a, Memory on_b, cudaStream_t a, cudaStream_t b, words seed, words result,
                const gpu_event& fork, const gpu_event& join) {
  const words root = made_of(on_a, 2 * MiB, seed, seed, 1, a);
  const words handed{on_a.get(40 * KiB), 40 * KiB};
  fork.order(a, b);
  const words b1 = made_of(on_b, 2 * MiB, root, seed, 2, b);
  const words b2 = made_of(on_b, 18 * MiB, b1, root, 3, b);
  on_b.put(b1);
  const words b3 = made_of(on_b, 2 * MiB, b2, b2, 4, b);
  on_b.put(b2);
  blend(handed, b3, root, 5, b);
  on_b.put(b3);
  const words a1 = made_of(on_a, 2 * MiB, root, seed, 6, a);
  const words a2 = made_of(on_a, 18 * MiB, a1, root, 7, a);
  on_a.put(a1);
  const words a3 = made_of(on_a, 7 * KiB, a2, a2, 8, a);
  on_a.put(a2);
  join.order(b, a);
  blend(result, a3, handed, 9, a);
  on_a.put(a3);
  on_a.put(handed);
  on_a.put(root);
}

// A view of plain memory that can be copied as pooled_memory can.
struct plain_view {
  plain_memory* of;
  void* get(std::size_t bytes) { return of->get(bytes); }
  void put(const words& block) { of->put(block); }
};

TEST_CASE("graph: a capture forked to a second stream, two scopes with one memory") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  const lane a(pool), b(pool);
  const gpu_event fork, join;
  expectation expected([&](plain_memory& memory, cudaStream_t on, words seed, words result) {
    run_forked(plain_view{&memory}, plain_view{&memory}, on, on, seed, result, fork, join);
  });
  std::optional<graph> g;
  graph_memory memory;
  {
    const capture_scope on_a = pool.capture(a.token);
    const capture_scope on_b = pool.capture(b.token, on_a.memory());
    begin_capture(a.handle);
    run_forked(pooled_memory{pool, a.token}, pooled_memory{pool, b.token}, a.handle, b.handle, expected.seed(),
               expected.result(), fork, join);
    g.emplace(a.handle);
    memory = on_b.memory();
    CHECK(memory == on_a.memory());
  }
  CHECK(memory.bytes() >= 40 * MiB);
  replay_amid_traffic(pool, *g, expected, a, b);
  CHECK(pool.statistics().allocated == 0);
  CHECK(pool.validate().empty());
  value_of(memory.release(a.token));
}

TEST_CASE("graph: several graphs share one memory, which does not grow, and take turns on two streams") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  const lane a(pool), b(pool);
  graph_memory memory;
  std::vector<std::unique_ptr<expectation>> expected;
  std::vector<graph> graphs;
  std::size_t bytes = 0;
  for (std::uint32_t salt = 0; salt < 3; ++salt) {
    expected.push_back(std::make_unique<expectation>([&](auto& scratch, cudaStream_t on, words seed, words result) {
      run_pipeline(scratch, on, seed, result, salt);
    }));
    graphs.push_back(
        capture_pipeline(pool, salt == 1 ? b : a, memory, expected.back()->seed(), expected.back()->result(), salt));
    if (salt == 0) bytes = memory.bytes();
    CHECK(memory.bytes() == bytes);
  }
  traffic eager(pool, b.handle, 3);
  for (unsigned i = 0; i < 300; ++i) {
    const lane& on = i % 2 ? b : a;
    order(i % 2 ? a.handle : b.handle, on.handle);
    expected[i % 3]->replay(graphs[i % 3], on.handle, i);
  }
  eager.stop();
  for (const auto& each : expected) CHECK(each->mismatches() == 0);
  CHECK(eager.mismatches() == 0);
  value_of(memory.release(a.token));
}

TEST_CASE("graph: captured again into the same memory, an executable graph is updated in place") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  const lane a(pool), b(pool);
  graph_memory memory;
  expectation before(run_plain);
  expectation after(
      [](auto& scratch, cudaStream_t on, words seed, words result) { run_pipeline(scratch, on, seed, result, 77); });
  graph g = capture_pipeline(pool, a, memory, before.seed(), before.result());
  const std::size_t bytes = memory.bytes();
  before.replay(g, a.handle, 0);
  g.update_from(capture_pipeline(pool, a, memory, after.seed(), after.result(), 77));
  CHECK(memory.bytes() == bytes);
  traffic eager(pool, b.handle, 4);
  for (unsigned i = 0; i < 100; ++i) after.replay(g, a.handle, i);
  eager.stop();
  CHECK(before.mismatches() == 0);
  CHECK(after.mismatches() == 0);
  CHECK(eager.mismatches() == 0);
  value_of(memory.release(a.token));
}

TEST_CASE("graph: captures amid eager work, growth and trims of other threads stay valid") {
  require_device();
  pool pool = value_of(pool::try_make(0));
  const lane a(pool), b(pool), c(pool);
  expectation expected(run_plain);
  traffic on_b(pool, b.handle, 5), on_c(pool, c.handle, 6);
  (void)(on_b.begun() + on_c.begun());
  for (unsigned i = 0; i < 30; ++i) {
    graph_memory memory;
    graph g = capture_pipeline(pool, a, memory, expected.seed(), expected.result());
    for (unsigned turn = 0; turn < 4; ++turn) expected.replay(g, a.handle, i + turn);
    value_of(memory.release(a.token));
  }
  on_b.stop();
  on_c.stop();
  CHECK(expected.mismatches() == 0);
  CHECK(on_b.mismatches() == 0);
  CHECK(on_c.mismatches() == 0);
  CHECK(on_b.failures() + on_c.failures() == 0);
  CHECK(pool.validate().empty());
}

TEST_CASE("graph: raw handles allocate and free inside a scope") {
  require_device();
  pool pool = value_of(pool::try_make(0, {.guard_capture = true}));
  const gpu_stream handle;
  const raw_stream raw = stream_handle(handle);
  expectation expected(run_plain);
  graph_memory memory;
  std::optional<graph> g;
  {
    const capture_scope scope = pool.capture(raw);
    memory = scope.memory();
    begin_capture(handle);
    pooled_memory scratch{pool, raw};
    run_pipeline(scratch, handle, expected.seed(), expected.result());
    g.emplace(handle);
  }
  for (unsigned i = 0; i < 100; ++i) {
    void* eager = value_of(pool.try_allocate(24 * MiB, raw));
    WEIR_CUDA_OK(cudaMemsetAsync(eager, 0xff, 24 * MiB, handle));
    expected.replay(*g, handle, i);
    value_of(pool.try_deallocate(eager, raw));
  }
  CHECK(expected.mismatches() == 0);
  value_of(memory.release(raw));
  value_of(pool.retire(raw));
}

TEST_CASE("graph: without a scope the answer is stream_capturing, and the capture goes on") {
  require_device();
  pool pool = value_of(pool::try_make(0, {.guard_capture = true}));
  const lane a(pool);
  const gpu_stream unknown;
  void* warm = pool.allocate(4 * KiB, a.token);
  pool.deallocate(warm, a.token);
  for (const cudaStream_t captured : {cudaStream_t(a.handle), cudaStream_t(unknown)}) {
    begin_capture(captured);
    busy(1, captured);
    for (const std::size_t bytes : {4 * KiB, 2 * MiB, 40 * MiB})
      CHECK(code_of(pool.try_allocate(bytes, raw_stream(captured))) == errc::stream_capturing);
    if (captured == a.handle) CHECK(code_of(pool.try_allocate(4 * KiB, a.token)) == errc::stream_capturing);
    busy(1, captured);
    graph g(captured);
    CHECK(g.node_count() == 2);
    g.launch(a.handle);
  }
  a.handle.synchronize();
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(pool.statistics().live_count == 0);
}

}  // namespace
}  // namespace weir::test
