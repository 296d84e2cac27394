// SPDX-License-Identifier: Apache-2.0
//
// `weir soak` on the simulated device, whose order checker verifies what kernels verify on a GPU.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>

#include "cli/parse_json.hpp"
#include "cli/run_weir.hpp"

using Catch::Matchers::ContainsSubstring;
using weir::test::json;
using weir::test::parse_json;
using weir::test::run_weir;

namespace {

void check_refused(const std::string& arguments, const std::string& reason) {
  const auto done = run_weir("soak " + arguments);
  INFO(arguments);
  CHECK(done.exit_code == 2);
  CHECK(done.out.empty());
  CHECK_THAT(done.err, ContainsSubstring(reason));
}

}  // namespace

TEST_CASE("soak: threads, streams, limits, trims and a neighbour leave no difference, and nothing held") {
  const auto done = run_weir("soak --device sim --sim-bytes 16GiB --seconds 2 --threads 4 --streams 8 --json -");
  INFO(done.err << done.out);
  CHECK(done.exit_code == 0);
  const json soak = parse_json(done.out);
  for (const char* none : {"differences", "held_at_end", "reserved_at_end", "findings"}) {
    INFO(none);
    CHECK(soak[none].number() == 0);
  }
  // It was a soak at all.
  for (const char* some :
       {"checks", "verified_bytes", "uses_on_second_streams", "hand_overs", "pressure_events", "handler_calls", "trims",
        "defragments", "streams_retired", "neighbour_moves", "validations"}) {
    INFO(some);
    CHECK(soak[some].number() > 0);
  }
  CHECK(soak["allocations"].number() == soak["frees"].number());
  CHECK(soak["operations"].number() > 1'000);
  CHECK(soak["threads_started"].number() > 4);
  CHECK(soak["device_used_share"].number() > 0.95);
}

TEST_CASE("soak: a limit that stays is kept to") {
  const auto done = run_weir(
      "soak --device sim --sim-bytes 16GiB --seconds 1 --threads 3 --streams 5 --bytes-max 2GiB --seed 5 --json -");
  INFO(done.err);
  CHECK(done.exit_code == 0);
  const json soak = parse_json(done.out);
  CHECK(soak["seed"].number() == 5);
  CHECK(soak["limits_set"].number() == 0);
  CHECK(soak["reserved_peak"].number() <= 2.0 * (1u << 30));
  CHECK(soak["reserved_peak"].number() > 1.9 * (1u << 30));
}

TEST_CASE("soak: a spoiled block is a finding, and exits with 1") {
  const auto done =
      run_weir("soak --device sim --sim-bytes 4GiB --seconds 0.5 --threads 2 --streams 3 --verify-spoil 500");
  CHECK(done.exit_code == 1);
  CHECK_THAT(done.out, ContainsSubstring("findings"));
  CHECK_THAT(done.err, ContainsSubstring("not what it was filled with"));
}

TEST_CASE("soak: the neighbour's process holds what each line says") {
  const weir::test::scratch_folder scratch;
  const auto done = run_weir("soak-neighbour --device sim --sim-bytes 4GiB < '" +
                             scratch.file("lines", "1073741824\n536870912\n8589934592\n0\n") + "'");
  CHECK(done.exit_code == 0);
  CHECK(done.out == "1073741824\n536870912\n4294967296\n0\n");
}

TEST_CASE("soak: options that mean nothing are refused") {
  check_refused("--device sim", "--minutes or --seconds");
  check_refused("--device sim --seconds -1", "--seconds");
  check_refused("--device sim --seconds 1 --threads 0", "--threads");
  check_refused("--device sim --seconds 1 --streams 1000", "--streams");
  check_refused("--device sim --seconds 1 --share 1.5", "--share");
  check_refused("--device sim --seconds 1 --pool nonsense=1", "--pool");
  check_refused("--device vulkan --seconds 1", "--device");
}
