// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch_test_macros.hpp>

#include "core/heap.hpp"
#include "unit/core/regions.hpp"

using weir::core::block;
using weir::core::class_bytes;
using weir::core::class_of;
using weir::core::epoch_any;
using weir::core::granule_bytes;
using weir::core::heap;
using weir::core::range;
using weir::core::region;
using weir::core::ticket;
using weir::core::ticket_set;
using weir::test::layout;
using weir::test::place_of;

namespace {

struct stage {
  weir::core::range_store store;
  weir::test::region_maker maker;
  heap h{0, store};
  region* r = maker.make(100);

  stage() { h.add_region(r, 0); }
  ~stage() { weir::test::check(h); }

  // Those of stream 1 up to `one`, of stream 2 up to `two`.
  std::size_t settle(weir::core::epoch one, weir::core::epoch two, weir::core::epoch last = 5) {
    const std::size_t bytes = h.settle([&](ticket t) { return t.epoch <= (t.stream == 1 ? one : two); }, last);
    weir::test::check(h);
    return bytes;
  }
};

}  // namespace

TEST_CASE("heap, pending: a range is found by nobody and merges with nothing") {
  stage s;
  range* a = s.h.take_range(10 * granule_bytes, 1);
  s.h.give_range_pending(a, ticket{1, 4});
  weir::test::check(s.h);
  CHECK(layout(*s.r) == "pending 10, free 90");
  CHECK(s.h.bytes_pending() == 10 * granule_bytes);
  CHECK(s.h.bytes_free() == 90 * granule_bytes);
  CHECK(s.h.take_range(91 * granule_bytes, 1) == nullptr);
  CHECK(!s.h.remove_empty(epoch_any).where);
}

TEST_CASE("heap, pending: a range settles when its ticket has passed, as old as is said") {
  stage s;
  range* a = s.h.take_range(10 * granule_bytes, 1);
  s.h.give_range_pending(a, ticket{1, 4});
  CHECK(s.settle(3, 0) == 0);
  CHECK(s.settle(4, 0, 7) == 10 * granule_bytes);
  CHECK(layout(*s.r) == "free 100");
  CHECK(heap::last_of(*s.r) == 7);
  CHECK(s.h.bytes_pending() == 0);
}

TEST_CASE("heap, pending: a range waits for all its tickets") {
  stage s;
  range* a = s.h.take_range(granule_bytes, 1);
  ticket_set both(ticket{1, 4});
  both.add(ticket{2, 2});
  s.h.give_range_pending(a, both);
  CHECK(s.settle(9, 1) == 0);
  CHECK(s.settle(3, 9) == 0);
  CHECK(s.settle(4, 2) == granule_bytes);
}

TEST_CASE("heap, pending: two that touch settle one by one and merge then") {
  stage s;
  range* a = s.h.take_range(10 * granule_bytes, 1);
  range* b = s.h.take_range(10 * granule_bytes, 1);
  s.h.give_range_pending(a, ticket{1, 4});
  s.h.give_range_pending(b, ticket{2, 4});
  CHECK(s.settle(0, 4) == 10 * granule_bytes);
  CHECK(layout(*s.r) == "pending 10, free 90");
  CHECK(s.settle(4, 4) == 10 * granule_bytes);
  CHECK(layout(*s.r) == "free 100");
}

TEST_CASE("heap, pending: a block is neither handed out nor lets its slab dissolve") {
  stage s;
  block blocks[16];
  const auto index = class_of(4096);
  REQUIRE(s.h.take_blocks(index, blocks, 16) == 16);
  s.h.take_range(96 * granule_bytes, 1);
  const auto where = place_of(*s.r, blocks[0].pointer);
  s.h.give_block_pending(where.slab, where.block, ticket{1, 1});
  for (unsigned i = 1; i < 16; ++i) {
    const auto at = place_of(*s.r, blocks[i].pointer);
    s.h.give_block(at.slab, at.block, 2);
  }
  weir::test::check(s.h);
  CHECK(layout(*s.r) == "slab 4, medium 96");
  CHECK(s.h.take_blocks(index, blocks, 16) == 15);
  CHECK(s.h.bytes_pending() == 4096);
  CHECK(s.settle(1, 0) == 4096);
  CHECK(s.h.take_blocks(index, blocks, 16) == 1);
}

TEST_CASE("heap, pending: the last block to settle dissolves its slab") {
  stage s;
  block blocks[2];
  REQUIRE(s.h.take_blocks(class_of(4096), blocks, 2) == 2);
  for (unsigned i = 0; i < 2; ++i) {
    const auto at = place_of(*s.r, blocks[i].pointer);
    s.h.give_block_pending(at.slab, at.block, ticket{1, 1 + i});
  }
  CHECK(s.settle(1, 0, 3) == 4096);
  CHECK(layout(*s.r) == "slab 4, free 96");
  CHECK(s.settle(2, 0, 3) == 4096);
  CHECK(layout(*s.r) == "free 100");
  CHECK(s.h.empty_count() == 1);
}

TEST_CASE("heap, pending: what is settled with no age may be taken by anybody at once") {
  stage s;
  range* a = s.h.take_range(100 * granule_bytes, 1);
  s.h.give_range_pending(a, ticket{1, 1});
  s.settle(1, 0, 0);
  CHECK(s.h.take_range(granule_bytes, 1, 0) != nullptr);
}

TEST_CASE("heap, pending: the tickets of all that is pending are seen") {
  stage s;
  s.h.give_range_pending(s.h.take_range(granule_bytes, 1), ticket{1, 4});
  s.h.give_range_pending(s.h.take_range(granule_bytes, 1), ticket{2, 6});
  ticket_set seen;
  s.h.each_pending([&](const ticket_set& tickets) { seen.add(tickets); });
  CHECK(!seen.all([](ticket t) { return t.stream == 1; }));
  CHECK(!seen.all([](ticket t) { return t.stream == 2; }));
  std::vector<weir::core::stream_index> oldest_first;
  s.h.each_pending([&](const ticket_set& tickets) { oldest_first.push_back(tickets.begin()->stream); });
  CHECK(oldest_first == std::vector<weir::core::stream_index>{1, 2});
}
