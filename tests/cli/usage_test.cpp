// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch_test_macros.hpp>
#include <string>

#include "cli/run_weir.hpp"

namespace weir::test {

TEST_CASE("usage: the version goes to stdout") {
  const run_result got = run_weir("--version");
  CHECK(got.exit_code == 0);
  CHECK(got.out.starts_with("weir 0."));
  CHECK(got.err.empty());
}

TEST_CASE("usage: each subcommand has help with an example") {
  for (const std::string subcommand : {"", "bench ", "convert ", "inspect ", "replay ", "simulate "}) {
    const run_result got = run_weir(subcommand + "--help");
    INFO(subcommand << got.out);
    CHECK(got.exit_code == 0);
    CHECK(got.out.find("Example: weir ") != std::string::npos);
  }
}

TEST_CASE("usage: wrong options are refused with code 2, on stderr") {
  for (const std::string arguments : {"", "nonsense", "convert", "convert a", "inspect", "inspect a --nonsense",
                                      "convert a b --to xml", "convert a b --compression 11", "inspect /nonexistent"}) {
    const run_result got = run_weir(arguments);
    INFO(arguments);
    CHECK(got.exit_code == 2);
    CHECK(got.out.empty());
    CHECK_FALSE(got.err.empty());
  }
}

}  // namespace weir::test
