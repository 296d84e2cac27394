// SPDX-License-Identifier: Apache-2.0
#include "cache/block_cache.hpp"

#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <deque>
#include <set>

#include "base/bits.hpp"

using weir::base::kib;
using weir::base::mib;
using weir::cache::block_cache;
using weir::cache::block_counters;
using weir::core::block;
using weir::core::class_bytes;
using weir::core::class_of;
using weir::core::life_cached;
using weir::core::life_live;
using weir::core::size_class;

namespace {

// Blocks with addresses that nobody has.
class block_maker {
 public:
  block make() {
    states_.emplace_back(life_live);
    return {weir::base::pointer(next_ += mib), &states_.back()};
  }

 private:
  std::deque<std::atomic<weir::core::life>> states_;
  std::uintptr_t next_ = std::uintptr_t{1} << 40;
};

struct stage {
  block_maker maker;
  std::array<block, block_cache::overflow_max> overflow{};
};

}  // namespace

TEST_CASE("block cache: the last block given is the first taken, live and counted") {
  stage s;
  block_cache cache(16 * mib);
  const block a = s.maker.make(), b = s.maker.make();
  const size_class index = class_of(512);
  CHECK(cache.give(index, a, s.overflow.data()) == 0);
  CHECK(cache.give(index, b, s.overflow.data()) == 0);
  CHECK(b.state->load() == life_cached);
  CHECK(cache.bytes() == 1024);
  CHECK(cache.take(index, life_live) == b.pointer);
  CHECK(b.state->load() == life_live);
  CHECK(cache.take(index, life_live) == a.pointer);
  CHECK(cache.take(index, life_live) == nullptr);
  CHECK(cache.bytes() == 0);
  block_counters counters;
  std::array<std::uint64_t, weir::core::class_count> held{};
  cache.sum(counters, held);
  CHECK(counters.hits == 2);
  CHECK(counters.allocations[index] == 2);
  CHECK(counters.deallocations[index] == 2);
  CHECK(held[index] == 0);
}

TEST_CASE("block cache: a block of one class does not serve another") {
  stage s;
  block_cache cache(16 * mib);
  cache.give(class_of(512), s.maker.make(), s.overflow.data());
  CHECK(cache.take(class_of(256), life_live) == nullptr);
  CHECK(cache.take(class_of(768), life_live) == nullptr);
}

TEST_CASE("block cache: a full magazine gives up its older half") {
  stage s;
  block_cache cache(16 * mib);
  const size_class index = class_of(256);
  std::vector<block> given;
  unsigned out = 0;
  while (out == 0) {
    given.push_back(s.maker.make());
    out = cache.give(index, given.back(), s.overflow.data());
  }
  CHECK(given.size() == cache.capacity(index) + 1);
  CHECK(out == (given.size() + 1) / 2);
  CHECK(out <= block_cache::overflow_max);
  for (unsigned i = 0; i < out; ++i) CHECK(s.overflow[i].pointer == given[i].pointer);
  CHECK(cache.bytes() == (given.size() - out) * 256);
  CHECK(cache.take(index, life_live) == given.back().pointer);
}

TEST_CASE("block cache: magazines are bounded in blocks and in bytes") {
  const block_cache cache(16 * mib);
  CHECK(cache.capacity(class_of(256)) == 64);
  CHECK(cache.capacity(class_of(64 * kib)) == 64);
  CHECK(cache.capacity(class_of(mib)) == 4);
  CHECK(block_cache(2 * mib).capacity(class_of(mib)) == 2);
}

TEST_CASE("block cache: without a budget nothing stays") {
  stage s;
  block_cache cache(0);
  const block b = s.maker.make();
  CHECK(cache.give(class_of(256), b, s.overflow.data()) == 1);
  CHECK(s.overflow[0].pointer == b.pointer);
  CHECK(cache.bytes() == 0);
  CHECK(cache.refill_count(class_of(256)) == 1);
}

TEST_CASE("block cache: gifts never pass the budget of all classes together") {
  stage s;
  block_cache cache(4 * mib);
  for (unsigned round = 0; round < 40; ++round)
    for (unsigned index = 0; index < weir::core::class_count; index += 3) {
      cache.give(static_cast<size_class>(index), s.maker.make(), s.overflow.data());
      REQUIRE(cache.bytes() <= 4 * mib);
    }
}

TEST_CASE("block cache: refills never pass the budget of all classes together") {
  stage s;
  block_cache cache(4 * mib);
  for (unsigned index = 0; index < weir::core::class_count; ++index) {
    const auto of = static_cast<size_class>(index);
    const unsigned count = cache.refill_count(of);
    REQUIRE(count >= 1);
    std::vector<block> blocks;
    for (unsigned i = 1; i < count; ++i) blocks.push_back(s.maker.make());
    cache.refill(of, blocks.data(), count - 1);
    REQUIRE(cache.bytes() <= 4 * mib);
  }
}

TEST_CASE("block cache: a refill's blocks are cached and served") {
  stage s;
  block_cache cache(16 * mib);
  const size_class index = class_of(1024);
  const std::array<block, 3> blocks{s.maker.make(), s.maker.make(), s.maker.make()};
  cache.refill(index, blocks.data(), 3);
  cache.count_allocation(index);
  for (const block& b : blocks) CHECK(b.state->load() == life_cached);
  std::set<void*> served;
  while (void* p = cache.take(index, life_live)) served.insert(p);
  CHECK(served.size() == 3);
  block_counters counters;
  std::array<std::uint64_t, weir::core::class_count> held{};
  cache.sum(counters, held);
  CHECK(counters.allocations[index] == 4);
  CHECK(counters.hits == 3);
}

TEST_CASE("block cache: emptied, it has given all there was, and its counts stay") {
  stage s;
  block_cache cache(16 * mib);
  std::set<void*> given;
  for (unsigned index = 0; index < 60; ++index)
    for (unsigned i = 0; i < 2; ++i) {
      const block b = s.maker.make();
      given.insert(b.pointer);
      REQUIRE(cache.give(static_cast<size_class>(index), b, s.overflow.data()) == 0);
    }
  std::array<std::uint64_t, weir::core::class_count> held{};
  block_counters counters;
  cache.sum(counters, held);
  CHECK(held[7] == 2);
  std::vector<block> out;
  cache.empty(out);
  CHECK(std::all_of(out.begin(), out.end(), [&](const block& b) { return given.erase(b.pointer) == 1; }));
  CHECK(given.empty());
  CHECK(cache.bytes() == 0);
  CHECK(cache.take(7, life_live) == nullptr);
  counters = {};
  cache.sum(counters, held);
  CHECK(counters.deallocations[7] == 2);
}
