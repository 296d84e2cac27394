// SPDX-License-Identifier: Apache-2.0
#include "cache/block_cache.hpp"

#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <deque>
#include <set>
#include <utility>

#include "base/bits.hpp"
#include "property/random_source.hpp"

using weir::base::kib;
using weir::base::mib;
using weir::cache::block_cache;
using weir::cache::block_counters;
using weir::cache::cached_blocks;
using weir::cache::gate;
using weir::cache::large_block;
using weir::cache::shut_gates;
using weir::cache::spill;
using weir::core::big_block;
using weir::core::block;
using weir::core::class_bytes;
using weir::core::class_count;
using weir::core::class_of;
using weir::core::life_cached;
using weir::core::life_live;
using weir::core::range;
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

const bool has_fast_way = weir::cache::has_asymmetric_barrier();

constexpr std::size_t budget = 128 * mib;

struct stage {
  explicit stage(std::size_t bytes_max = budget, bool guarded = false) : cache(bytes_max, 0, nullptr, guarded) {}

  block_maker maker;
  block_cache cache;
  spill out;

  // The fast way; and where no cache has one, the slow one.
  void* take(size_class index) {
    void* block = nullptr;
    if (cache.take(index, block)) return block;
    return has_fast_way ? nullptr : cache.take_slow(index, life_live);
  }
  void* take_large(std::size_t bytes, std::size_t bytes_max, std::size_t asked) {
    void* p = cache.take_large(bytes, bytes_max, asked);
    return p || has_fast_way ? p : cache.take_large_slow(bytes, bytes_max, asked);
  }
  // A free: the fast way, else the slow one, as a pool does it.
  block give(size_class index) {
    const block b = maker.make();
    if (!cache.give(index, b)) REQUIRE(cache.give_slow(index, b, out));
    return b;
  }
  // A miss served by as many fresh blocks as are asked for.
  unsigned refill(size_class index) {
    const unsigned count = cache.begin_refill(index, out);
    std::vector<block> blocks;
    for (unsigned i = 1; i < count; ++i) blocks.push_back(maker.make());
    REQUIRE(cache.end_refill(index, blocks.data(), count - 1, out));
    return count;
  }
  std::size_t bytes_held() {
    block_counters counters;
    cached_blocks held;
    cache.sum(counters, held);
    std::size_t bytes = 0;
    for (unsigned i = 0; i < class_count; ++i) bytes += held.small[i] * class_bytes(i);
    return bytes;
  }
  std::uint64_t count_held(size_class index) {
    block_counters counters;
    cached_blocks held;
    cache.sum(counters, held);
    return held.small[index];
  }
  block_counters counters() {
    block_counters counters;
    cached_blocks held;
    cache.sum(counters, held);
    return counters;
  }
  bool has(const block& b) const {
    return std::any_of(out.blocks.begin(), out.blocks.begin() + out.count,
                       [&](const block& o) { return o.pointer == b.pointer; });
  }
};

}  // namespace

TEST_CASE("block cache: the last block given is the first taken, live and counted") {
  stage s;
  const size_class index = class_of(512);
  const block a = s.give(index), b = s.give(index);
  CHECK(b.state->load() == life_cached);
  CHECK(s.bytes_held() == 1024);
  CHECK(s.take(index) == b.pointer);
  CHECK(b.state->load() == life_live);
  CHECK(s.take(index) == a.pointer);
  CHECK(s.take(index) == nullptr);
  CHECK(s.counters().hits == 2);
  CHECK(s.counters().allocations[index] == 2);
  CHECK(s.counters().deallocations[index] == 2);
  CHECK(s.bytes_held() == 0);
}

TEST_CASE("block cache: a block of one class does not serve another") {
  stage s;
  s.give(class_of(512));
  CHECK(s.take(class_of(256)) == nullptr);
  CHECK(s.take(class_of(768)) == nullptr);
}

TEST_CASE("block cache: a magazine that is only given to gives up most of it, the oldest, and grows no further") {
  stage s;
  const size_class index = class_of(256);
  std::vector<block> given;
  while (s.out.count == 0) given.push_back(s.give(index));
  CHECK(given.size() == 33);
  CHECK(s.out.count == 24);
  for (unsigned i = 0; i < s.out.count; ++i) CHECK(s.out.blocks[i].pointer == given[i].pointer);
  CHECK(s.count_held(index) == 9);
  CHECK(s.take(index) == given.back().pointer);
  CHECK(s.counters().deallocations[index] == 33);
}

TEST_CASE("block cache: a magazine in use grows to a hundred and twenty-eight blocks and stays there") {
  stage s;
  const size_class index = class_of(256);
  for (unsigned round = 0; round < 20; ++round) {
    while (s.take(index)) {}
    s.refill(index);
    while (s.take(index)) {}
    s.out.count = 0;
    for (unsigned i = 0; i < 128; ++i, s.out.count = 0) s.give(index);
  }
  CHECK(s.count_held(index) == 128);
  s.give(index);
  CHECK(s.out.count == 64);
}

TEST_CASE("block cache: a refill brings few blocks to a class met first, and more with every miss") {
  stage s;
  const size_class index = class_of(4096);
  unsigned last = 0;
  for (unsigned miss = 0; miss < 8; ++miss) {
    const unsigned count = s.refill(index);
    CHECK(count >= last);
    last = count;
    while (s.take(index)) {}
  }
  CHECK(last == 65);
  CHECK(s.out.count == 0);
}

TEST_CASE("block cache: limits are bounded in blocks and in bytes") {
  CHECK(stage().cache.capacity(class_of(256)) == 128);
  CHECK(stage().cache.capacity(class_of(mib)) == 128);
  CHECK(stage(2 * mib).cache.capacity(class_of(mib)) == 2);
}

TEST_CASE("block cache: without a budget nothing stays") {
  stage s(0);
  const block b = s.give(class_of(256));
  CHECK(s.out.count == 1);
  CHECK(s.has(b));
  CHECK(s.bytes_held() == 0);
  CHECK(s.refill(class_of(256)) == 1);
  CHECK(s.counters().allocations[class_of(256)] == 1);
  CHECK(s.counters().deallocations[class_of(256)] == 1);
}

TEST_CASE("block cache: all classes together never pass the budget, however they are used") {
  stage s(4 * mib);
  weir::test::random_source r(7);
  for (unsigned step = 0; step < 20'000; ++step) {
    const auto index = static_cast<size_class>(r.below(class_count));
    s.out.count = 0;
    if (r.below(3) == 0)
      s.give(index);
    else if (!s.take(index))
      s.refill(index);
    REQUIRE(s.bytes_held() <= 4 * mib);
  }
}

TEST_CASE("block cache: where the budget is spent, an idle class gives up its magazine, one in use does not") {
  stage s(6 * mib);
  const size_class idle = class_of(512 * kib), busy = class_of(256 * kib), fresh = class_of(128 * kib);
  while (s.count_held(idle) < 4) s.give(idle);
  while (s.count_held(busy) < 8) s.give(busy);  // room for 4 + 2 MiB: spent
  s.take(busy);
  s.out.count = 0;
  s.give(fresh);
  s.give(fresh);
  CHECK(s.count_held(fresh) > 0);
  CHECK(s.count_held(busy) == 7);
  CHECK(s.count_held(idle) == 0);
  CHECK(s.out.count >= 4);
}

TEST_CASE("block cache: of idle classes the one with the largest share of the budget gives up its magazine") {
  stage s(4608 * kib);
  const size_class little = class_of(64 * kib), much = class_of(512 * kib), fresh = class_of(128 * kib);
  while (s.count_held(little) < 8) s.give(little);
  while (s.count_held(much) < 8) s.give(much);
  while (s.count_held(fresh) == 0) s.give(fresh);
  CHECK(s.count_held(much) == 0);
  CHECK(s.count_held(little) == 8);
}

TEST_CASE("block cache: a refill's blocks are cached and served") {
  stage s;
  const size_class index = class_of(1024);
  const unsigned count = s.refill(index);
  REQUIRE(count > 2);
  std::set<void*> served;
  while (void* p = s.take(index)) served.insert(p);
  CHECK(served.size() == count - 1);
  CHECK(s.counters().allocations[index] == count);
  CHECK(s.counters().hits == count - 1);
}

TEST_CASE("block cache: emptied, it has given all there was, and its counts stay") {
  stage s;
  std::set<void*> given;
  for (unsigned index = 0; index < 60; ++index)
    for (unsigned i = 0; i < 2; ++i) given.insert(s.give(static_cast<size_class>(index)).pointer);
  CHECK(s.out.count == 0);
  CHECK(!s.cache.is_empty());
  std::vector<block> out;
  std::vector<large_block> large;
  s.cache.empty(out, large);
  CHECK(std::all_of(out.begin(), out.end(), [&](const block& b) { return given.erase(b.pointer) == 1; }));
  CHECK(given.empty());
  CHECK(s.cache.is_empty());
  CHECK(s.take(7) == nullptr);
  CHECK(s.counters().deallocations[7] == 2);
}

TEST_CASE("block cache: large blocks are served by size, the last freed first") {
  stage s;
  std::deque<big_block> blocks(3);
  block_cache::large_spill out;
  for (unsigned i = 0; i < 3; ++i) {
    blocks[i].bytes = (i == 1 ? 40 : 32) * mib;
    blocks[i].state = life_cached;
    const large_block b{.bytes = blocks[i].bytes, .pointer = &blocks[i], .big = &blocks[i]};
    REQUIRE((has_fast_way ? s.cache.give_large(b) : s.cache.give_large_slow(b, out)));
  }
  CHECK(s.take_large(33 * mib, 36 * mib, 1) == nullptr);
  CHECK(s.take_large(30 * mib, 34 * mib, 30 * mib) == &blocks[2]);
  CHECK(blocks[2].asked == 30 * mib);
  CHECK(blocks[2].state == life_live);
  CHECK(s.take_large(30 * mib, 34 * mib, 30 * mib) == &blocks[0]);
  CHECK(s.take_large(30 * mib, 34 * mib, 30 * mib) == nullptr);
  CHECK(s.counters().big_taken == 2);
  CHECK(s.counters().big_given == 3);
  CHECK(s.counters().hits == 2);
}

TEST_CASE("block cache: of too many large blocks the oldest go") {
  stage s;
  std::deque<range> ranges(block_cache::large_max + 1);
  block_cache::large_spill out;
  for (range& r : ranges) {
    const large_block b{.bytes = 2 * mib, .pointer = &r, .medium = &r};
    if (!s.cache.give_large(b)) REQUIRE(s.cache.give_large_slow(b, out));
  }
  REQUIRE(out.count == block_cache::large_max - 4);
  for (unsigned i = 0; i < out.count; ++i) CHECK(out.blocks[i].medium == &ranges[i]);
  CHECK(s.take_large(2 * mib, 2 * mib, 2 * mib) == &ranges.back());
  CHECK(ranges.back().states[0] == life_live);
}

TEST_CASE("block cache: a guarded one answers on its slow way only") {
  stage s(budget, true);
  const size_class index = class_of(256);
  const block b = s.give(index);
  void* p = nullptr;
  CHECK(!s.cache.take(index, p));
  CHECK(s.cache.take_slow(index, life_live) == b.pointer);
}

TEST_CASE("block cache: a closed one takes nothing in") {
  stage s;
  const size_class index = class_of(256);
  {
    gate* door = &s.cache.door();
    const shut_gates shut({&door, 1});
    door->close();
  }
  const block b = s.maker.make();
  CHECK(!s.cache.give(index, b));
  CHECK(!s.cache.give_slow(index, b, s.out));
  CHECK(s.cache.begin_refill(index, s.out) == 1);
  CHECK(!s.cache.end_refill(index, &b, 1, s.out));
  CHECK(s.cache.take_slow(index, life_live) == nullptr);
  CHECK(s.out.count == 0);
}

TEST_CASE("block cache: everything that goes through it shows as activity, a reclaimer's work does not") {
  stage s;
  std::uint64_t last = s.cache.activity();
  const auto has_grown = [&] {
    const std::uint64_t before = std::exchange(last, s.cache.activity());
    return last > before;
  };
  s.give(3);
  CHECK(has_grown());
  s.take(3);
  CHECK(has_grown());
  s.refill(3);
  CHECK(has_grown());
  std::vector<block> small;
  std::vector<large_block> large;
  s.cache.empty(small, large);
  CHECK(!has_grown());
}
