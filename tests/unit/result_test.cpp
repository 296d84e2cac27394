// SPDX-License-Identifier: Apache-2.0
#include "weir/result.hpp"

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>

namespace {

const weir::error no_room{.code = weir::errc::out_of_memory, .bytes = 100, .limit = 10};

}  // namespace

TEST_CASE("result: holds a value") {
  weir::result<std::string> r(std::string("value"));
  REQUIRE(r);
  CHECK(*r == "value");
  CHECK(r->size() == 5);
  CHECK(std::move(r).value() == "value");
}

TEST_CASE("result: holds an error") {
  const weir::result<int> r(no_room);
  REQUIRE(!r);
  CHECK(r.error().code == weir::errc::out_of_memory);
  CHECK(r.error().bytes == 100);
}

TEST_CASE("result: value() of an error throws what fits it") {
  CHECK_THROWS_AS(weir::result<int>(no_room).value(), weir::out_of_memory);
  CHECK_THROWS_AS(weir::result<void>(no_room).value(), weir::out_of_memory);
  CHECK_THROWS_AS(weir::result<int>(weir::error{.code = weir::errc::double_free}).value(), weir::logic_error);
  CHECK_THROWS_AS(weir::result<int>(weir::error{.code = weir::errc::device_lost}).value(), weir::cuda_error);
}

TEST_CASE("result: a result of nothing is fine unless told otherwise") {
  weir::result<void> fine;
  CHECK(fine);
  CHECK_NOTHROW(std::move(fine).value());
  CHECK(!weir::result<void>(no_room));
}

TEST_CASE("result: carries what cannot be copied") {
  weir::result<std::unique_ptr<int>> r(std::make_unique<int>(7));
  REQUIRE(r);
  const std::unique_ptr<int> taken = *std::move(r);
  CHECK(*taken == 7);
}
