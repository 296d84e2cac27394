// SPDX-License-Identifier: Apache-2.0
//
// The eight recorded workloads on the simulated device: it must hold what a real device was measured to hold, and weir
// must hold little more and find most of what it needs at hand. Skipped where the traces are not.
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <filesystem>
#include <string>

#include "cli/parse_json.hpp"
#include "cli/run_weir.hpp"

using weir::test::json;
using weir::test::parse_json;
using weir::test::run_weir;

namespace {

// Peak reserved over peak live of the native pool on one H200.
struct measured {
  const char* trace;
  double native_ratio;
};
constexpr std::array workloads{measured{"llm_serving", 1.044},  measured{"vision_mixed", 1.142},
                               measured{"training_llm", 1.077}, measured{"gnn", 1.013},
                               measured{"moe", 1.019},          measured{"diffusion_unet", 1.010},
                               measured{"recsys", 1.060},       measured{"llm_generate", 1.027}};

std::string path_of(const std::string& trace) { return std::string(WEIR_SHARED_DIR "/traces/") + trace + ".trace.gz"; }

json::array replay(const std::string& options) {
  std::string arguments = "replay --device sim --json - " + options;
  for (const measured& workload : workloads) {
    if (!std::filesystem::exists(path_of(workload.trace))) SKIP("no " << path_of(workload.trace));
    arguments += " '" + path_of(workload.trace) + "'";
  }
  const auto done = run_weir(arguments);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  return parse_json(done.out)["runs"].items();
}

}  // namespace

TEST_CASE("workloads: the simulated native pool holds what a real one was measured to hold") {
  const auto runs = replay("--allocator native --passes 1");
  REQUIRE(runs.size() == workloads.size());
  int near = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const double ratio = runs[i]["reserved_over_live"].number();
    const double off = std::abs(ratio - workloads[i].native_ratio);
    INFO(workloads[i].trace << ": " << ratio << ", measured " << workloads[i].native_ratio);
    CHECK(runs[i]["failed"].number() == 0);
    CHECK(off <= 0.05);
    near += off <= 0.03;
  }
  CHECK(near >= 6);
}

TEST_CASE("workloads: weir holds at most 1.20 of peak live and needs no native call for nine allocations in ten") {
  const auto runs = replay("--allocator weir --passes 2");
  REQUIRE(runs.size() == 2 * workloads.size());
  for (const json& run : runs) {
    INFO(run["trace"].text() << ", pass " << run["pass"].number());
    CHECK(run["failed"].number() == 0);
    CHECK(run["reserved_over_live"].number() <= 1.20);
    CHECK(run["hit_rate"].number() > 0.9);
  }
}
