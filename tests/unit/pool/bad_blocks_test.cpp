// SPDX-License-Identifier: Apache-2.0
//
// What cannot be freed: each named, nothing changed, nothing lost.
#include <atomic>
#include <functional>
#include <thread>

#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t small = 3000, medium = 3 * MiB, big = 40 * MiB;

// Refuses, with that code and without changing anything, both by the answer and to the bug handler.
class refusals {
 public:
  explicit refusals(scene& s) : scene_(s) {}

  void expect(errc code, void* p, std::size_t bytes, const weir::stream& stream) {
    INFO("given " << bytes << " bytes");
    const holdings before = holdings_of(scene_.pool);
    const auto broken = scene_.pool.validate();
    bug_catcher bugs;
    CHECK(why(scene_.pool.try_deallocate(p, bytes, stream)) == code);
    CHECK(why(scene_.pool.try_deallocate(p, bytes, raw_stream(stream.handle()))) == code);
    if (bytes == 0) {
      CHECK(why(scene_.pool.try_deallocate(p, stream)) == code);
      scene_.pool.deallocate(p, stream);
    }
    scene_.pool.deallocate(p, bytes, stream);
    CHECK(bugs.told() == std::vector<errc>(bytes == 0 ? 2 : 1, code));
    CHECK(holdings_of(scene_.pool) == before);
    CHECK(scene_.pool.validate() == broken);
  }

 private:
  scene& scene_;
};

TEST_CASE("foreign pointer: one from the host, from nowhere, from another pool") {
  scene s, other;
  const weir::stream stream = s.make_stream(), elsewhere = other.make_stream();
  s.put(s.get(small, stream), small, stream);
  refusals refused(s);
  int on_the_host = 0;
  refused.expect(errc::foreign_pointer, &on_the_host, 0, stream);
  refused.expect(errc::foreign_pointer, reinterpret_cast<void*>(~std::uintptr_t{0}), 0, stream);
  refused.expect(errc::foreign_pointer, reinterpret_cast<void*>(std::uintptr_t{256}), 0, stream);
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = other.get(bytes, elsewhere);
    refused.expect(errc::foreign_pointer, p, bytes, stream);
    refused.expect(errc::foreign_pointer, p, 0, stream);
    CHECK(why(s.pool.record_use(p, stream)) == errc::foreign_pointer);
    other.put(p, bytes, elsewhere);
  }
  void* direct = other.pool.allocate_direct(small);
  refused.expect(errc::foreign_pointer, direct, 0, stream);
  CHECK(why(s.pool.try_deallocate_direct(direct)) == errc::foreign_pointer);
  other.pool.deallocate_direct(direct);
}

TEST_CASE("interior pointer: inside a small, a medium, a big and a direct block") {
  scene s;
  const weir::stream stream = s.make_stream();
  refusals refused(s);
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.get(bytes, stream);
    for (const std::size_t into : {std::size_t{1}, std::size_t{256}, bytes / 2, bytes - 1}) {
      refused.expect(errc::foreign_pointer, offset(p, into), 0, stream);
      CHECK(why(s.pool.record_use(offset(p, into), stream)) == errc::foreign_pointer);
    }
    s.put(p, bytes, stream);
  }
  void* direct = s.pool.allocate_direct(small);
  refused.expect(errc::foreign_pointer, offset(direct, 256), 0, stream);
  CHECK(why(s.pool.try_deallocate_direct(offset(direct, 256))) == errc::foreign_pointer);
  s.pool.deallocate_direct(direct);
}

TEST_CASE("double free: of a small block in a thread's cache") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(small, stream);
  s.put(p, small, stream);
  REQUIRE(s.pool.statistics().cached > 0);
  refusals(s).expect(errc::double_free, p, 0, stream);
  refusals(s).expect(errc::double_free, p, small, stream);
  CHECK(why(s.pool.record_use(p, stream)) == errc::foreign_pointer);
}

TEST_CASE("double free: of a small block in its heap") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* stays = s.get(small, stream);  // its slab stays too
  void* p = s.get(small, stream);
  s.put(p, small, stream);
  must(s.pool.defragment());
  REQUIRE(s.pool.statistics().cached == 0);
  refusals(s).expect(errc::double_free, p, 0, stream);
  s.put(stays, small, stream);
}

TEST_CASE("double free: of a small block that waits for another stream") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* p = s.get(small, a);
  must(s.pool.record_use(p, b));
  s.put(p, small, a);
  refusals(s).expect(errc::double_free, p, 0, a);
}

TEST_CASE("double free: of a medium block, free and pending") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  void* stays = s.get(medium, a);
  void* p = s.get(medium, a);
  void* q = s.get(medium, a);
  s.put(p, medium, a);
  refusals(s).expect(errc::double_free, p, 0, a);
  s.order(a, b);
  s.busy(b);
  s.put(q, medium, b);
  refusals(s).expect(errc::double_free, q, 0, a);
  s.put(stays, medium, a);
}

TEST_CASE("double free: of a big block that is kept, and of one that is gone") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(big, stream);
  s.put(p, big, stream);
  refusals(s).expect(errc::double_free, p, 0, stream);
  s.device->synchronize();
  must(s.pool.trim(0));
  refusals(s).expect(errc::foreign_pointer, p, 0, stream);
}

// Small blocks do without: a race of frees is found in checked mode only.
TEST_CASE("double free: of two threads that free a large block at once, one succeeds") {
  scene s;
  const weir::stream stream = s.make_stream();
  constexpr unsigned rounds = 2000;
  std::atomic<unsigned> round{0}, done{0}, freed{0};
  void* p = nullptr;
  const auto free_it = [&] {
    if (s.pool.try_deallocate(p, stream)) ++freed;
    ++done;
  };
  // To be quick off the mark it does not yield at once.
  const auto wait_for = [](const std::atomic<unsigned>& what, unsigned count) {
    for (unsigned spins = 0; what < count;)
      if (++spins % 4096 == 0) std::this_thread::yield();
  };
  std::thread other([&] {
    for (unsigned i = 1; i <= rounds; ++i) {
      wait_for(round, i);
      free_it();
    }
  });
  for (unsigned i = 1; i <= rounds; ++i) {
    p = s.pool.allocate(i % 2 ? medium : big, stream);
    round = i;
    for (unsigned lead = 0; lead < i % 64; ++lead) (void)done.load();
    free_it();
    wait_for(done, 2 * i);
  }
  other.join();
  CHECK(freed == rounds);
}

// A direct block leaves no trace, so a second free of it finds nothing of ours there.
TEST_CASE("double free: of a direct block is a foreign pointer") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.pool.allocate_direct(small);
  s.pool.deallocate_direct(p);
  refusals(s).expect(errc::foreign_pointer, p, 0, stream);
  const auto calls = s.device->calls().direct_deallocate;
  bug_catcher bugs;
  s.pool.deallocate_direct(p);
  CHECK(bugs.told() == std::vector{errc::foreign_pointer});
  CHECK(s.device->calls().direct_deallocate == calls);
}

TEST_CASE("wrong size: of another class, small, medium, big and direct") {
  scene s;
  const weir::stream stream = s.make_stream();
  refusals refused(s);
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.get(bytes, stream);
    for (const std::size_t given : {std::size_t{1}, bytes / 2, bytes * 2, SIZE_MAX, SIZE_MAX - 100})
      refused.expect(errc::size_mismatch, p, given, stream);
    s.put(p, bytes, stream);
  }
  void* direct = s.pool.allocate_direct(small);
  refused.expect(errc::size_mismatch, direct, small - 1, stream);
  refused.expect(errc::size_mismatch, direct, small + 1, stream);
  must(s.pool.try_deallocate(direct, small, stream));
}

TEST_CASE("wrong size: in checked mode, by a byte") {
  scene s({.checked = true});
  const weir::stream stream = s.make_stream();
  refusals refused(s);
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.get(bytes, stream);
    refused.expect(errc::size_mismatch, p, bytes - 1, stream);
    refused.expect(errc::size_mismatch, p, bytes + 1, stream);
    const auto refusal = s.pool.try_deallocate(p, bytes - 1, stream);
    CHECK(refusal.error().bytes == bytes - 1);
    CHECK(refusal.error().limit == bytes);
    s.put(p, bytes, stream);
  }
  // Aligned ones too, whose class says less than others'.
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.get(bytes, stream, 64 * KiB);
    refused.expect(errc::size_mismatch, p, bytes - 1, stream);
    s.put(p, bytes, stream);
  }
}

TEST_CASE("wrong size: the message names what was given and what the block has") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(4096, stream);
  const auto refusal = s.pool.try_deallocate(p, 100, stream);
  REQUIRE_FALSE(refusal);
  CHECK(refusal.error().message() == "size mismatch: 100 bytes given, the block has 4096");
  s.put(p, 4096, stream);
}

TEST_CASE("refused frees: what they named still serves its owner, and can be freed") {
  scene s;
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.get(bytes, stream);
    CHECK(why(s.pool.try_deallocate(p, 1, stream)) == errc::size_mismatch);
    CHECK(why(s.pool.try_deallocate(offset(p, 256), stream)) == errc::foreign_pointer);
    void* q = s.get(bytes, stream);
    CHECK_FALSE(overlap(p, bytes, q, bytes));
    s.put(q, bytes, stream);
    s.put(p, bytes, stream);
  }
  s.device->synchronize();
  must(s.pool.trim(0));
  CHECK(s.pool.statistics().reserved == 0);
}

}  // namespace
}  // namespace weir::test
