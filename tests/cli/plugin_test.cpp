// SPDX-License-Identifier: Apache-2.0
//
// Allocators from shared objects, good and bad, through `weir replay`.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>

#include "cli/parse_json.hpp"
#include "cli/run_weir.hpp"

using Catch::Matchers::ContainsSubstring;
using weir::test::parse_json;
using weir::test::run_weir;
using weir::test::scratch_folder;

namespace {

// 2 MiB and 512 bytes live at once at most; the second is freed on another stream.
const char* const small_trace = "# trace v1\na 0 2097152 0\na 1 100 3\nf 1 0\na 1 512 3\nf 0 3\nf 1 3\n";

std::string plugin(const std::string& name) { return "plugin:" WEIR_PLUGIN_DIR "/" + name + ".so"; }

weir::test::run_result replay(const std::string& allocators) {
  const scratch_folder scratch;
  return run_weir("replay --device sim --json - '" + scratch.file("small.trace", small_trace) + "' --allocator '" +
                  allocators + "'");
}

void check_refused(const std::string& allocator, const std::string& reason) {
  const auto done = replay(allocator);
  INFO(allocator);
  CHECK(done.exit_code == 2);
  CHECK(done.out.empty());
  CHECK_THAT(done.err, ContainsSubstring(reason));
}

}  // namespace

TEST_CASE("plugin: a replay counts what it reserved, in each pass") {
  const auto done = replay("native," + plugin("counter"));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  const auto runs = parse_json(done.out)["runs"].items();
  REQUIRE(runs.size() == 4);
  for (const std::size_t pass : {2u, 3u}) {
    CHECK(runs[pass]["allocator"].text() == "counter");
    CHECK(runs[pass]["operations"].number() == 6);
    CHECK(runs[pass]["failed"].number() == 0);
    CHECK(runs[pass]["peak_reserved_bytes"].number() == 2097152 + 512);
    CHECK(runs[pass]["reserved_over_live"].number() == 1);
    CHECK(runs[pass]["native_calls"]["allocate"].number() == 0);
  }
}

TEST_CASE("plugin: one that does not tell its reserved bytes has null, a dash and a sentence") {
  const auto done = replay(plugin("secretive"));
  REQUIRE(done.exit_code == 0);
  const auto runs = parse_json(done.out)["runs"].items();
  REQUIRE(runs.size() == 2);
  for (const auto& run : runs) {
    CHECK(std::holds_alternative<std::nullptr_t>(run["peak_reserved_bytes"].value));
    CHECK(std::holds_alternative<std::nullptr_t>(run["reserved_over_live"].value));
  }
  const scratch_folder scratch;
  const auto table = run_weir("replay --device sim '" + scratch.file("small.trace", small_trace) + "' --allocator '" +
                              plugin("secretive") + "'");
  CHECK_THAT(table.out, ContainsSubstring("–"));
  CHECK_THAT(table.out, ContainsSubstring("secretive does not tell what it has reserved"));
}

TEST_CASE("plugin: no room is a failed allocation, and the replay goes on") {
  const auto done = replay(plugin("tight"));
  REQUIRE(done.exit_code == 0);
  const auto runs = parse_json(done.out)["runs"].items();
  REQUIRE(runs.size() == 2);
  CHECK(runs[1]["failed"].number() == 1);
  CHECK(runs[1]["peak_live_bytes"].number() == 512);
}

TEST_CASE("plugin: another answer ends the replay and is shown") { check_refused(plugin("unfree"), "77"); }

TEST_CASE("plugin: a limit does not bind it, which is said") {
  const scratch_folder scratch;
  const auto done = run_weir("replay --device sim --limit 1GiB '" + scratch.file("small.trace", small_trace) +
                             "' --allocator '" + plugin("counter") + "'");
  CHECK(done.exit_code == 0);
  CHECK_THAT(done.err, ContainsSubstring("--limit does not bind"));
}

TEST_CASE("plugin: what is none is refused by name and reason") {
  const scratch_folder scratch;
  check_refused("plugin:", "plugin");
  check_refused("plugin:/nonexistent/a.so", "/nonexistent/a.so: cannot be loaded");
  check_refused("plugin:nonexistent.so", "nonexistent.so: cannot be loaded");
  check_refused("plugin:" + scratch.file("text.so", "no shared object"), "text.so: cannot be loaded");
  check_refused(plugin("no_symbol"), "no_symbol.so: exports no weir_plugin_open");
  check_refused(plugin("answers_7"), "answers_7.so: weir_plugin_open answered 7 for the simulated device");
  check_refused(plugin("lacks_function"), "lacks_function.so: gives no function deallocate");
  check_refused(plugin("version_2"), "version_2.so: speaks version 2");
  check_refused(plugin("usurper"), "calls itself weir");
}
