// SPDX-License-Identifier: Apache-2.0
//
// What weir counts while it replays, exactly as it was: native calls, splits, events, waits and what each step served.
// A change of the engine changes these numbers on purpose or by accident; this is where it shows. They are the same in
// every build and on every machine, since the simulated device knows virtual time alone. tests/cli/update-goldens
// writes them anew.
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/parse_json.hpp"
#include "cli/run_weir.hpp"

using weir::test::json;
using weir::test::parse_json;
using weir::test::run_weir;

namespace {

const char* const golden_path = WEIR_SOURCE_DIR "/tests/data/goldens/replay_counts.txt";
const char* const golden_head =
    "# SPDX-License-Identifier: Apache-2.0\n"
    "#\n"
    "# What weir counts in two passes over each trace on the simulated device; tests/cli/goldens_test.cpp compares.\n"
    "# tests/cli/update-goldens writes it anew.\n";

// By name, its count in each pass.
using counts = std::map<std::string, std::vector<std::uint64_t>>;
// By trace and what was played.
using goldens = std::map<std::string, counts>;

goldens read_goldens() {
  goldens all;
  std::ifstream in(golden_path);
  std::string run;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with('[')) {
      run = line.substr(1, line.find(']') - 1);
      continue;
    }
    std::istringstream words(line);
    std::string name;
    words >> name;
    for (std::uint64_t n = 0; words >> n;) all[run][name].push_back(n);
  }
  return all;
}

void write_goldens(const goldens& all) {
  std::ofstream out(golden_path);
  out << golden_head;
  for (const auto& [run, of_run] : all) {
    out << "\n[" << run << "]\n";
    for (const auto& [name, passes] : of_run) {
      out << name << std::string(name.size() < 24 ? 24 - name.size() : 1, ' ');
      for (const std::uint64_t n : passes) out << ' ' << n;
      out << '\n';
    }
  }
  REQUIRE(out.flush());
}

std::uint64_t whole(double number) { return static_cast<std::uint64_t>(std::llround(number)); }

void add_pass(counts& to, const json& run) {
  const auto add = [&](const std::string& name, double number) { to[name].push_back(whole(number)); };
  for (const char* name :
       {"operations", "failed", "peak_live_bytes", "peak_reserved_bytes", "waits_inserted", "waits_fresh"})
    add(name, run[name].number());
  for (const auto& [name, number] : run["native_calls"].members()) add("native_" + name, number.number());
  for (const auto& [name, number] : run["counts"].members()) add(name, number.number());
  add("modelled_us", run["makespan_ms"].number() * 1000);  // of the native calls, and of kernels that were waited for
}

// One weir replay; `played` is added to each trace's name.
goldens count(const std::string& arguments, const std::string& played = "") {
  const auto done = run_weir("replay --json - --device sim --allocator weir --passes 2 " + arguments);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  goldens all;
  const json parsed = parse_json(done.out);
  for (const json& run : parsed["runs"].items()) add_pass(all[run["trace"].text() + played], run);
  return all;
}

std::string differences(const counts& was, const counts& is) {
  std::ostringstream text;
  const auto list = [&](const counts& of, const std::string& name) {
    const auto at = of.find(name);
    if (at == of.end()) text << " nothing";
    if (at != of.end())
      for (const std::uint64_t n : at->second) text << ' ' << n;
  };
  counts names = was;
  names.insert(is.begin(), is.end());
  for (const auto& [name, unused] : names) {
    const auto before = was.find(name), now = is.find(name);
    if (before != was.end() && now != is.end() && before->second == now->second) continue;
    text << "\n  " << name << ": was";
    list(was, name);
    text << ", is";
    list(is, name);
  }
  return text.str();
}

void compare(const goldens& now) {
  goldens golden = read_goldens();
  if (std::getenv("WEIR_UPDATE_GOLDENS")) {
    for (const auto& [run, of_run] : now) golden[run] = of_run;
    write_goldens(golden);
    return;
  }
  for (const auto& [run, of_run] : now) {
    const std::string changed = differences(golden[run], of_run);
    INFO(run << " (passes 1 and 2):" << changed
             << "\nIf the change is meant, run tests/cli/update-goldens and commit.");
    CHECK(changed.empty());
  }
}

std::string reference(const std::string& trace) {
  std::string path = std::string(WEIR_SHARED_DIR "/traces/") + trace + ".trace.gz";
  if (!std::filesystem::exists(path)) SKIP("no " << path);
  return "'" + std::move(path) + "' ";
}

const std::string bundled = "'" WEIR_SOURCE_DIR "/examples/traces/llm_serving.weir'";

}  // namespace

TEST_CASE("goldens: the bundled trace is served as it was") { compare(count(bundled)); }

TEST_CASE("goldens: the bundled trace with kernels is served as it was") {
  compare(count("--kernel-us 20 " + bundled, ", kernels of 20 us"));
}

TEST_CASE("goldens: hand-overs between threads and streams are served as they were") {
  compare(count("'" WEIR_SOURCE_DIR "/tests/data/traces/handover.weir'"));
}

// The eighth is the bundled one.
TEST_CASE("goldens: the reference traces are served as they were") {
  std::string traces;
  for (const char* trace : {"diffusion_unet", "gnn", "llm_generate", "moe", "recsys", "training_llm", "vision_mixed"})
    traces += reference(trace);
  compare(count(traces));
}

TEST_CASE("goldens: seven streams with kernels are served as they were") {
  compare(count("--kernel-us 50 " + reference("vision_mixed"), ", kernels of 50 us"));
}
