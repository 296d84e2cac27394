// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <sstream>
#include <string>

#include "cli/parse_json.hpp"
#include "cli/run_weir.hpp"

namespace weir::test {

namespace {

// A fault that every few seeds find, made small.
run_result run_planted(const scratch_folder& in, const std::string& more) {
  return run_weir("simulate --seed 5 --faults none --plant wait --shrink -o '" + in.path("found.weir") + "' " + more);
}

}  // namespace

TEST_CASE("simulate: seeds run, each says its hash, and twice the same") {
  const run_result got = run_weir("simulate --seed 5 --seeds 4");
  CHECK(got.exit_code == 0);
  CHECK(got.out.find("seed 5: ") != std::string::npos);
  CHECK(got.out.find("seed 8: ") != std::string::npos);
  CHECK(got.out.find("0 findings") != std::string::npos);
  const auto hashes = [](const run_result& r) { return r.out.substr(0, r.out.find("first seed")); };
  CHECK(hashes(run_weir("simulate --seed 5 --seeds 4 --jobs 3")) == hashes(got));
}

TEST_CASE("simulate: without a seed the clock gives the first, and it is said") {
  const run_result got = run_weir("simulate --seeds 2");
  CHECK(got.exit_code == 0);
  CHECK(got.err.find("first seed ") != std::string::npos);
}

TEST_CASE("simulate: figures as JSON") {
  const run_result got = run_weir("simulate --seed 5 --seeds 3 --steps 40 --json -");
  REQUIRE(got.exit_code == 0);
  const auto json = parse_json(got.out);
  CHECK(json["first_seed"].number() == 5);
  CHECK(json["seeds"].number() == 3);
  CHECK(json["steps"].number() == 120);
  CHECK(json["operations"].number() > 1000);
  CHECK(json["runs"].items().size() == 3);
  CHECK(json["findings"].items().empty());
}

TEST_CASE("simulate: a planted fault is found, made small, and leaves a trace that replays") {
  const scratch_folder folder;
  const run_result got = run_planted(folder, "--json -");
  CHECK(got.exit_code == 1);
  const auto found = parse_json(got.out)["findings"].items().front();
  CHECK(found["what"].text().starts_with("violation: "));
  CHECK(found["steps_done"].number() <= 12);
  const run_result again =
      run_weir(found["rerun"].text().substr(5) + " --plant wait -o '" + folder.path("again.weir") + "'");
  CHECK(again.exit_code == 1);
  CHECK(again.out.find(found["what"].text()) != std::string::npos);
  const bool is_same_trace = read_file(folder.path("again.weir")) == read_file(folder.path("found.weir"));
  CHECK(is_same_trace);
  const run_result inspected = run_weir("inspect '" + folder.path("found.weir") + "'");
  CHECK(inspected.exit_code == 0);
  CHECK(inspected.out.find("weir simulate --seed") != std::string::npos);
  CHECK(run_weir("replay --device sim '" + folder.path("found.weir") + "'").exit_code == 0);
}

TEST_CASE("simulate: bad options are refused with what is accepted") {
  for (const std::string arguments : {"--faults nothing=1", "--faults wait=1001", "--only 3-", "--threads 0",
                                      "--streams 99", "--steps 0", "--seeds 0", "--jobs 0", "--plant tree"}) {
    const run_result got = run_weir("simulate --seed 1 " + arguments);
    INFO(arguments << ": " << got.err);
    CHECK(got.exit_code == 2);
    CHECK(got.out.empty());
    CHECK_FALSE(got.err.empty());
  }
}

// Each file of tests/data/regressions has, after comments, the arguments of a run that failed once.
TEST_CASE("simulate: what failed once does not again") {
  namespace fs = std::filesystem;
  const scratch_folder folder;
  unsigned count = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(WEIR_SOURCE_DIR) / "tests/data/regressions")) {
    if (entry.path().extension() != ".txt") continue;
    std::istringstream lines(read_file(entry.path()));
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line.front() == '#') continue;
      const run_result got = run_weir(line + " -o '" + folder.path("again.weir") + "'");
      INFO(entry.path() << ": " << line << "\n" << got.out);
      CHECK(got.exit_code == 0);
      ++count;
    }
  }
  CHECK(count > 0);
}

}  // namespace weir::test
