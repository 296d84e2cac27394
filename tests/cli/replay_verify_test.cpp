// SPDX-License-Identifier: Apache-2.0
//
// `weir replay --verify` and the threads of a trace, on the simulated device, whose order checker is what verifies.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstddef>
#include <string>

#include "cli/parse_json.hpp"
#include "cli/run_weir.hpp"
#include "weir/trace/writer.hpp"

using Catch::Matchers::ContainsSubstring;
using weir::test::json;
using weir::test::parse_json;
using weir::test::run_weir;
using weir::test::scratch_folder;

namespace {

const std::string handover = "'" WEIR_SOURCE_DIR "/tests/data/traces/handover.weir'";
const std::string bundled = "'" WEIR_SOURCE_DIR "/examples/traces/llm_serving.weir'";

json::array runs_of(const std::string& arguments, int exit_code = 0) {
  const auto done = run_weir("replay --json - --device sim " + arguments);
  INFO(done.err);
  REQUIRE(done.exit_code == exit_code);
  return parse_json(done.out)["runs"].items();
}

void check_refused(const std::string& arguments, const std::string& reason) {
  const auto done = run_weir("replay --device sim " + arguments);
  INFO(arguments);
  CHECK(done.exit_code == 2);
  CHECK_THAT(done.err, ContainsSubstring(reason));
}

// One thread allocates, the other frees: what is freed lies in a cache that the first does not see.
std::string two_threads(const scratch_folder& scratch) {
  using weir::trace::record_kind;
  const std::string path = scratch.path("threads.weir");
  auto made = weir::trace::writer::create(path);
  REQUIRE(made);
  weir::trace::writer out = std::move(*made);
  for (std::uint64_t i = 0; i < 200; ++i) {
    REQUIRE(out.write({.kind = record_kind::allocate, .stream = 1, .thread = 7, .id = i, .bytes = 512 << 10}));
    REQUIRE(out.write({.kind = record_kind::deallocate, .stream = 1, .thread = 3, .id = i}));
  }
  REQUIRE(out.finish());
  return "'" + path + "'";
}

}  // namespace

TEST_CASE("replay: --verify checks every block of every allocator and finds no difference") {
  for (const std::string& trace : {handover, bundled}) {
    const auto runs = runs_of("--verify --allocator weir,native,direct --passes 2 " + trace);
    REQUIRE(runs.size() == 6);
    for (const json& run : runs) {
      INFO(run["trace"].text() << ", " << run["allocator"].text());
      CHECK(run["differences"].number() == 0);
      CHECK(run["verified_bytes"].number() > 1e10);
      CHECK(run["verified_bytes"].number() == runs[0]["verified_bytes"].number());
    }
  }
}

TEST_CASE("replay: --verify says a spoiled block, and exits with 1") {
  const auto done =
      run_weir("replay --device sim --verify --verify-spoil 1000 --passes 1 --allocator weir " + handover);
  CHECK(done.exit_code == 1);
  CHECK_THAT(done.out, ContainsSubstring("differences"));
  CHECK_THAT(done.err, ContainsSubstring("handover, weir, pass 1: "));
  CHECK_THAT(done.err, ContainsSubstring("not ordered after"));
  const auto runs = runs_of("--verify --verify-spoil 1000 --passes 1 --allocator native " + handover, 1);
  CHECK(runs.at(0)["differences"].number() > 0);
}

TEST_CASE("replay: --verify-bytes bounds what is filled of large blocks") {
  const auto all = runs_of("--verify --passes 1 --allocator weir " + handover);
  const auto some = runs_of("--verify --verify-bytes 1MiB --passes 1 --allocator weir " + handover);
  CHECK(some.at(0)["verified_bytes"].number() < 0.5 * all.at(0)["verified_bytes"].number());
  CHECK(some.at(0)["verified_bytes"].number() > 1e9);
  CHECK(some.at(0)["differences"].number() == 0);
}

TEST_CASE("replay: a hand-over that the trace does not order is ordered by the replay, and told") {
  const scratch_folder scratch;
  const std::string path = scratch.file("unordered.trace", "# trace v1\na 0 4096 0\nf 0 1\na 1 4096 0\nf 1 0\n");
  const auto done = run_weir("replay --device sim --verify --passes 1 --allocator weir '" + path + "'");
  CHECK(done.exit_code == 0);
  CHECK_THAT(done.out, ContainsSubstring("waits added between streams"));
  CHECK_THAT(done.out, ContainsSubstring("8.00 KiB            0                            1"));
}

TEST_CASE("replay: each recorded thread has caches of its own, unless --threads one") {
  const scratch_folder scratch;
  const std::string path = two_threads(scratch);
  const auto apart = runs_of("--allocator weir --passes 1 " + path);
  const auto by_one = runs_of("--allocator weir --passes 1 --threads one " + path);
  CHECK(by_one.at(0)["cached_rate"].number() > 0.9);
  CHECK(apart.at(0)["cached_rate"].number() < by_one.at(0)["cached_rate"].number());
  CHECK(apart.at(0)["operations"].number() == by_one.at(0)["operations"].number());
}

TEST_CASE("replay: threads take turns, so that a replay counts the same each time") {
  const auto first = runs_of("--allocator weir --passes 2 " + handover);
  const auto again = runs_of("--allocator weir --passes 2 " + handover);
  for (std::size_t pass : {0u, 1u})
    for (const auto& [name, count] : first[pass]["counts"].members()) {
      INFO(name);
      CHECK(count.number() == again[pass]["counts"][name].number());
    }
}

TEST_CASE("replay: options of --verify that mean nothing are refused") {
  check_refused("--verify-bytes 1MiB " + bundled, "--verify-bytes means something with --verify alone");
  check_refused("--verify-spoil 10 " + bundled, "--verify-spoil means something with --verify alone");
  check_refused("--verify --verify-bytes lots " + bundled, "'lots' is no number of bytes");
  check_refused("--threads two " + bundled, "--threads");
  check_refused("--verify --allocator plugin:/nonexistent.so " + bundled,
                "the simulated device cannot check the memory of plugin:");
}
