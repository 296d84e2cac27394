// SPDX-License-Identifier: Apache-2.0
//
// The recorded workloads at full size, which the repository does not hold.
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "trace/byte_source.hpp"
#include "trace/gzip.hpp"
#include "unit/trace/trace_helpers.hpp"
#include "weir/trace/validator.hpp"

namespace weir::trace::test {

namespace {

const std::string bundled = WEIR_SOURCE_DIR "/examples/traces/llm_serving.weir";

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string gunzip(const std::filesystem::path& path) {
  auto file = open_file(path);
  REQUIRE(file.has_value());
  auto bytes = make_gzip_source(input(std::move(*file), path));
  std::string all;
  std::vector<char> some(1 << 20);
  for (;;) {
    const auto count = bytes->read(some);
    REQUIRE(count.has_value());
    if (*count == 0) return all;
    all.append(some.data(), *count);
  }
}

std::vector<std::filesystem::path> shared_traces() {
  const std::filesystem::path folder = std::filesystem::path(WEIR_SHARED_DIR) / "traces";
  if (std::string(WEIR_SHARED_DIR).empty() || !std::filesystem::exists(folder)) SKIP("WEIR_SHARED_DIR has no traces");
  std::vector<std::filesystem::path> traces;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().string().ends_with(".trace.gz")) traces.push_back(entry.path());
  }
  return traces;
}

}  // namespace

TEST_CASE("shared traces: text to binary and back is the same, byte for byte") {
  const auto traces = shared_traces();
  REQUIRE(traces.size() == 8);
  for (const auto& path : traces) {
    INFO(path);
    const std::string text = gunzip(path);
    const conversion binary = convert(text, {});
    CHECK(binary.bytes.size() < text.size() / 8);
    const conversion back = convert(binary.bytes, {.form = form::text});
    CHECK((back.bytes == text));
    CHECK(back.losses.empty());
  }
}

TEST_CASE("shared traces: events and peak are what the recording says of itself") {
  for (const auto& path : shared_traces()) {
    INFO(path);
    auto in = reader::open(path.string());
    REQUIRE(in.has_value());
    validator check;
    record r;
    for (;;) {
      const auto more = in->next(r);
      REQUIRE(more.has_value());
      if (!*more) break;
      if (!check.observe(r).has_value()) FAIL("refused: " << describe(r));
    }
    CHECK(std::to_string(check.operations()) == in->find_fact("events"));
    CHECK(std::to_string(check.peak_live_bytes()) == in->find_fact("peak_requested"));
    CHECK(std::to_string(check.live_count()) == in->find_fact("never_freed"));
  }
}

TEST_CASE("shared traces: the bundled one is that of LLM serving") {
  const std::filesystem::path folder = shared_traces().at(0).parent_path();
  CHECK((convert(read_file(bundled), {.form = form::text}).bytes == gunzip(folder / "llm_serving.trace.gz")));
}

TEST_CASE("bundled trace: it is a recording of LLM serving, in under 1 MB") {
  CHECK(std::filesystem::file_size(bundled) < 1'000'000);
  const std::string text = convert(read_file(bundled), {.form = form::text}).bytes;
  CHECK(text.starts_with("# trace v1 workload=llm_serving "));
}

}  // namespace weir::trace::test
