// SPDX-License-Identifier: Apache-2.0
#include "pool/native_frees.hpp"

#include <catch2/catch_test_macros.hpp>

namespace weir::test {
namespace {

using detail::native_frees;
using detail::stream_state;

struct two_streams {
  stream_state busy{1, nullptr, {.id = 11}, nullptr, 1};
  stream_state other{2, nullptr, {.id = 12}, nullptr, 1};
  native_frees frees;
};

}  // namespace

TEST_CASE("native frees: until it has passed, what a stream gave back is of use to it and to nobody else") {
  two_streams s;
  CHECK(!s.frees.has_unfinished(s.busy));
  s.frees.freed(s.busy, 100);
  CHECK(s.frees.has_unfinished(s.busy));
  CHECK(!s.frees.has_unfinished(s.other));
  CHECK(s.frees.unfinished_elsewhere(s.other) == 100);
  CHECK(s.frees.unfinished_elsewhere(s.busy) == 0);
}

TEST_CASE("native frees: each passes with the epoch it was made in, and not before") {
  two_streams s;
  s.frees.freed(s.busy, 100);
  const core::epoch first = s.busy.close();
  s.frees.freed(s.busy, 50);
  s.frees.freed(s.busy, 5);
  CHECK(s.frees.unfinished_elsewhere(s.other) == 155);
  s.busy.raise_passed(first);
  CHECK(s.frees.unfinished_elsewhere(s.other) == 55);
  CHECK(s.frees.has_unfinished(s.busy));
  s.busy.raise_passed(s.busy.close());
  CHECK(s.frees.unfinished_elsewhere(s.other) == 0);
  CHECK(!s.frees.has_unfinished(s.busy));
}

TEST_CASE("native frees: what a stream took again is not free any more, the youngest first") {
  two_streams s;
  s.frees.freed(s.busy, 100);
  const core::epoch first = s.busy.close();
  s.frees.freed(s.busy, 50);
  s.frees.took(s.busy, 70);
  CHECK(s.frees.unfinished_elsewhere(s.other) == 80);
  s.busy.raise_passed(first);
  CHECK(s.frees.unfinished_elsewhere(s.other) == 0);
  s.frees.took(s.busy, 1000);
  s.frees.took(s.other, 10);
  CHECK(s.frees.unfinished_elsewhere(s.other) == 0);
}

TEST_CASE("native frees: of each it is known which is the last that the driver was not shown complete") {
  two_streams s;
  CHECK(s.frees.streams().empty());
  s.frees.freed(s.busy, 100);
  const core::epoch first = s.busy.close();
  CHECK(s.busy.unseen == first);
  s.frees.freed(s.busy, 1);
  CHECK(s.busy.unseen == first + 1);
  CHECK(s.frees.streams() == std::vector{&s.busy});
}

}  // namespace weir::test
