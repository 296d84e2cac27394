// SPDX-License-Identifier: Apache-2.0
//
// Results in tests: `must` demands a value, `why` gives the code of the refusal.
#pragma once

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <type_traits>

#include "weir/result.hpp"

namespace weir::test {

template <class T>
T must(result<T> r) {
  INFO((r ? std::string() : r.error().message()));
  REQUIRE(r.has_value());
  if constexpr (!std::is_void_v<T>) return *std::move(r);
}

// errc::ok where there is a value.
template <class T>
errc why(const result<T>& r) {
  return r ? errc::ok : r.error().code;
}

}  // namespace weir::test
