// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch_test_macros.hpp>
#include <string>

#include "cli/run_weir.hpp"

namespace weir::test {

namespace {

const std::string bundled = WEIR_SOURCE_DIR "/examples/traces/llm_serving.weir";

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("inspect: the bundled trace is described by the figures it was recorded with") {
  const run_result got = run_weir("inspect " + bundled);
  CHECK(got.exit_code == 0);
  CHECK(got.err.empty());
  CHECK(has(got.out, "136,948"));
  CHECK(has(got.out, "20,404,331,098 (19.00 GiB) at record "));
  CHECK(has(got.out, "NVIDIA H200"));
}

TEST_CASE("inspect: a small trace by hand") {
  const scratch_folder folder;
  const std::string in = folder.file("small.v2.trace",
                                     "# trace v1 a=b\n# streams 0=0x0 1=0x10\n"
                                     "a 0 1000 0\na 1 1000 1\nf 0 0\na 2 24 0\nf 1 0\na 3 1000 0\n");
  const run_result got = run_weir("inspect " + in + " --json -");
  CHECK(got.exit_code == 0);
  for (const char* part :
       {R"("trace":"small")", R"("form":"text")", R"("truncated":false)", R"("allocate":4)", R"("deallocate":2)",
        R"("operations":6)", R"("peak_live_bytes":2000)", R"("peak_live_record":4)", R"("peak_live_count":2)",
        R"("live_at_end":{"count":2,"bytes":1024})", R"("freed_on_another_stream":1)",
        R"("lifetimes_in_operations":{"count":2,"p50":2,"p90":3,"p99":3,"max":3})", R"("distinct":2)",
        R"("seen_before_rate":0.5)", R"({"from":512,"count":3,"bytes":3000})",
        R"({"stream":1,"name":"0x10","allocations":1,"deallocations":0,"bytes":1000})", R"("facts":{"a":"b"})"}) {
    INFO(part << "\n" << got.out);
    CHECK(has(got.out, part));
  }
}

TEST_CASE("inspect: JSON goes to a file") {
  const scratch_folder folder;
  const run_result got = run_weir("inspect " + bundled + " --json " + folder.path("x.json"));
  CHECK(got.exit_code == 0);
  CHECK(got.out.empty());
  CHECK(read_file(folder.path("x.json")).starts_with("{\"weir\":\""));
}

TEST_CASE("inspect: a cut trace is refused, or told and found cut when asked") {
  const scratch_folder folder;
  const std::string whole = read_file(bundled);
  const std::string in = folder.file("cut.weir", whole.substr(0, whole.size() - 5));
  const run_result refused = run_weir("inspect " + in);
  CHECK(refused.exit_code == 2);
  CHECK(has(refused.err, "--allow-truncated"));
  const run_result told = run_weir("inspect --allow-truncated " + in);
  CHECK(told.exit_code == 1);
  CHECK(has(told.out, "136,948"));
  CHECK(has(told.err, "warning: " + in + ": byte "));
}

TEST_CASE("inspect: control characters of a file do not reach the terminal") {
  const scratch_folder folder;
  const std::string in = folder.file("x.trace", "# trace v1 a=\x1b[31mred\na 0 1 0\n");
  const run_result got = run_weir("inspect " + in);
  CHECK(got.exit_code == 0);
  CHECK_FALSE(has(got.out, "\x1b"));
}

}  // namespace weir::test
