// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch_test_macros.hpp>
#include <string>

#include "cli/run_weir.hpp"

namespace weir::test {

namespace {

const std::string bundled = WEIR_SOURCE_DIR "/examples/traces/llm_serving.weir";
const std::string small_text = "# trace v1 device=\"NVIDIA H200\"\n# streams 0=0x0\na 0 4096 0\nf 0 0\n";

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("convert: the bundled trace goes to text and back, plain and in gzip") {
  const scratch_folder folder;
  REQUIRE(run_weir("convert " + bundled + " " + folder.path("a.trace")).exit_code == 0);
  REQUIRE(run_weir("convert " + folder.path("a.trace") + " " + folder.path("b.weir")).exit_code == 0);
  REQUIRE(run_weir("convert " + folder.path("b.weir") + " " + folder.path("c.trace.gz")).exit_code == 0);
  REQUIRE(run_weir("convert --to text " + folder.path("c.trace.gz") + " " + folder.path("d")).exit_code == 0);
  const std::string text = read_file(folder.path("a.trace"));
  CHECK(text.starts_with("# trace v1 workload=llm_serving torch="));
  CHECK(has(text, "device=\"NVIDIA H200\""));
  CHECK((read_file(folder.path("d")) == text));
  CHECK(read_file(folder.path("c.trace.gz")).starts_with("\x1f\x8b"));
  CHECK(folder.file_count() == 4);
}

TEST_CASE("convert: through pipes, data on stdout alone") {
  const scratch_folder folder;
  const run_result got = run_weir("convert - - < " + folder.file("in", small_text));
  CHECK(got.exit_code == 0);
  CHECK(got.out == small_text);
  CHECK(got.err == "weir: info: 3 records converted\n");
  CHECK(run_weir("--quiet convert - - < " + folder.path("in")).err.empty());
  CHECK(run_weir("convert - - -q < " + folder.path("in")).err.empty());
}

TEST_CASE("convert: the form is told by content, never by name") {
  const scratch_folder folder;
  const std::string misnamed = folder.file("text.weir", small_text);
  CHECK(run_weir("convert " + misnamed + " -").out == small_text);
}

TEST_CASE("convert: a bad file is refused with its name, place and reason, and nothing is written") {
  const scratch_folder folder;
  const std::string binary = read_file(bundled);
  const auto refusal = [&](const std::string& bytes) {
    const std::string in = folder.file("in", bytes);
    const run_result got = run_weir("convert " + in + " " + folder.path("out.weir"));
    CHECK(got.exit_code == 2);
    CHECK(got.out.empty());
    CHECK(got.err.starts_with("weir: error: " + in + ": "));
    CHECK(folder.file_count() == 1);
    return got.err;
  };
  CHECK(has(refusal(""), "byte 0: no trace: the file is empty"));
  CHECK(has(refusal("#!/bin/sh\necho\n"), "line 2: neither an event"));
  CHECK(has(refusal(std::string("\x7f"
                                "ELF\0\0",
                                6)),
            "byte 0: no trace: it begins with"));
  CHECK(has(refusal(binary.substr(0, 30'000)), "the file is cut"));
  CHECK(has(refusal(binary.substr(0, binary.size() - 30) + std::string(30, 'x')), "checksum"));
  CHECK(has(refusal("# trace v1\na 1 2\n"), "line 2: the stream is missing"));
  CHECK(has(refusal("# trace v1\na 1 2 3\nf 2 3\n"), "line 3: allocation 2 is freed and is not live"));
  CHECK(has(refusal("# trace v1\na 1 2 3\na 1 2 3\n"), "line 3: allocation 1 is live already"));
  CHECK(has(refusal("# trace v1\n# streams 0=0x0\na 1 2 3\n"), "line 3: stream 3 is none of the trace's streams"));
  CHECK(has(refusal("# trace v1\na 1 2 3"), "line 2: the last line has no newline"));
}

TEST_CASE("convert: a cut trace is read as far as it is whole when asked") {
  const scratch_folder folder;
  const std::string in = folder.file("cut", small_text + "a 1 20");
  CHECK(run_weir("convert " + in + " -").exit_code == 2);
  const run_result got = run_weir("convert --allow-truncated " + in + " -");
  CHECK(got.exit_code == 0);
  CHECK(got.out == small_text);
  CHECK(has(got.err, "line 5: the last line has no newline"));
}

TEST_CASE("convert: a refused trace leaves the old output as it was") {
  const scratch_folder folder;
  const std::string out = folder.file("out.weir", "precious");
  const std::string in = folder.file("in", "# trace v1\nf 1 0\n");
  CHECK(run_weir("convert " + in + " " + out).exit_code == 2);
  CHECK(read_file(out) == "precious");
}

TEST_CASE("convert: what cannot be written is named") {
  const scratch_folder folder;
  const std::string in = folder.file("in", small_text);
  const run_result nowhere = run_weir("convert " + in + " " + folder.path("none/out.weir"));
  CHECK(nowhere.exit_code == 2);
  CHECK(has(nowhere.err, "cannot be created"));
  const run_result onto_itself = run_weir("convert " + in + " " + in);
  CHECK(onto_itself.exit_code == 2);
  CHECK(has(onto_itself.err, "is the input itself"));
  const run_result no_form = run_weir("convert " + in + " " + folder.path("out"));
  CHECK(no_form.exit_code == 2);
  CHECK(has(no_form.err, "pass --to"));
  CHECK(read_file(in) == small_text);
}

}  // namespace weir::test
