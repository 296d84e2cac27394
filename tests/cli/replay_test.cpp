// SPDX-License-Identifier: Apache-2.0
//
// `weir replay` as a user sees it, on the simulated device.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "cli/parse_json.hpp"
#include "cli/run_weir.hpp"
#include "weir/backend.hpp"
#include "weir/trace/writer.hpp"
#include "weir/version.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinAbs;
using weir::test::json;
using weir::test::parse_json;
using weir::test::run_weir;
using weir::test::scratch_folder;

namespace {

const std::string bundled = "'" WEIR_SOURCE_DIR "/examples/traces/llm_serving.weir'";

// Two streams, one hand-over, one block that lives to the end.
const char* const small_trace =
    "# trace v1 workload=small\n"
    "# streams 0=0x0 3=0x7f00\n"
    "a 0 1048576 0\n"
    "a 1 4194304 3\n"
    "f 0 3\n"
    "a 2 512 0\n"
    "a 0 2097152 3\n"
    "f 1 3\n"
    "f 0 3\n";

// The runs of a replay that ends well and writes JSON to stdout.
json::array runs_of(const std::string& arguments) {
  const auto done = run_weir("replay --json - --device sim " + arguments);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  return parse_json(done.out)["runs"].items();
}

std::set<std::string> keys_of(const json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.members()) keys.insert(key);
  return keys;
}

void check_latency(const json& call) {
  CHECK(keys_of(call) == std::set<std::string>{"p50", "p90", "p99", "p999", "max"});
  CHECK(call["p50"].number() > 0);
  CHECK(call["p50"].number() <= call["p90"].number());
  CHECK(call["p90"].number() <= call["p99"].number());
  CHECK(call["p99"].number() <= call["p999"].number());
  CHECK(call["p999"].number() <= call["max"].number());
}

void check_refused(const std::string& arguments, const std::string& reason) {
  const auto done = run_weir("replay " + arguments);
  INFO(arguments);
  CHECK(done.exit_code == 2);
  CHECK(done.out.empty());
  CHECK_THAT(done.err, ContainsSubstring(reason));
}

}  // namespace

TEST_CASE("replay: JSON has every field of every run, by allocator and pass") {
  const auto done = run_weir("replay --json - --device sim --allocator weir,native,direct " + bundled);
  REQUIRE(done.exit_code == 0);
  const json whole = parse_json(done.out);
  CHECK(keys_of(whole) == std::set<std::string>{"weir", "device", "pool_options", "timer_floor_ns", "runs"});
  CHECK(whole["weir"].text() == WEIR_VERSION);
  CHECK(keys_of(whole["device"]) == std::set<std::string>{"kind", "name", "bytes_total"});
  CHECK(whole["device"]["kind"].text() == "sim");
  CHECK(whole["timer_floor_ns"].number() > 0);
  const auto& runs = whole["runs"].items();
  REQUIRE(runs.size() == 6);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const json& run = runs[i];
    static const char* const names[] = {"weir", "native", "direct"};
    CHECK(run["allocator"].text() == names[i / 2]);
    CHECK(run["pass"].number() == static_cast<double>(i % 2 + 1));
    CHECK(keys_of(run) == std::set<std::string>{"trace",
                                                "allocator",
                                                "pass",
                                                "operations",
                                                "failed",
                                                "peak_live_bytes",
                                                "peak_reserved_bytes",
                                                "reserved_over_live",
                                                "host_ms",
                                                "makespan_ms",
                                                "background_cpu_ms",
                                                "driver_ms",
                                                "allocate_ns",
                                                "deallocate_ns",
                                                "cached_rate",
                                                "hit_rate",
                                                "clock",
                                                "native_calls",
                                                "counts",
                                                "waits_inserted",
                                                "waits_fresh",
                                                "verified_bytes",
                                                "differences"});
    CHECK(std::holds_alternative<std::nullptr_t>(run["verified_bytes"].value));
    CHECK(run["trace"].text() == "llm_serving");
    CHECK(run["failed"].number() == 0);
    CHECK(run["operations"].number() == runs[0]["operations"].number());
    CHECK(run["peak_live_bytes"].number() == runs[0]["peak_live_bytes"].number());
    CHECK(run["peak_reserved_bytes"].number() >= run["peak_live_bytes"].number());
    CHECK_THAT(run["reserved_over_live"].number(),
               WithinAbs(run["peak_reserved_bytes"].number() / run["peak_live_bytes"].number(), 1e-6));
    CHECK(run["host_ms"].number() > 0);
    CHECK(run["clock"].text() == "modelled");
    CHECK(keys_of(run["native_calls"]) == std::set<std::string>{"allocate", "deallocate", "grow", "trim"});
    check_latency(run["allocate_ns"]);
    check_latency(run["deallocate_ns"]);
  }
}

TEST_CASE("replay: the native pool is called for every operation, weir's for few of them") {
  const auto runs = runs_of("--allocator weir,native " + bundled);
  REQUIRE(runs.size() == 4);
  for (std::size_t pass : {0u, 1u}) {
    const json& ours = runs[pass];
    const json& native = runs[2 + pass];
    const double native_calls =
        native["native_calls"]["allocate"].number() + native["native_calls"]["deallocate"].number();
    CHECK(native_calls == native["operations"].number());
    CHECK(native["hit_rate"].number() == 0);
    CHECK(ours["native_calls"]["allocate"].number() < 0.1 * native["native_calls"]["allocate"].number());
    CHECK(ours["hit_rate"].number() > 0.9);
    CHECK(ours["cached_rate"].number() <= ours["hit_rate"].number());
  }
  CHECK(runs[2]["native_calls"]["grow"].number() > 0);
}

// The median, because a busy machine may hold up a few calls for longer than all others take.
TEST_CASE("replay: at the median weir allocates in under half of the native pool's time") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  SKIP("a sanitizer slows what is measured, not what is modelled");
#endif
  const auto runs = runs_of("--allocator weir,native " + bundled);
  REQUIRE(runs.size() == 4);
  for (std::size_t pass : {0u, 1u})
    CHECK(runs[pass]["allocate_ns"]["p50"].number() < runs[2 + pass]["allocate_ns"]["p50"].number() / 2);
}

TEST_CASE("replay: peak live is the largest sum of requested bytes, in every pass") {
  const scratch_folder scratch;
  const auto runs = runs_of("--passes 3 '" + scratch.file("small.one.trace", small_trace) + "'");
  REQUIRE(runs.size() == 6);
  for (const json& run : runs) {
    CHECK(run["trace"].text() == "small");
    CHECK(run["peak_live_bytes"].number() == 4194304 + 2097152 + 512);
    CHECK(run["operations"].number() == 7);
  }
}

TEST_CASE("replay: what a pass leaves live is freed before the next, and its memory kept") {
  const scratch_folder scratch;
  const std::string path = scratch.file("leaky.trace", "# trace v1\na 0 83886080 0\na 1 41943040 1\na 2 512 0\n");
  const auto runs = runs_of("--passes 3 --allocator native,weir '" + path + "'");
  REQUIRE(runs.size() == 6);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    INFO(runs[i]["allocator"].text() << ", pass " << runs[i]["pass"].number());
    CHECK(runs[i]["operations"].number() == 3);
    CHECK(runs[i]["peak_live_bytes"].number() == 83886080 + 41943040 + 512);
    CHECK(runs[i]["peak_reserved_bytes"].number() == runs[i - i % 3]["peak_reserved_bytes"].number());
    if (i % 3 > 0) CHECK(runs[i]["native_calls"]["grow"].number() == 0);
  }
  CHECK(runs[0]["native_calls"]["grow"].number() > 0);
}

TEST_CASE("replay: uses, waits, alignments, direct and host memory of the binary form") {
  using weir::trace::memory_kind;
  using weir::trace::record_kind;
  const scratch_folder scratch;
  const std::string path = scratch.path("rich.weir");
  auto made = weir::trace::writer::create(path);
  REQUIRE(made);
  weir::trace::writer out = std::move(*made);
  const auto put = [&](const weir::trace::record& r) { REQUIRE(out.write(r)); };
  put({.kind = record_kind::stream_birth, .stream = 1});
  put({.kind = record_kind::stream_birth, .stream = 9});
  put({.kind = record_kind::live, .stream = 1, .id = 5, .bytes = 1000});
  put({.kind = record_kind::allocate, .stream = 1, .id = 6, .bytes = 3 << 20, .alignment = 1 << 20});
  put({.kind = record_kind::allocate, .memory = memory_kind::direct, .stream = 1, .id = 7, .bytes = 4 << 20});
  put({.kind = record_kind::allocate, .memory = memory_kind::host, .stream = 1, .id = 8, .bytes = 5 << 20});
  put({.kind = record_kind::use, .stream = 9, .id = 6});
  put({.kind = record_kind::event, .stream = 1, .id = 3});
  put({.kind = record_kind::wait, .stream = 9, .id = 3});
  put({.kind = record_kind::deallocate, .stream = 9, .id = 6});
  put({.kind = record_kind::deallocate, .stream = 1, .id = 7});
  put({.kind = record_kind::deallocate, .stream = 1, .id = 8});
  put({.kind = record_kind::allocate, .stream = 9, .id = 6, .bytes = SIZE_MAX / 4, .alignment = 1u << 31});
  REQUIRE(out.finish());
  const auto runs = runs_of("--allocator weir,native,direct '" + path + "'");
  REQUIRE(runs.size() == 6);
  for (const json& run : runs) {
    INFO(run["allocator"].text() << ", pass " << run["pass"].number());
    CHECK(run["operations"].number() == 6);
    CHECK(run["failed"].number() == 1);
    CHECK(run["peak_live_bytes"].number() == 1000 + (3 << 20) + (4 << 20));
    CHECK(run["peak_reserved_bytes"].number() >= run["peak_live_bytes"].number());
  }
  CHECK_THAT(run_weir("replay --device sim '" + path + "'").err, ContainsSubstring("1 blocks of managed or host"));
}

TEST_CASE("replay: several traces, in order") {
  const scratch_folder scratch;
  const auto runs = runs_of("--passes 1 --allocator native '" + scratch.file("b.trace", small_trace) + "' '" +
                            scratch.file("a.trace", small_trace) + "'");
  REQUIRE(runs.size() == 2);
  CHECK(runs[0]["trace"].text() == "b");
  CHECK(runs[1]["trace"].text() == "a");
}

TEST_CASE("replay: direct allocations hold what is live") {
  const scratch_folder scratch;
  const auto runs = runs_of("--allocator direct '" + scratch.file("small.trace", small_trace) + "'");
  REQUIRE(runs.size() == 2);
  CHECK(runs[0]["peak_reserved_bytes"].number() == runs[0]["peak_live_bytes"].number());
}

TEST_CASE("replay: what finds no room under a limit is counted, and the rest goes on") {
  const scratch_folder scratch;
  // 40 MiB, then 80 that do not fit, then 1 that does.
  const std::string path =
      scratch.file("tight.trace", "# trace v1\na 0 41943040 0\na 1 83886080 0\na 2 1048576 0\nf 1 0\nf 0 0\nf 2 0\n");
  const auto runs = runs_of("--limit 96M --passes 1 --allocator weir,native,direct '" + path + "'");
  REQUIRE(runs.size() == 3);
  for (const json& run : runs) {
    INFO(run["allocator"].text());
    CHECK(run["failed"].number() == 1);
    CHECK(run["operations"].number() == 5);  // the free of what was never had is not made
    CHECK(run["peak_live_bytes"].number() == 41943040 + 1048576);
    CHECK(run["peak_reserved_bytes"].number() <= 96 << 20);
  }
}

TEST_CASE("replay: a device too small for the trace fails allocations, not the replay") {
  const auto runs = runs_of("--sim-bytes 8GiB --passes 1 " + bundled);
  REQUIRE(runs.size() == 2);
  for (const json& run : runs) {
    CHECK(run["failed"].number() > 0);
    CHECK(run["peak_reserved_bytes"].number() <= 8.0 * (1 << 30));
  }
}

TEST_CASE("replay: the tables say device, clock and timer, and fit a terminal") {
  const auto done = run_weir("replay --device sim " + bundled);
  REQUIRE(done.exit_code == 0);
  CHECK_THAT(done.out, ContainsSubstring("weir " WEIR_VERSION " on the simulated device"));
  CHECK_THAT(done.out, ContainsSubstring("modelled native calls"));
  CHECK_THAT(done.out, ContainsSubstring("timer floor "));
  for (const char* word : {"operations", "peak live", "reserved", "ratio", "host time", "p50", "p90", "p99", "p99.9",
                           "max", "cached", "hit", "native calls", "llm_serving"})
    CHECK_THAT(done.out, ContainsSubstring(word));
  CHECK(done.err.empty());
  std::size_t width = 0;
  for (const char c : done.out) {
    if (c == '\n') width = 0;
    if ((c & 0xc0) != 0x80) ++width;
    REQUIRE(width <= 121);
  }
}

TEST_CASE("replay: JSON to a file leaves the tables on stdout") {
  const scratch_folder scratch;
  const std::string path = scratch.path("figures.json");
  const auto done = run_weir("replay --device sim --passes 1 " + bundled + " --json '" + path + "'");
  REQUIRE(done.exit_code == 0);
  CHECK_THAT(done.out, ContainsSubstring("native calls"));
  CHECK(parse_json(weir::test::read_file(path))["runs"].items().size() == 2);
}

TEST_CASE("replay: without a device named it takes the GPU, or says why not") {
  const auto done = run_weir("replay --passes 1 " + bundled);
  REQUIRE(done.exit_code == 0);
  const auto gpus = weir::cuda_device_count();
  if (gpus && *gpus > 0) {
    CHECK_THAT(done.out, ContainsSubstring("host times: measured;"));
  } else {
    CHECK_THAT(done.out, ContainsSubstring("on the simulated device"));
    const bool is_built_without = !gpus && gpus.error().code == weir::errc::built_without_cuda;
    CHECK_THAT(done.out, ContainsSubstring(is_built_without ? "built without CUDA" : "no CUDA device"));
  }
}

TEST_CASE("replay: a GPU asked for and not there is refused by name") {
  const auto gpus = weir::cuda_device_count();
  if (gpus && *gpus > 0) {
    check_refused("--device cuda:" + std::to_string(*gpus) + " " + bundled, "no such device");
    return;
  }
  const bool is_built_without = !gpus && gpus.error().code == weir::errc::built_without_cuda;
  for (const char* device : {"cuda", "cuda:0"})
    check_refused("--device " + std::string(device) + " " + bundled,
                  is_built_without ? "built without CUDA" : "no CUDA device");
}

TEST_CASE("replay: options that mean nothing are refused") {
  check_refused("", "TRACE");
  check_refused("--device vulkan " + bundled, "--device");
  check_refused("--device cuda:x " + bundled, "--device");
  check_refused("--device sim --allocator weir,tlsf " + bundled,
                "'tlsf' is none of weir, native, direct, plugin:FILE.so");
  check_refused("--device sim --passes 0 " + bundled, "--passes");
  check_refused("--device sim --limit lots " + bundled, "'lots' is no number of bytes");
  check_refused("--device sim --limit 0 " + bundled, "'0' is no number of bytes");
  check_refused("--device sim --nonsense " + bundled, "--nonsense");
}

TEST_CASE("replay: a trace that is missing, empty, none or cut is refused with file, position and reason") {
  const scratch_folder scratch;
  const auto replay = [&](const std::string& path) { return "--device sim '" + path + "'"; };
  check_refused(replay(scratch.path("missing.weir")), "missing.weir");
  check_refused(replay(scratch.file("empty.weir", "")), "empty.weir: ");
  check_refused(replay(scratch.file("none.weir", "#!/bin/sh\nexit 0\n")), "none.weir: line ");
  const std::string whole = weir::test::read_file(WEIR_SOURCE_DIR "/examples/traces/llm_serving.weir");
  check_refused(replay(scratch.file("cut.weir", whole.substr(0, whole.size() / 2))), "cut.weir: byte ");
}

TEST_CASE("replay: a trace that frees what it never allocated is refused before anything is replayed") {
  const scratch_folder scratch;
  const std::string path = scratch.file("wild.trace", "# trace v1\na 0 512 0\nf 7 0\n");
  check_refused("--device sim " + bundled + " '" + path + "'", "wild.trace: line 3: ");
  const std::string twice = scratch.file("twice.trace", "# trace v1\na 0 512 0\nf 0 0\nf 0 0\n");
  check_refused("--device sim '" + twice + "'", "twice.trace: line 4: ");
}

TEST_CASE("replay: JSON that cannot be written is an error") {
  const auto done = run_weir("replay --device sim --passes 1 --json /nonexistent/figures.json " + bundled);
  CHECK(done.exit_code == 2);
  CHECK_THAT(done.err, ContainsSubstring("/nonexistent/figures.json"));
}

TEST_CASE("replay: --help has an example") {
  const auto done = run_weir("replay --help");
  CHECK(done.exit_code == 0);
  CHECK_THAT(done.out, ContainsSubstring("Example: weir replay"));
}
