// SPDX-License-Identifier: Apache-2.0
#include "core/big_cache.hpp"

#include <catch2/catch_test_macros.hpp>
#include <deque>

using weir::core::big_block;
using weir::core::big_cache;
using weir::core::ticket;
using weir::core::ticket_set;

namespace {

const auto any = [](const big_block&) { return true; };

struct kept {
  std::deque<big_block> blocks;
  big_cache cache;

  big_block* add(std::size_t bytes, ticket_set tickets = {}) {
    big_block& b = blocks.emplace_back();
    b.bytes = bytes;
    b.tickets = std::move(tickets);
    b.sequence = blocks.size();
    cache.insert(&b);
    return &b;
  }
};

}  // namespace

TEST_CASE("big cache: the smallest that fits is found") {
  kept k;
  k.add(300);
  big_block* fit = k.add(200);
  k.add(100);
  CHECK(k.cache.find(150, SIZE_MAX, any) == fit);
  CHECK(k.cache.find(200, 200, any) == fit);
  CHECK(k.cache.bytes() == 600);
  CHECK(k.cache.bytes_largest() == 300);
}

TEST_CASE("big cache: one that is too large or too small is not") {
  kept k;
  k.add(100);
  k.add(300);
  CHECK(k.cache.find(150, 299, any) == nullptr);
  CHECK(k.cache.find(301, SIZE_MAX, any) == nullptr);
}

TEST_CASE("big cache: one that is not ready is passed over for a larger one") {
  kept k;
  k.add(100, ticket{1, 9});
  big_block* ready = k.add(110, ticket{1, 2});
  const auto passed = [](const big_block& b) { return b.tickets.all([](ticket t) { return t.epoch <= 5; }); };
  CHECK(k.cache.find(100, SIZE_MAX, passed) == ready);
  CHECK(k.cache.find(100, 109, passed) == nullptr);
}

TEST_CASE("big cache: of equal blocks the one that is meant is removed") {
  kept k;
  big_block* a = k.add(100);
  big_block* b = k.add(100);
  big_block* c = k.add(100);
  k.cache.remove(b);
  CHECK(k.cache.blocks().size() == 2);
  k.cache.remove(a);
  CHECK(k.cache.find(1, SIZE_MAX, any) == c);
  k.cache.remove(c);
  CHECK(k.cache.bytes() == 0);
  CHECK(k.cache.bytes_largest() == 0);
}

TEST_CASE("big cache: the oldest is the one freed first, whatever its size, and of those that are ready") {
  kept k;
  big_block* first = k.add(300, ticket{1, 9});
  big_block* second = k.add(100);
  big_block* third = k.add(200);
  CHECK(k.cache.oldest(any) == first);
  CHECK(k.cache.oldest([](const big_block& b) { return b.tickets.is_empty(); }) == second);
  k.cache.remove(second);
  CHECK(k.cache.oldest([](const big_block& b) { return b.tickets.is_empty(); }) == third);
  CHECK(k.cache.oldest([](const big_block&) { return false; }) == nullptr);
}
