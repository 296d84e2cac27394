// SPDX-License-Identifier: Apache-2.0
//
// `weir replay` with a pace and with kernels, on the simulated device: what a program does between its allocations.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
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

// Ten events on two streams, so the last has its turn after nine tenths of the time.
const char* const ten_events =
    "a 0 1048576 0\na 1 4096 1\na 2 4096 0\nf 0 0\na 0 2097152 1\nf 1 1\nf 2 0\na 1 8192 0\nf 0 1\nf 1 0\n";

json::array runs_of(const std::string& arguments) {
  const auto done = run_weir("replay --json - --device sim --passes 1 " + arguments);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  return parse_json(done.out)["runs"].items();
}

// Of the text form, by a fact of the recording.
std::string text_trace(const scratch_folder& scratch, const std::string& facts) {
  return "'" + scratch.file("paced.trace", "# trace v1 " + facts + "\n" + ten_events) + "'";
}

// Of the binary form, whose recording began at 5 ms and took 200 ms.
std::string timed_trace(const scratch_folder& scratch) {
  using weir::trace::record_kind;
  const std::string path = scratch.path("timed.weir");
  auto made = weir::trace::writer::create(path);
  REQUIRE(made);
  weir::trace::writer out = std::move(*made);
  REQUIRE(out.write({.kind = record_kind::stream_birth, .stream = 1, .time_ns = 5'000'000}));
  for (std::uint64_t i = 0; i < 5; ++i) {
    const std::uint64_t at_ns = 5'000'000 + i * 50'000'000;
    REQUIRE(out.write({.kind = record_kind::allocate, .stream = 1, .id = i, .bytes = 4096, .time_ns = at_ns}));
    REQUIRE(out.write({.kind = record_kind::deallocate, .stream = 1, .id = i, .time_ns = at_ns}));
  }
  REQUIRE(out.finish());
  return "'" + path + "'";
}

// Both in virtual time: the last of ten events comes after 180 ms, and little happens then. What was waited for is in
// no call: each costs its few microseconds.
void check_spread_over_200_ms(const json::array& runs) {
  REQUIRE(runs.size() == 2);
  for (const json& run : runs) {
    INFO(run["allocator"].text());
    CHECK(run["makespan_ms"].number() >= 180);
    CHECK(run["makespan_ms"].number() < 200);
    CHECK(run["host_ms"].number() < 20);
  }
}

}  // namespace

TEST_CASE("replay load: --pace spreads events evenly over the recording's time, as its times or facts say it") {
  const scratch_folder scratch;
  check_spread_over_200_ms(runs_of("--pace " + timed_trace(scratch)));
  check_spread_over_200_ms(runs_of("--pace " + text_trace(scratch, "wall_s=7 trace_us=200000")));
  check_spread_over_200_ms(runs_of("--pace " + text_trace(scratch, "wall_s=0.2")));
}

TEST_CASE("replay load: --pace-seconds says the time, whatever the recording's was") {
  const scratch_folder scratch;
  check_spread_over_200_ms(runs_of("--pace-seconds 0.2 " + text_trace(scratch, "trace_us=7000000")));
}

TEST_CASE("replay load: without a pace virtual time is that of the native calls alone") {
  const scratch_folder scratch;
  for (const json& run : runs_of(text_trace(scratch, "trace_us=200000"))) {
    CHECK(run["makespan_ms"].number() > 0);
    CHECK(run["makespan_ms"].number() < 5);
  }
}

TEST_CASE("replay load: a kernel runs on the stream of each allocation, side by side with other streams'") {
  const scratch_folder scratch;
  // Three on stream 0 and two on stream 1: 3 ms of kernels one behind the other, and the native calls.
  const auto runs = runs_of("--kernel-us 1000 " + text_trace(scratch, ""));
  REQUIRE(runs.size() == 2);
  for (const json& run : runs) {
    INFO(run["allocator"].text());
    CHECK(run["makespan_ms"].number() >= 3);
    CHECK(run["makespan_ms"].number() < 4.5);
    CHECK(run["background_cpu_ms"].number() < 1);
  }
}

TEST_CASE("replay load: the tables say how a trace is played") {
  const scratch_folder scratch;
  const auto done =
      run_weir("replay --device sim --passes 1 --pace-seconds 0.1 --kernel-us 20 " + text_trace(scratch, ""));
  REQUIRE(done.exit_code == 0);
  for (const char* words : {"spread over 100 ms", "a kernel of 20 µs", "makespan", "background"})
    CHECK_THAT(done.out, ContainsSubstring(words));
}

TEST_CASE("replay load: --pool reaches weir's pool, and the figures say it") {
  const scratch_folder scratch;
  const auto reserved_with = [&](const std::string& options) {
    const auto done =
        run_weir("replay --json - --device sim --passes 1 --allocator weir " + options + " " + text_trace(scratch, ""));
    INFO(done.err);
    REQUIRE(done.exit_code == 0);
    const json whole = parse_json(done.out);
    CHECK(whole["pool_options"].text() == (options.empty() ? "" : "region_bytes=256MiB"));
    return whole["runs"].items()[0]["peak_reserved_bytes"].number();
  };
  CHECK(reserved_with("") < 256 << 20);
  CHECK(reserved_with("--pool region_bytes=256M") >= 256 << 20);
}

TEST_CASE("replay load: a pace nobody knows and values that mean nothing are refused") {
  const scratch_folder scratch;
  const std::string trace = text_trace(scratch, "wall_s=soon");
  const auto check_refused = [&](const std::string& options, const std::string& reason) {
    const auto done = run_weir("replay --device sim " + options + " " + trace);
    INFO(options);
    CHECK(done.exit_code == 2);
    CHECK(done.out.empty());
    CHECK_THAT(done.err, ContainsSubstring(reason));
  };
  check_refused("--pace", "say it with --pace-seconds");
  check_refused("--pace-seconds 0", "--pace-seconds");
  check_refused("--pace-seconds -1", "--pace-seconds");
  check_refused("--pace-seconds fast", "--pace-seconds");
  check_refused("--kernel-us 0", "--kernel-us");
  check_refused("--kernel-us -5", "--kernel-us");
  check_refused("--pool regions=32MiB", "regions");
  check_refused("--pool region_bytes=33MiB", "region_bytes");
  check_refused("--pool slack=0.1 --allocator native", "--pool");
}
