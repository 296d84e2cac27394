// SPDX-License-Identifier: Apache-2.0
#include "core/heap.hpp"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "unit/core/regions.hpp"

using weir::core::block;
using weir::core::class_bytes;
using weir::core::class_of;
using weir::core::epoch_any;
using weir::core::granule_bytes;
using weir::core::heap;
using weir::core::range;
using weir::core::region;
using weir::core::size_class;
using weir::test::layout;
using weir::test::place_of;

namespace {

constexpr std::size_t kib = 1024;

struct stage {
  weir::core::range_store store;
  weir::test::region_maker maker;
  heap h{3, store};

  region* add(std::uint32_t granules, weir::core::epoch last = 0, std::size_t offset = 0) {
    region* r = maker.make(granules, offset);
    h.add_region(r, last);
    weir::test::check(h);
    return r;
  }
  region* add_beside(std::uint32_t granules) {
    region* r = maker.make_beside(granules);
    h.add_region(r, 0);
    return r;
  }
  range* take(std::size_t granules, std::size_t alignment = 1, weir::core::epoch last_max = epoch_any) {
    range* r = h.take_range(granules * granule_bytes, alignment, last_max);
    weir::test::check(h);
    return r;
  }
  void give(range* r, weir::core::epoch last) {
    h.give_range(r, last);
    weir::test::check(h);
  }
  std::vector<block> take_blocks(size_class index, unsigned count, weir::core::epoch last_max = epoch_any,
                                 bool tight = false) {
    std::vector<block> out(count);
    out.resize(h.take_blocks(index, out.data(), count, last_max, tight));
    weir::test::check(h);
    return out;
  }
  void give(const region& in, const block& b, weir::core::epoch last) {
    const auto where = place_of(in, b.pointer);
    h.give_block(where.slab, where.block, last);
    weir::test::check(h);
  }
};

}  // namespace

TEST_CASE("heap: an empty one has nothing") {
  stage s;
  CHECK(s.take(1) == nullptr);
  CHECK(s.take_blocks(0, 4).empty());
  CHECK(!s.h.remove_empty(epoch_any).where);
  CHECK(s.h.bytes_held() == 0);
}

TEST_CASE("heap: a range is cut from the front of the smallest that fits") {
  stage s;
  region* r = s.add(100);
  CHECK(s.take(10)->first == 0);
  CHECK(s.take(20)->first == 10);
  CHECK(layout(*r) == "medium 10, medium 20, free 70");
  CHECK(s.h.bytes_free() == 70 * granule_bytes);
  CHECK(s.h.bytes_held() == 100 * granule_bytes);
  CHECK(s.h.bytes_largest() == 70 * granule_bytes);
}

TEST_CASE("heap: bytes are rounded to granules") {
  stage s;
  region* r = s.add(4);
  REQUIRE(s.h.take_range(granule_bytes + 1, 1));
  CHECK(layout(*r) == "medium 2, free 2");
}

TEST_CASE("heap: what is given back merges with free neighbours on both sides") {
  stage s;
  region* r = s.add(100);
  range* a = s.take(10);
  range* b = s.take(10);
  range* c = s.take(10);
  s.give(a, 1);
  CHECK(layout(*r) == "free 10, medium 10, medium 10, free 70");
  s.give(c, 2);
  CHECK(layout(*r) == "free 10, medium 10, free 80");
  CHECK(!r->is_empty());
  s.give(b, 3);
  CHECK(layout(*r) == "free 100");
  CHECK(r->is_empty());
  CHECK(s.h.empty_count() == 1);
}

TEST_CASE("heap: nothing merges across regions, where one begins where the other ends") {
  stage s;
  region* r = s.add(20);
  region* beside = s.add_beside(30);
  CHECK(r->at(20) == beside->begin);
  range* front = s.take(20);
  range* back = s.take(30);
  s.give(back, 1);
  s.give(front, 2);
  CHECK(layout(*r) == "free 20");
  CHECK(layout(*beside) == "free 30");
  CHECK(s.h.empty_count() == 2);
}

TEST_CASE("heap: over-alignment leaves what lies before it free") {
  stage s;
  region* r = s.add(1024);  // begins at a multiple of 1 GiB
  s.take(1);
  range* aligned = s.take(4, 64 * granule_bytes);
  CHECK(r->at(aligned->first) % (64 * granule_bytes) == 0);
  CHECK(layout(*r) == "medium 1, free 63, medium 4, free 956");
  s.give(aligned, 1);
  CHECK(layout(*r) == "medium 1, free 1023");
}

TEST_CASE("heap: over-alignment holds where the region begins anywhere") {
  stage s;
  region* r = s.add(256, 0, 512 * 5);
  CHECK(r->begin % granule_bytes == 0);
  CHECK(r->begin != r->base);
  range* aligned = s.take(8, 64 * granule_bytes);
  REQUIRE(aligned);
  CHECK(r->at(aligned->first) % (64 * granule_bytes) == 0);
  CHECK(s.take(1000) == nullptr);
}

TEST_CASE("heap: no alignment is had where only the bytes would fit") {
  stage s;
  s.add(64);
  s.take(1);
  CHECK(s.take(4, 64 * granule_bytes) == nullptr);
}

TEST_CASE("heap: a range is as young as its last use, and parts of a cut one as old as it was") {
  stage s;
  s.add(100, 5);
  CHECK(s.take(10, 1, 4) == nullptr);
  range* a = s.take(10, 1, 5);
  REQUIRE(a);
  s.give(a, 9);  // merges: the whole is as young as its youngest part
  CHECK(s.take(1, 1, 8) == nullptr);
  CHECK(s.take(1, 1, 9) != nullptr);
}

TEST_CASE("heap: an older range serves where a younger may not") {
  stage s;
  region* old = s.add(10, 1);
  region* young = s.add(10, 8);
  CHECK(s.take(5, 1, 1)->home == old);
  CHECK(s.take(10, 1, 8)->home == young);
}

TEST_CASE("heap: a slab's blocks lie at multiples of their size and are free until somebody says otherwise") {
  stage s;
  region* r = s.add(100);
  const size_class index = class_of(512);
  const auto blocks = s.take_blocks(index, 3);
  REQUIRE(blocks.size() == 3);
  for (unsigned i = 0; i < 3; ++i) {
    CHECK(weir::base::address(blocks[i].pointer) == r->begin + i * 512);
    CHECK(blocks[i].state->load() == weir::core::life_free);
  }
  CHECK(layout(*r) == "slab 1, free 99");
  CHECK(s.h.bytes_free() == 99 * granule_bytes + 29 * 512);
}

TEST_CASE("heap: a slab with a tail has no block in it") {
  stage s;
  region* r = s.add(8);
  const size_class index = class_of(768);
  const auto blocks = s.take_blocks(index, 64);
  REQUIRE(blocks.size() == granule_bytes / 768);
  const range& slab = *r->table[0].load();
  CHECK(!weir::core::position_in(slab, r->begin + 768 * blocks.size()).inside);
  CHECK(!weir::core::position_in(slab, r->begin + 1).inside);
  CHECK(weir::core::position_in(slab, r->begin + 768).inside);
}

TEST_CASE("heap: a batch takes what slabs have and begins a new one only for who has nothing") {
  stage s;
  s.add(100);
  const size_class index = class_of(64 * kib);  // 16 blocks a slab
  CHECK(s.take_blocks(index, 10).size() == 10);
  CHECK(s.take_blocks(index, 10).size() == 6);
  CHECK(s.take_blocks(index, 10).size() == 0);  // 36 granules are left, 64 would be needed
}

TEST_CASE("heap: tight, a slab is made of what there is") {
  stage s;
  region* r = s.add(40);
  const size_class index = class_of(64 * kib);
  CHECK(s.take_blocks(index, 16).empty());
  const auto blocks = s.take_blocks(index, 16, epoch_any, true);
  REQUIRE(blocks.size() == 8);
  CHECK(layout(*r) == "slab 32, free 8");
  CHECK(s.take_blocks(index, 16, epoch_any, true).size() == 2);
  CHECK(s.take_blocks(index, 16, epoch_any, true).empty());
  for (const block& b : blocks) s.give(*r, b, 1);
  CHECK(layout(*r) == "free 32, slab 8");
}

TEST_CASE("heap: a slab that is wholly free dissolves, as young as its youngest block") {
  stage s;
  region* r = s.add(100);
  const auto blocks = s.take_blocks(class_of(4 * kib), 2);
  s.give(*r, blocks[0], 7);
  CHECK(layout(*r) == "slab 4, free 96");
  s.give(*r, blocks[1], 4);
  CHECK(layout(*r) == "free 100");
  CHECK(heap::last_of(*r) == 7);
  CHECK(s.h.bytes_free() == 100 * granule_bytes);
}

TEST_CASE("heap: a slab used too lately gives no block to a taker for another stream") {
  stage s;
  region* r = s.add(100, 1);
  const size_class index = class_of(4 * kib);
  const auto blocks = s.take_blocks(index, 16);
  REQUIRE(blocks.size() == 16);
  s.give(*r, blocks[3], 9);
  s.take(96);  // nothing to make another slab of
  CHECK(s.take_blocks(index, 1, 8).empty());
  CHECK(s.take_blocks(index, 1, 9).size() == 1);
}

TEST_CASE("heap: a wholly free region leaves with its age, one in use does not") {
  stage s;
  region* used = s.add(10, 1);
  s.take(10);
  CHECK(!s.h.remove_empty(epoch_any).where);
  region* empty = s.add(20, 6);
  CHECK(!s.h.remove_empty(5).where);
  const heap::emptied gone = s.h.remove_empty(6);
  weir::test::check(s.h);
  CHECK(gone.where == empty);
  CHECK(gone.last == 6);
  CHECK(s.h.bytes_held() == 10 * granule_bytes);
  CHECK(s.h.bytes_free() == 0);
  CHECK(s.h.empty_count() == 0);
  CHECK(used->heap == 3);
}

TEST_CASE("heap: a region may go from heap to heap") {
  stage s;
  weir::core::range_store store;
  heap other(4, store);
  region* r = s.add(20);
  REQUIRE(s.h.remove_empty(epoch_any).where == r);
  other.add_region(r, 2);
  weir::test::check(s.h);
  weir::test::check(other);
  CHECK(r->heap == 4);
  CHECK(other.take_range(20 * granule_bytes, 1, 2) != nullptr);
  CHECK(s.h.bytes_held() == 0);
}

TEST_CASE("heap: its check finds ranges that do not tile, and counts that are wrong") {
  stage s;
  region* r = s.add(20);
  range* a = s.take(5);
  std::vector<std::string> broken;
  r->granules_free -= 1;
  s.h.check(broken);
  CHECK(broken.size() == 1);
  r->granules_free += 1;
  broken.clear();
  a->count = 4;
  s.h.check(broken);
  CHECK(!broken.empty());
  a->count = 5;
  broken.clear();
  a->kind = weir::core::range_kind::free;  // touches the free rest
  s.h.check(broken);
  CHECK(!broken.empty());
}
