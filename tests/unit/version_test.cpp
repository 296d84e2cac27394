// SPDX-License-Identifier: Apache-2.0
#include "weir/version.hpp"

#include <catch2/catch_test_macros.hpp>
#include <string>

TEST_CASE("version: the library says what the header says") {
  CHECK(std::string(weir::version()) == WEIR_VERSION);
  CHECK(std::string(WEIR_VERSION) == std::to_string(WEIR_VERSION_MAJOR) + "." + std::to_string(WEIR_VERSION_MINOR) +
                                         "." + std::to_string(WEIR_VERSION_PATCH));
}
