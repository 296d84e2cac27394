// SPDX-License-Identifier: Apache-2.0
#include "weir/trace/validator.hpp"

#include <catch2/catch_test_macros.hpp>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "trace/live_table.hpp"

namespace weir::trace::test {

namespace {

using enum record_kind;

// The reason for which the last of the records is refused, or "fine". All before it must be fine.
std::string verdict_on_last(const std::vector<record>& records) {
  validator check;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto seen = check.observe(records[i]);
    if (!seen && i + 1 == records.size()) return seen.error();
    if (!seen) FAIL("record " << i << ": " << seen.error());
  }
  return "fine";
}

}  // namespace

TEST_CASE("trace validator: frees match allocations") {
  CHECK(verdict_on_last({{.kind = allocate, .id = 1}, {.kind = deallocate, .id = 1}, {.kind = allocate, .id = 1}}) ==
        "fine");
  CHECK(verdict_on_last({{.kind = deallocate, .id = 1}}) ==
        "allocation 1 is freed and is not live: freed before, or never allocated");
  CHECK(verdict_on_last({{.kind = allocate, .id = 1}, {.kind = deallocate, .id = 1}, {.kind = deallocate, .id = 1}}) !=
        "fine");
  CHECK(verdict_on_last({{.kind = allocate, .id = 1}, {.kind = allocate, .id = 1}}) == "allocation 1 is live already");
  CHECK(verdict_on_last({{.kind = live, .id = 1}, {.kind = allocate, .id = 1}}) == "allocation 1 is live already");
  CHECK(verdict_on_last({{.kind = live, .id = 1}, {.kind = deallocate, .id = 1}}) == "fine");
}

TEST_CASE("trace validator: native allocations are a space of their own") {
  CHECK(verdict_on_last({{.kind = allocate, .id = 1}, {.kind = native_allocate, .id = 1}}) == "fine");
  CHECK(verdict_on_last({{.kind = native_allocate, .id = 1}, {.kind = native_allocate, .id = 1}}) ==
        "native allocation 1 is live already");
  CHECK(verdict_on_last({{.kind = allocate, .id = 1}, {.kind = native_deallocate, .id = 1}}) ==
        "native allocation 1 is freed and is not live");
}

TEST_CASE("trace validator: declared streams are the only ones") {
  const record birth{.kind = stream_birth, .stream = 1};
  CHECK(verdict_on_last({{.kind = allocate, .stream = 9, .id = 1}}) == "fine");
  CHECK(verdict_on_last({birth, {.kind = allocate, .stream = 1, .id = 1}}) == "fine");
  CHECK(verdict_on_last({birth, {.kind = allocate, .stream = 2, .id = 1}}) ==
        "stream 2 is none of the trace's streams");
  CHECK(
      verdict_on_last({birth, {.kind = allocate, .stream = 1, .id = 1}, {.kind = deallocate, .stream = 2, .id = 1}}) ==
      "stream 2 is none of the trace's streams");
  CHECK(verdict_on_last({birth, birth}) == "stream 1 is born while it lives");
  const record retirement{.kind = stream_retirement, .stream = 1};
  CHECK(verdict_on_last({birth, retirement, birth}) == "fine");
  CHECK(verdict_on_last({birth, retirement, retirement}) == "stream 1 is retired twice");
  CHECK(verdict_on_last({retirement}) == "stream 1 is retired and was never born");
  CHECK(verdict_on_last({birth, retirement, {.kind = allocate, .stream = 1}}) == "stream 1 was retired before");
}

TEST_CASE("trace validator: uses, events and waits refer to what there is") {
  CHECK(verdict_on_last({{.kind = use, .id = 1}}) == "allocation 1 is used and is not live");
  CHECK(verdict_on_last({{.kind = allocate, .id = 1}, {.kind = use, .stream = 2, .id = 1}}) == "fine");
  CHECK(verdict_on_last({{.kind = wait, .id = 1}}) == "event 1 is waited for and was never recorded");
  CHECK(verdict_on_last({{.kind = event, .id = 1}, {.kind = wait, .stream = 2, .id = 1}}) == "fine");
  CHECK(verdict_on_last({{.kind = synchronize, .scope = sync_scope::event, .id = 1}}) != "fine");
  CHECK(verdict_on_last({{.kind = reusable, .id = 1}}) == "allocation 1 becomes reusable and was never allocated");
}

TEST_CASE("trace validator: call sites are described before they are used") {
  CHECK(verdict_on_last({{.kind = site, .id = 1}, {.kind = site, .id = 2, .parent = 1}, {.kind = mark, .site = 2}}) ==
        "fine");
  CHECK(verdict_on_last({{.kind = allocate, .site = 1}}) == "call site 1 was never described");
  CHECK(verdict_on_last({{.kind = site, .id = 2}}) == "call site 2 comes after 0");
  CHECK(verdict_on_last({{.kind = site, .id = 1, .parent = 1}}) == "call site 1 has the later parent 1");
}

TEST_CASE("trace validator: after lost events a free may lack its allocation") {
  validator check;
  REQUIRE(check.observe({.kind = lost, .count = 3}).has_value());
  const auto seen = check.observe({.kind = deallocate, .id = 5});
  REQUIRE(seen.has_value());
  CHECK(seen->slot == observation::no_slot);
}

TEST_CASE("trace validator: sums that pass 64 bits are refused") {
  CHECK(verdict_on_last({{.kind = allocate, .id = 1, .bytes = UINT64_MAX}, {.kind = allocate, .id = 2, .bytes = 1}}) ==
        "the sum of live bytes passes 2^64");
}

TEST_CASE("trace validator: tables are bounded") {
  validator blocks;
  for (std::size_t i = 0; i < live_blocks_max; ++i) {
    if (!blocks.observe({.kind = allocate, .id = i * 977}).has_value()) FAIL("refused block " << i);
  }
  CHECK_FALSE(blocks.observe({.kind = allocate, .id = 1}).has_value());
  validator streams;
  for (std::uint32_t i = 0; i < 65'536; ++i) {
    if (!streams.observe({.kind = allocate, .stream = i, .id = i}).has_value()) FAIL("refused stream " << i);
  }
  CHECK_FALSE(streams.observe({.kind = allocate, .stream = 70'000, .id = 70'000}).has_value());
}

TEST_CASE("trace validator: a refused record changes nothing") {
  validator check;
  REQUIRE(check.observe({.kind = allocate, .id = 1, .bytes = 10}).has_value());
  CHECK_FALSE(check.observe({.kind = allocate, .id = 1, .bytes = 90}).has_value());
  CHECK_FALSE(check.observe({.kind = deallocate, .id = 2}).has_value());
  CHECK(check.live_bytes() == 10);
  CHECK(check.live_count() == 1);
  CHECK(check.records() == 1);
  CHECK(check.operations() == 1);
  CHECK_FALSE(check.observe({.kind = use, .stream = 3, .id = 2}).has_value());
  CHECK_FALSE(check.observe({.kind = stream_retirement, .stream = 3}).has_value());
}

TEST_CASE("trace validator: it knows what is live and what was the peak") {
  validator check;
  REQUIRE(check.observe({.kind = comment}).has_value());
  REQUIRE(check.observe({.kind = allocate, .id = 1, .bytes = 10}).has_value());
  REQUIRE(check.observe({.kind = allocate, .stream = 4, .id = 2, .bytes = 20}).has_value());
  const auto freed = check.observe({.kind = deallocate, .id = 1});
  REQUIRE(freed.has_value());
  CHECK(freed->block.bytes == 10);
  CHECK(freed->block.born == 0);
  const auto reused = check.observe({.kind = allocate, .id = 3, .bytes = 5});
  REQUIRE(reused.has_value());
  CHECK(reused->slot == freed->slot);
  CHECK(check.live_bytes() == 25);
  CHECK(check.peak_live_bytes() == 30);
  CHECK(check.peak_record() == 3);
  CHECK(check.peak_live_count() == 2);
  CHECK(check.operations() == 4);
}

TEST_CASE("trace live table: it agrees with a map") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  live_table table;
  std::unordered_map<std::uint64_t, std::uint64_t> model;
  for (int step = 0; step < 200'000; ++step) {
    const std::uint64_t id = random() % 5000 * 4096;
    const std::size_t slot = table.find(id);
    REQUIRE((slot != live_table::absent) == model.contains(id));
    if (slot != live_table::absent) {
      REQUIRE(table[slot].id == id);
      REQUIRE(table[slot].bytes == model[id]);
      table.erase(id);
      model.erase(id);
    } else {
      const std::uint64_t bytes = random();
      REQUIRE(table.insert({.id = id, .bytes = bytes}) < 5000);
      model[id] = bytes;
    }
    REQUIRE(table.count() == model.size());
  }
}

}  // namespace weir::trace::test
