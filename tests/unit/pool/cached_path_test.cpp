// SPDX-License-Identifier: Apache-2.0
//
// What a hit may serve and take, looked at where it is decided (hit.hpp) and through the pool: nothing but an ordinary
// live block of this pool, of the size said, on a stream of this pool that is not retired.
#include <array>
#include <memory>
#include <utility>

#include "pool/hit.hpp"
#include "scene.hpp"
#include "worker.hpp"

namespace weir::test {
namespace {

constexpr std::size_t small = 3000, medium = 3 * MiB, big = 40 * MiB;
constexpr std::array sizes{small, medium, big};

// Under the thread sanitizer there are no hits, and what they would do is done by the slow path.
const bool has_hits = cache::has_asymmetric_barrier();

const detail::pool_impl* impl_of(const weir::stream& s) { return s.state()->owner.load(); }

bool takes(const detail::pool_impl* pool, const weir::stream& s, void* p, std::size_t bytes) {
  return detail::give_hit(pool, s.state(), p, bytes) || detail::give_other_hit(pool, s, p, bytes);
}
bool takes(const weir::stream& s, void* p, std::size_t bytes) { return takes(impl_of(s), s, p, bytes); }

bool serves(const detail::pool_impl* pool, const weir::stream& s, std::size_t bytes) {
  void* p = nullptr;
  return detail::take_hit(pool, s.state(), bytes, p) || detail::take_other_hit(pool, s, bytes, p);
}

// So that this thread's cache for the stream has a free block of each size, and room for more. Twice: before it grows
// for the one, the pool takes back the others.
void warm(scene& s, const weir::stream& stream) {
  for (const std::size_t bytes : {small, medium, big, small, medium, big}) {
    std::array<void*, 2> blocks{s.get(bytes, stream), s.get(bytes, stream)};
    for (void* p : blocks) s.put(p, bytes, stream);
  }
}

std::size_t cached_large(const scene& s) { return s.pool.statistics().cached_large; }

TEST_CASE("hit: each size is served and taken, with its size said and without") {
  scene s;
  const weir::stream stream = s.make_stream();
  warm(s, stream);
  const auto before = s.pool.statistics();
  for (const std::size_t bytes : sizes)
    for (const std::size_t said : {bytes, std::size_t{0}}) {
      INFO(bytes);
      void* p = nullptr;
      const bool hit = detail::take_hit(impl_of(stream), stream.state(), bytes, p) ||
                       detail::take_other_hit(impl_of(stream), stream, bytes, p);
      CHECK(hit == has_hits);
      if (hit) CHECK(takes(stream, p, said));
    }
  const auto after = s.pool.statistics();
  CHECK(after.allocations == before.allocations + (has_hits ? 6 : 0));
  CHECK(after.deallocations == before.deallocations + (has_hits ? 6 : 0));
  CHECK(after.cached == before.cached);
}

TEST_CASE("hit: a block of the host, of nowhere, or of another pool is not taken") {
  scene s, other;
  const weir::stream stream = s.make_stream(), elsewhere = other.make_stream();
  warm(s, stream);
  warm(other, elsewhere);
  int on_the_host = 0;
  std::vector<void*> wrong{nullptr, &on_the_host, &wrong, reinterpret_cast<void*>(&serves)};
  for (unsigned bit = 0; bit < 64; ++bit)
    for (const std::uintptr_t less : {0, 1, 256})
      wrong.push_back(reinterpret_cast<void*>((std::uintptr_t{1} << bit) - less));
  wrong.push_back(reinterpret_cast<void*>(~std::uintptr_t{0}));
  for (void* p : wrong)
    for (const std::size_t bytes : {std::size_t{0}, small, medium, big}) CHECK_FALSE(takes(stream, p, bytes));
  for (const std::size_t bytes : sizes) {
    void* p = other.get(bytes, elsewhere);
    CHECK_FALSE(takes(stream, p, 0));
    CHECK_FALSE(takes(stream, p, bytes));
    other.put(p, bytes, elsewhere);
  }
}

// Wild addresses that end as a live block's does: what the page map does not know must not be folded onto what it does.
TEST_CASE("hit: a live block's address with a bit too many is not taken") {
  scene s;
  const weir::stream stream = s.make_stream();
  warm(s, stream);
  for (const std::size_t bytes : sizes) {
    void* p = s.get(bytes, stream);
    for (unsigned bit = 36; bit < 64; ++bit) {
      const auto at = reinterpret_cast<std::uintptr_t>(p) ^ std::uintptr_t{1} << bit;
      INFO("bit " << bit);
      CHECK_FALSE(takes(stream, reinterpret_cast<void*>(at), 0));
      CHECK(why(s.pool.try_deallocate(reinterpret_cast<void*>(at), stream)) == errc::foreign_pointer);
    }
    s.put(p, bytes, stream);
  }
}

TEST_CASE("hit: an interior pointer is not taken") {
  scene s;
  const weir::stream stream = s.make_stream();
  warm(s, stream);
  for (const std::size_t bytes : sizes) {
    INFO(bytes);
    std::array<void*, 2> blocks{s.get(bytes, stream), s.get(bytes, stream)};
    for (std::size_t into = 256; into < bytes; into += into < 8192 ? 256 : bytes / 64 / 256 * 256)
      for (void* p : blocks) CHECK_FALSE(takes(stream, offset(p, into), 0));
    CHECK_FALSE(takes(stream, offset(blocks[0], 1), 0));
    for (void* p : blocks) s.put(p, bytes, stream);
  }
}

TEST_CASE("hit: a block that was freed is not taken again, wherever it is") {
  for (const bool in_heap : {false, true}) {
    scene s;
    const weir::stream stream = s.make_stream();
    warm(s, stream);
    for (const std::size_t bytes : sizes) {
      INFO(bytes << (in_heap ? " in a heap" : " in a cache"));
      void* stays = s.get(bytes, stream);
      void* p = s.get(bytes, stream);
      s.put(p, bytes, stream);
      if (in_heap) must(s.pool.defragment());
      const holdings before = holdings_of(s.pool);
      for (const std::size_t said : {std::size_t{0}, bytes}) {
        CHECK_FALSE(takes(stream, p, said));
        CHECK(why(s.pool.try_deallocate(p, said, stream)) == errc::double_free);
      }
      CHECK(holdings_of(s.pool) == before);
      s.put(stays, bytes, stream);
    }
  }
}

TEST_CASE("hit: a wrong size is not taken; the right one is, rounded as the block was") {
  scene s;
  const weir::stream stream = s.make_stream();
  warm(s, stream);
  for (const std::size_t bytes : sizes) {
    INFO(bytes);
    void* p = s.get(bytes, stream);
    for (const std::size_t said :
         {std::size_t{1}, bytes / 2, bytes - bytes / 4, bytes + bytes / 4, bytes * 2, small + 1, medium + 1, big + 1,
          MiB, MiB + 1, 16 * MiB + 1, SIZE_MAX, SIZE_MAX - 16 * KiB}) {
      const std::size_t rounded = said <= MiB ? 0 : (said + 16 * KiB - 1) / (16 * KiB) * (16 * KiB);
      if (bytes == small && said == small + 1) continue;   // the same class
      if (bytes == medium && rounded == medium) continue;  // the same granules
      INFO(said);
      CHECK_FALSE(takes(stream, p, said));
    }
    s.put(p, bytes, stream);
  }
}

TEST_CASE("hit: a block in a larger one's place keeps its own size") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(big, stream);
  s.put(p, big, stream);
  const std::size_t less = big - 3 * MiB;
  void* q = s.get(less, stream);
  REQUIRE(p == q);
  CHECK_FALSE(takes(stream, q, big));
  CHECK(why(s.pool.try_deallocate(q, big, stream)) == errc::size_mismatch);
  s.put(q, less, stream);
  CHECK(cached_large(s) >= big);
}

TEST_CASE(
    "cached blocks: an over-aligned one above 1 MiB enters no cache, and its size is believed as far as it goes") {
  scene s;
  const weir::stream stream = s.make_stream();
  warm(s, stream);
  must(s.pool.defragment());
  for (const std::size_t bytes : {medium, big})
    for (const std::size_t alignment : {512 + std::size_t{0}, 64 * KiB, 2 * MiB, 64 * MiB}) {
      INFO(bytes << " at " << alignment);
      void* p = s.get(bytes, stream, alignment);
      CHECK(reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
      CHECK_FALSE(takes(stream, p, 0));
      s.put(p, bytes, stream);
      CHECK(cached_large(s) == 0);
    }
}

TEST_CASE("cached blocks: one with a use announced enters no cache, and waits for that use") {
  for (const std::size_t bytes : sizes) {
    INFO(bytes);
    scene s;
    const weir::stream a = s.make_stream(), b = s.make_stream();
    warm(s, a);
    must(s.pool.defragment());
    void* p = s.get(bytes, a);
    const std::size_t cached = s.pool.statistics().cached;
    s.order(a, b);
    must(s.pool.record_use(p, b));
    s.read(p, bytes, b, long_ns);
    CHECK_FALSE(takes(a, p, 0));
    s.put(p, bytes, a);
    CHECK(s.pool.statistics().cached == cached);
    CHECK(s.pool.statistics().pending >= bytes);
    void* q = s.get(bytes, a);
    CHECK_FALSE(overlap(p, bytes, q, bytes));
    s.put(q, bytes, a);
  }
}

TEST_CASE("token: of another pool is refused where it was just used, and where it is found") {
  scene s, other;
  const weir::stream mine = s.make_stream(), theirs = other.make_stream();
  warm(s, mine);
  for (const bool is_last : {true, false}) {
    warm(other, theirs);
    if (!is_last) warm(s, mine);
    for (const std::size_t bytes : sizes) {
      INFO(bytes << (is_last ? ", the last used" : ""));
      CHECK_FALSE(serves(impl_of(mine), theirs, bytes));
      CHECK(why(s.pool.try_allocate(bytes, theirs)) == errc::wrong_device);
      void* p = s.get(bytes, mine);
      if (is_last) warm(other, theirs);
      const holdings before = holdings_of(other.pool);
      CHECK_FALSE(takes(impl_of(mine), theirs, p, bytes));
      CHECK(why(s.pool.try_deallocate(p, bytes, theirs)) == errc::wrong_device);
      CHECK(holdings_of(other.pool) == before);
      s.put(p, bytes, mine);
    }
  }
}

TEST_CASE("token: after hits with it, a retired one is refused") {
  scene s;
  const weir::stream stays = s.make_stream();
  for (const std::size_t bytes : sizes) {
    INFO(bytes);
    const weir::stream stream = s.make_stream();
    warm(s, stream);
    const auto* pool = impl_of(stream);
    void* p = s.get(bytes, stream);
    must(s.pool.retire(stream));
    CHECK_FALSE(serves(pool, stream, bytes));
    CHECK_FALSE(takes(pool, stream, p, bytes));
    CHECK(why(s.pool.try_allocate(bytes, stream)) == errc::stream_retired);
    CHECK(why(s.pool.try_deallocate(p, bytes, stream)) == errc::stream_retired);
    CHECK(why(s.pool.try_deallocate(p, stream)) == errc::stream_retired);
    CHECK(s.pool.statistics().cached == 0);
    s.device->synchronize();
    s.put(p, bytes, stays);
    must(s.pool.defragment());
  }
}

TEST_CASE("token: an empty one, and a null pool, after hits") {
  scene s;
  const weir::stream stream = s.make_stream(), empty;
  warm(s, stream);
  weir::pool null;
  for (const std::size_t bytes : sizes) {
    void* p = s.get(bytes, stream);
    CHECK(why(s.pool.try_allocate(bytes, empty)) == errc::invalid_argument);
    CHECK(why(s.pool.try_deallocate(p, bytes, empty)) == errc::invalid_argument);
    for (const weir::stream& on : {stream, empty}) {
      CHECK(why(null.try_allocate(bytes, on)) == errc::null_pool);
      CHECK(why(null.try_deallocate(p, bytes, on)) == errc::null_pool);
    }
    CHECK(why(null.try_allocate(bytes, raw_stream(stream.handle()))) == errc::null_pool);
    CHECK(why(null.try_deallocate(p, bytes, raw_stream(stream.handle()))) == errc::null_pool);
    s.put(p, bytes, stream);
  }
}

TEST_CASE("caches: more streams than a thread has places for, each with its own blocks") {
  scene s;
  std::vector<weir::stream> streams;
  for (int i = 0; i < 40; ++i) streams.push_back(s.make_stream());
  std::vector<std::array<void*, 3>> had(streams.size());
  for (std::size_t i = 0; i < streams.size(); ++i)
    for (std::size_t k = 0; k < 2; ++k) had[i][k] = s.get(sizes[k], streams[i]);
  for (std::size_t i = 0; i < streams.size(); ++i)
    for (std::size_t k = 0; k < 2; ++k) s.put(had[i][k], sizes[k], streams[i]);
  const auto served = s.pool.statistics().served;
  for (int round = 0; round < 5; ++round)
    for (std::size_t n = 0; n < streams.size(); ++n) {
      const std::size_t i = round % 2 ? streams.size() - 1 - n : n * 7 % streams.size();
      for (std::size_t k = 0; k < 2; ++k) {
        void* p = s.get(sizes[k], streams[i]);
        CHECK(p == had[i][k]);
        s.put(p, sizes[k], streams[i]);
      }
    }
  CHECK(s.pool.statistics().served.cache == served.cache + 5 * 2 * streams.size());
}

TEST_CASE("caches: one that was idle goes away, and its thread makes another when it comes again") {
  scene s({.trim = {idle(std::chrono::seconds(1))}, .big_cache_share = 1});
  const weir::stream stream = s.make_stream();
  auto* pool = stream.state()->owner.load();
  worker other;
  other.run([&] { warm(s, stream); });
  std::weak_ptr<cache::block_cache> cache = stream.state()->caches.at(0);
  const auto before = s.pool.statistics();
  REQUIRE(before.cached > 0);
  for (int i = 0; i < 2; ++i) {
    pool->tick();
    s.device->advance(2'000'000'000);
  }
  pool->tick();
  const auto after = s.pool.statistics();
  CHECK(after.cached == 0);
  CHECK(after.allocations == before.allocations);
  CHECK(after.deallocations == before.deallocations);
  CHECK(after.served.cache == before.served.cache);
  CHECK(stream.state()->caches.empty());
  other.run([&] { warm(s, stream); });
  CHECK(cache.expired());
  CHECK(s.pool.statistics().cached == before.cached);
  CHECK(stream.state()->caches.size() == 1);
  const auto served = s.pool.statistics().served.cache;
  other.run([&] { s.put(s.get(small, stream), small, stream); });
  CHECK(s.pool.statistics().served.cache == served + 1);
}

}  // namespace
}  // namespace weir::test
