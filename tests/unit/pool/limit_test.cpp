// SPDX-License-Identifier: Apache-2.0
//
// bytes_max: reserved plus direct bytes never pass it, not even for a moment.
#include <algorithm>
#include <cmath>
#include <random>

#include "scene.hpp"

namespace weir::test {
namespace {

// Looks at the backend itself after every native call, and at its high mark, which sees what came between.
class limit_watch final : public observer {
 public:
  explicit limit_watch(std::size_t limit) : limit_(limit) {}

  void on_native(const native_event& e) noexcept override {
    if (e.call == native_call::direct_allocate) direct_ += e.bytes;
    if (e.call == native_call::direct_deallocate) direct_ -= e.bytes;
    if (!backend_) return;
    const auto bytes = backend_->pool_bytes();
    if (!bytes) return;
    const std::size_t high = std::max(bytes->reserved, bytes->reserved_high) + direct_;
    highest = std::max(highest, high);
    if (high > limit_) ++passed;
    (void)backend_->reset_reserved_high().has_value();
  }
  void look_at(backend& b) { backend_ = &b; }
  void set_limit(std::size_t limit) { limit_ = limit; }

  unsigned passed = 0;
  std::size_t highest = 0;

 private:
  backend* backend_ = nullptr;
  std::size_t limit_;
  std::size_t direct_ = 0;
};

TEST_CASE("limit: a random load of four streams and direct blocks never passes it") {
  for (const std::size_t limit : {96 * MiB, 300 * MiB, 1000 * MiB + 12345}) {
    INFO(limit);
    const auto watch = std::make_shared<limit_watch>(limit);
    scene s({.bytes_max = limit, .observer = watch});
    watch->look_at(s.pool.backend());
    std::mt19937 random(4);
    std::uniform_real_distribution<double> exponent(8, std::log2(static_cast<double>(limit) / 3));
    std::vector<weir::stream> streams;
    for (int i = 0; i < 4; ++i) streams.push_back(s.make_stream());
    struct block {
      void* begin;
      std::size_t bytes, owner;
    };
    std::vector<block> blocks;
    unsigned refused = 0;
    for (int i = 0; i < 1500; ++i) {
      const std::size_t at = random() % streams.size();
      const auto bytes = static_cast<std::size_t>(std::exp2(exponent(random)));
      const bool direct = random() % 16 == 0;
      auto p = direct ? s.pool.try_allocate_direct(bytes) : s.pool.try_allocate(bytes, streams[at]);
      if (p) {
        s.write(*p, bytes, streams[at], 50'000);
        blocks.push_back({*p, bytes, at});
      } else {
        REQUIRE(p.error().code == errc::out_of_memory);
        ++refused;
      }
      while (!blocks.empty() && (!p || random() % 2 == 0)) {
        std::swap(blocks[random() % blocks.size()], blocks.back());
        s.put(blocks.back().begin, blocks.back().bytes, streams[blocks.back().owner]);
        blocks.pop_back();
        if (p || random() % 2) break;
      }
    }
    CHECK(watch->passed == 0);
    CHECK(watch->highest > limit * 3 / 4);  // it was near
    CHECK(refused > 0);
    CHECK(s.pool.statistics().reserved_peak <= limit);
    for (const block& b : blocks) s.put(b.begin, b.bytes, streams[b.owner]);
  }
}

TEST_CASE("limit: nearly all of it can be had, as one block or as many") {
  constexpr std::size_t limit = 512 * MiB;
  scene s({.bytes_max = limit});
  const weir::stream stream = s.make_stream();
  void* whole = s.get(limit, stream);
  s.put(whole, limit, stream);
  for (const std::size_t bytes : {8 * MiB, 32 * MiB, 64 * MiB}) {
    INFO(bytes);
    std::vector<void*> blocks;
    for (auto p = s.pool.try_allocate(bytes, stream); p; p = s.pool.try_allocate(bytes, stream)) blocks.push_back(*p);
    CHECK(blocks.size() * bytes >= limit * 3 / 4);
    for (void* p : blocks) s.put(p, bytes, stream);
  }
  whole = s.get(limit, stream);
  s.put(whole, limit, stream);
}

TEST_CASE("set_bytes_max: raised, there is more to be had; lowered, memory is given back first") {
  const auto watch = std::make_shared<limit_watch>(64 * MiB);
  scene s({.bytes_max = 64 * MiB, .observer = watch});
  watch->look_at(s.pool.backend());
  const weir::stream stream = s.make_stream();
  CHECK(why(s.pool.try_allocate(65 * MiB, stream)) == errc::out_of_memory);
  must(s.pool.set_bytes_max(256 * MiB));
  watch->set_limit(256 * MiB);
  void* p = s.get(65 * MiB, stream);
  void* q = s.get(100 * MiB, stream);
  s.put(q, 100 * MiB, stream);
  must(s.pool.set_bytes_max(96 * MiB));
  CHECK(s.pool.statistics().reserved <= 96 * MiB);
  watch->set_limit(96 * MiB);
  CHECK(why(s.pool.try_allocate(65 * MiB, stream)) == errc::out_of_memory);
  s.put(p, 65 * MiB, stream);
  s.put(s.get(65 * MiB, stream), 65 * MiB, stream);
  CHECK(watch->passed == 0);
}

TEST_CASE("set_bytes_max: memory that is only cached, pending or behind running work does not stand in the way") {
  constexpr std::size_t small = 3000, medium = 4 * MiB, big = 64 * MiB;
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  for (const std::size_t bytes : {small, medium, big}) {
    std::vector<void*> blocks;
    for (int i = 0; i < 24; ++i) blocks.push_back(s.get(bytes, a));
    s.order(a, b);
    s.busy(a);
    s.busy(b);
    for (std::size_t i = 0; i < blocks.size(); ++i) s.put(blocks[i], bytes, i % 2 ? a : b);
  }
  must(s.pool.set_bytes_max(32 * MiB));
  CHECK(s.pool.statistics().reserved <= 32 * MiB);
}

TEST_CASE("set_bytes_max: with direct blocks on top, what is only cached does not stand in the way") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* direct = s.pool.allocate_direct(32 * MiB);
  s.put(s.get(3000, stream), 3000, stream);
  must(s.pool.set_bytes_max(32 * MiB));
  CHECK(s.pool.statistics().reserved == 0);
  CHECK(why(s.pool.try_allocate(512, stream)) == errc::out_of_memory);
  s.pool.deallocate_direct(direct);
  s.put(s.get(512, stream), 512, stream);
}

}  // namespace
}  // namespace weir::test
