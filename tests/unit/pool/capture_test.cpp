// SPDX-License-Identifier: Apache-2.0
//
// Memory of captures. A graph here is the list of what its kernels wrote and read, put on a stream again at each
// launch; so the device's checker sees whoever else was given that memory.
#include <optional>

#include "scene.hpp"

namespace weir::test {
namespace {

struct graph {
  std::vector<sim::range> writes;
  void launch(scene& s, const weir::stream& on) const { s.device->launch(on.handle(), 5'000, writes); }
};

// A capture on one stream: the scope around it, and what its kernels touch.
class capture {
 public:
  capture(scene& s, weir::stream on, graph_memory with = {})
      : scene_(s), on_(std::move(on)), scope_(s.pool.capture(on_, with)) {
    s.device->set_capturing(on_.handle(), true);
  }
  ~capture() {
    if (scope_) end();
  }
  void* get(std::size_t bytes, std::size_t alignment = pool::alignment_default) {
    void* p = scene_.pool.allocate(bytes, on_, alignment);
    made.writes.push_back({p, bytes});
    return p;
  }
  void put(void* p, std::size_t bytes) { must(scene_.pool.try_deallocate(p, bytes, on_)); }
  graph_memory end() {
    scene_.device->set_capturing(on_.handle(), false);
    graph_memory memory = scope_->memory();
    scope_.reset();
    return memory;
  }
  graph made;

 private:
  scene& scene_;
  weir::stream on_;
  std::optional<capture_scope> scope_;
};

// Eager work of all sizes on one stream.
void churn(scene& s, const weir::stream& on, int rounds = 20) {
  for (int i = 0; i < rounds; ++i) {
    std::vector<std::pair<void*, std::size_t>> live;
    for (const std::size_t bytes : {std::size_t{300}, 5 * KiB, 70 * KiB, 900 * KiB, 3 * MiB, 20 * MiB, 40 * MiB})
      live.emplace_back(s.get(bytes, on), bytes);
    for (const auto& [p, bytes] : live) s.put(p, bytes, on);
    s.device->advance(20'000);
  }
}

TEST_CASE("capture: what it allocated is nobody else's while its memory lives, whatever else goes on") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream(), c = s.make_stream();
  churn(s, a, 3);
  churn(s, b, 3);
  capture on_a(s, a);
  for (const std::size_t bytes : {std::size_t{1}, 700 * KiB, 2 * MiB, 30 * MiB, 100 * MiB}) {
    void* p = on_a.get(bytes);
    on_a.put(p, bytes);
  }
  void* kept = on_a.get(8 * KiB);
  const graph g = on_a.made;
  graph_memory memory = on_a.end();
  CHECK(memory.bytes() >= 100 * MiB);
  for (int i = 0; i < 20; ++i) {
    g.launch(s, c);  // ordered with nobody
    churn(s, a, 1);
    churn(s, b, 1);
    if (i % 5 == 2) must(s.pool.trim(0));
    if (i % 5 == 3) must(s.pool.defragment());
    if (i % 5 == 4) must(s.pool.set_bytes_max(2 * GiB));
  }
  CHECK(s.device->violations().empty());
  must(s.pool.try_deallocate(kept, c));
  must(memory.release(c));
  CHECK_FALSE(memory);
  churn(s, a);
}

TEST_CASE("capture: what is freed inside is used again inside, in the stream's order") {
  scene s;
  const weir::stream a = s.make_stream();
  for (const std::size_t bytes : {std::size_t{512}, 90 * KiB, 5 * MiB, 50 * MiB}) {
    INFO(bytes);
    capture on_a(s, a);
    void* first = on_a.get(bytes);
    void* second = on_a.get(bytes);
    CHECK(first != second);
    on_a.put(first, bytes);
    CHECK(on_a.get(bytes) == first);
    on_a.put(first, bytes);
    on_a.put(second, bytes);
    graph_memory memory = on_a.end();
    CHECK(memory.bytes() <= 2 * bytes + 40 * MiB);
  }
}

TEST_CASE("capture: nothing comes from a thread's cache, and afterwards from there again") {
  scene s;
  const weir::stream a = s.make_stream();
  void* p = s.get(4 * KiB, a);
  s.put(p, 4 * KiB, a);
  capture on_a(s, a);
  void* q = on_a.get(4 * KiB);
  CHECK(q != p);
  on_a.put(q, 4 * KiB);
  graph_memory memory = on_a.end();
  void* again = s.get(4 * KiB, a);
  CHECK(again != q);
  s.put(again, 4 * KiB, a);
  const auto hits = s.pool.statistics().served.cache;
  void* hit = s.get(4 * KiB, a);
  CHECK(s.pool.statistics().served.cache == hits + 1);
  s.put(hit, 4 * KiB, a);
}

TEST_CASE("capture: a block that is live at its end may be freed anywhere, and stays with its memory") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  for (const std::size_t bytes : {std::size_t{2 * KiB}, 3 * MiB, 40 * MiB}) {
    INFO(bytes);
    capture on_a(s, a);
    void* out = on_a.get(bytes);
    const graph g = on_a.made;
    graph_memory memory = on_a.end();
    g.launch(s, a);
    s.order(a, b);
    s.read(out, bytes, b, long_ns);
    must(s.pool.try_deallocate(out, bytes, b));
    CHECK(s.pool.try_deallocate(out, bytes, b).error().code == errc::double_free);
    void* other = s.get(bytes, a);
    CHECK_FALSE(overlap(out, bytes, other, bytes));
    s.put(other, bytes, a);
    // A later capture of the memory has it once the reader is done.
    capture early(s, a, memory);
    void* meanwhile = early.get(bytes);
    CHECK_FALSE(overlap(out, bytes, meanwhile, bytes));
    early.put(meanwhile, bytes);
    early.end();
    s.device->synchronize();
    capture late(s, a, memory);
    std::vector<void*> all;
    const std::size_t held = memory.bytes();
    while (memory.bytes() == held && (all.empty() || all.back() != out)) all.push_back(late.get(bytes));
    CHECK(all.back() == out);
    for (void* each : all) late.put(each, bytes);
    late.end();
    must(memory.release(a));
  }
}

TEST_CASE("capture: several graphs share one memory, and it grows by nothing") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  capture first(s, a);
  void* p = first.get(20 * MiB);
  first.put(p, 20 * MiB);
  graph_memory memory = first.end();
  const std::size_t bytes = memory.bytes();
  capture second(s, b, memory);
  void* q = second.get(20 * MiB);
  CHECK(p == q);
  second.put(q, 20 * MiB);
  CHECK(second.end() == memory);
  CHECK(memory.bytes() == bytes);
}

TEST_CASE("capture: two streams of one capture have each its own part of the memory") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  capture on_a(s, a);
  capture_scope on_b = s.pool.capture(b, on_a.end());
  capture again(s, a, on_b.memory());
  void* p = again.get(1 * MiB);
  again.put(p, 1 * MiB);
  void* q = s.pool.allocate(1 * MiB, b);
  CHECK(p != q);
  must(s.pool.try_deallocate(q, b));
  CHECK(on_b.memory() == again.end());
}

TEST_CASE("capture: a released memory serves others behind the stream, and nothing waits") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  capture on_a(s, a);
  void* p = on_a.get(40 * MiB);
  void* small = on_a.get(1 * KiB);
  on_a.put(p, 40 * MiB);
  on_a.put(small, 1 * KiB);
  const graph g = on_a.made;
  graph_memory memory = on_a.end();
  g.launch(s, a);
  s.busy(a);
  g.launch(s, a);
  const auto before = s.pool.statistics();
  must(memory.release(a));
  CHECK(s.pool.statistics().native.synchronize == before.native.synchronize);
  churn(s, b, 3);  // its graph still runs
  s.device->synchronize();
  churn(s, b, 3);
  must(s.pool.trim(0));
  s.device->synchronize();
  must(s.pool.trim(0));
  CHECK(s.pool.statistics().held == 0);
  CHECK(s.pool.statistics().reserved == 0);
}

TEST_CASE("capture: without a stream the last share waits for the device, the others for nothing") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  capture on_a(s, a);
  void* p = on_a.get(40 * MiB);
  on_a.put(p, 40 * MiB);
  const graph g = on_a.made;
  auto memory = std::make_unique<graph_memory>(on_a.end());
  g.launch(s, a);
  s.busy(a);
  g.launch(s, a);
  { const graph_memory copy = *memory; }
  const auto before = s.pool.statistics().native.synchronize;
  SECTION("dropped") { memory.reset(); }
  SECTION("released behind two streams") {
    graph_memory copy = *memory;
    must(copy.release(a));
    CHECK(s.pool.statistics().native.synchronize == before);
    must(memory->release(b));
  }
  SECTION("released, while the last was only dropped") {
    graph_memory copy = *memory;
    must(copy.release(a));
    memory.reset();
  }
  SECTION("behind a stream that is retired") {
    must(s.pool.retire(b));
    CHECK(memory->release(b).error().code == errc::stream_retired);
  }
  CHECK(s.pool.statistics().native.synchronize > before);
  churn(s, s.make_stream(), 5);
}

TEST_CASE("capture: blocks that outlive its memory are freed as any other") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  capture on_a(s, a);
  void* out = on_a.get(10 * KiB);
  void* large = on_a.get(4 * MiB);
  const graph g = on_a.made;
  graph_memory memory = on_a.end();
  g.launch(s, a);
  must(memory.release(a));
  s.order(a, b);
  churn(s, b, 5);
  s.read(out, 10 * KiB, b);
  must(s.pool.try_deallocate(out, b));
  must(s.pool.try_deallocate(large, b));
  CHECK(s.pool.statistics().live_count == 0);
  s.device->synchronize();
  must(s.pool.defragment());
  must(s.pool.trim(0));
  CHECK(s.pool.statistics().held == 0);
}

TEST_CASE("capture: memory got for it is there when the capture ends, though what it was made of still was in use") {
  scene s({}, {.bytes_total = 160 * MiB});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* p = s.get(128 * MiB, b);
  s.busy(b);
  s.put(p, 128 * MiB, b);
  capture on_a(s, a);
  void* q = on_a.get(100 * MiB);
  const graph g = on_a.made;
  graph_memory memory = on_a.end();
  CHECK(s.pool.statistics().native.grow == 1);  // it is what b had
  g.launch(s, a);
  must(s.pool.try_deallocate(q, a));
}

TEST_CASE("capture: an eager block freed inside serves its stream again when that runs") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* eager = s.get(64 * KiB, a);
  s.busy(a);
  capture on_a(s, a);
  must(s.pool.try_deallocate(eager, a));
  void* p = on_a.get(64 * KiB);
  CHECK(p != eager);
  on_a.put(p, 64 * KiB);
  churn(s, b, 2);
  graph_memory memory = on_a.end();
  churn(s, a, 2);
  churn(s, b, 2);
}

TEST_CASE("capture: a block used on another stream inside is not used again inside") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  for (const std::size_t bytes : {std::size_t{2 * KiB}, 3 * MiB}) {
    capture on_a(s, a);
    void* p = on_a.get(bytes);
    must(s.pool.record_use(p, b));
    s.busy(b);
    on_a.put(p, bytes);
    CHECK(on_a.get(bytes) != p);
    on_a.end();
  }
}

TEST_CASE("capture: raw handles, of which CUDA tells nothing while they are captured") {
  scene s;
  const stream_handle handle = s.device->create_stream();
  const raw_stream raw = handle;
  graph_memory memory;
  {
    capture_scope scope = s.pool.capture(raw);
    s.device->set_capturing(handle, true);
    void* p = s.pool.allocate(5 * KiB, raw);
    s.pool.deallocate(p, raw);
    CHECK(s.pool.allocate(5 * KiB, raw) == p);
    s.pool.deallocate(p, raw);
    memory = scope.memory();
    s.device->set_capturing(handle, false);
  }
  s.device->set_capturing(handle, true);
  CHECK(s.pool.try_allocate(5 * KiB, raw).error().code == errc::stream_capturing);
  s.device->set_capturing(handle, false);
  must(memory.release(raw));
}

TEST_CASE("capture: without a scope the error names one") {
  scene s({.guard_capture = true});
  const weir::stream a = s.make_stream();
  s.put(s.get(4 * KiB, a), 4 * KiB, a);
  s.device->set_capturing(a.handle(), true);
  const auto refused = s.pool.try_allocate(4 * KiB, a);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::stream_capturing);
  CHECK(refused.error().message().find("capture") != std::string::npos);
  s.device->set_capturing(a.handle(), false);
  capture on_a(s, a);
  void* p = on_a.get(4 * KiB);
  on_a.put(p, 4 * KiB);
}

TEST_CASE("capture: alignments and sizes") {
  scene s;
  const weir::stream a = s.make_stream();
  capture on_a(s, a);
  for (const std::size_t alignment : {std::size_t{256}, 4 * KiB, 2 * MiB, 64 * MiB})
    for (const std::size_t bytes : {std::size_t{1}, 100 * KiB, 17 * MiB}) {
      void* p = on_a.get(bytes, alignment);
      CHECK(reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
      on_a.put(p, bytes);
    }
  CHECK(s.pool.allocate(0, a) == nullptr);
  CHECK(s.pool.try_allocate(1, a, 3).error().code == errc::invalid_alignment);
  CHECK(s.pool.try_allocate(std::size_t{200} * GiB, a).error().code == errc::invalid_size);
  CHECK(s.pool.try_allocate(std::size_t{100} * GiB, a, 64 * GiB).error().code == errc::invalid_alignment);
  on_a.end();
}

TEST_CASE("capture: under a limit it has what others do not need, and says what it could not have") {
  scene s({.bytes_max = 512 * MiB});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  for (int i = 0; i < 4; ++i) s.put(s.get(100 * MiB, b), 100 * MiB, b);
  s.device->synchronize();
  capture on_a(s, a);
  void* p = on_a.get(300 * MiB);
  const auto refused = s.pool.try_allocate(300 * MiB, a);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::out_of_memory);
  REQUIRE(refused.error().report);
  CHECK(refused.error().report->live >= 300 * MiB);
  on_a.put(p, 300 * MiB);
  graph_memory memory = on_a.end();
  CHECK(s.pool.try_allocate(300 * MiB, b).error().code == errc::out_of_memory);
  must(memory.release(a));
  void* q = must(s.pool.try_allocate(300 * MiB, b));
  must(s.pool.try_deallocate(q, b));
}

TEST_CASE("capture: bad calls") {
  scene s, t;
  const weir::stream a = s.make_stream();
  weir::pool none;
  CHECK(none.try_capture(a).error().code == errc::null_pool);
  CHECK(t.pool.try_capture(a).error().code == errc::wrong_device);
  capture_scope scope = s.pool.capture(a);
  CHECK(s.pool.try_capture(a).error().code == errc::invalid_argument);
  const weir::stream elsewhere = t.make_stream();
  CHECK(t.pool.try_capture(elsewhere, scope.memory()).error().code == errc::invalid_argument);
  scope.end();
  scope.end();
  CHECK_FALSE(scope.memory());
  capture_scope again = s.pool.capture(a);
  must(s.pool.retire(a));
  CHECK(s.pool.try_capture(a).error().code == errc::stream_retired);
}

TEST_CASE("capture: scopes and memory that outlive their pool do nothing") {
  auto device = sim::device::make();
  std::optional<weir::pool> p = weir::pool::make(device->make_backend());
  const weir::stream a = must(p->stream(device->create_stream()));
  capture_scope scope = p->capture(a);
  void* block = p->allocate(3 * MiB, a);
  p->deallocate(block, a);
  graph_memory memory = scope.memory();
  p.reset();
  CHECK(memory.bytes() == 0);
  CHECK(memory.release(a).has_value());
  scope.end();
}

TEST_CASE("capture: a pool whose blocks are direct gives a graph memory that stays") {
  scene s({.bypass = true});
  const weir::stream a = s.make_stream();
  capture on_a(s, a);
  void* p = on_a.get(1 * MiB);
  on_a.put(p, 1 * MiB);
  const graph g = on_a.made;
  graph_memory memory = on_a.end();
  void* other = s.get(1 * MiB, a);
  CHECK(other != p);
  g.launch(s, a);
  s.put(other, 1 * MiB, a);
}

TEST_CASE("capture: statistics count what it has, and an observer is told") {
  scene s;
  const weir::stream a = s.make_stream();
  const auto before = s.pool.statistics();
  capture on_a(s, a);
  void* p = on_a.get(64 * KiB);
  void* q = on_a.get(6 * MiB);
  const auto meanwhile = s.pool.statistics();
  CHECK(meanwhile.live_count == 2);
  CHECK(meanwhile.allocated >= 6 * MiB + 64 * KiB);
  CHECK(meanwhile.pinned > 0);
  CHECK(meanwhile.pinned <= meanwhile.held);
  on_a.put(p, 64 * KiB);
  on_a.put(q, 6 * MiB);
  graph_memory memory = on_a.end();
  CHECK(s.pool.statistics().live_count == 0);
  CHECK(s.pool.statistics().allocated == 0);
  CHECK(s.pool.statistics().pinned == memory.bytes());
  must(memory.release(a));
  CHECK(s.pool.statistics().pinned == 0);
  CHECK(s.pool.statistics().allocations == before.allocations + 2);
}

}  // namespace
}  // namespace weir::test
