// SPDX-License-Identifier: Apache-2.0
#include "core/ticket.hpp"

#include <catch2/catch_test_macros.hpp>
#include <map>

using weir::core::epoch;
using weir::core::ticket;
using weir::core::ticket_set;

namespace {

std::map<unsigned, epoch> contents(const ticket_set& set) {
  std::map<unsigned, epoch> all;
  for (const ticket t : set) REQUIRE(all.emplace(t.stream, t.epoch).second);  // one of each stream
  return all;
}

}  // namespace

TEST_CASE("tickets: a set keeps the highest of each stream") {
  ticket_set set(ticket{1, 5});
  set.add(ticket{1, 3});
  set.add(ticket{2, 1});
  set.add(ticket{1, 7});
  CHECK(contents(set) == std::map<unsigned, epoch>{{1, 7}, {2, 1}});
}

TEST_CASE("tickets: united sets hold the highest of both") {
  ticket_set a(ticket{1, 5});
  a.add(ticket{2, 9});
  ticket_set b(ticket{2, 4});
  b.add(ticket{3, 1});
  a.add(b);
  CHECK(contents(a) == std::map<unsigned, epoch>{{1, 5}, {2, 9}, {3, 1}});
}

TEST_CASE("tickets: a set has passed when all have") {
  ticket_set set(ticket{1, 5});
  set.add(ticket{2, 2});
  const auto passed = [](epoch one, epoch two) {
    return [=](ticket t) { return t.epoch <= (t.stream == 1 ? one : two); };
  };
  CHECK(set.all(passed(5, 2)));
  CHECK(!set.all(passed(4, 2)));
  CHECK(!set.all(passed(5, 1)));
}

TEST_CASE("tickets: the empty set has passed") {
  CHECK(ticket_set().is_empty());
  CHECK(ticket_set().all([](ticket) { return false; }));
}
