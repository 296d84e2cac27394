// SPDX-License-Identifier: Apache-2.0
//
// The layers of lib/README.md and what is absent on purpose, checked on the sources; and each rule shown to fail.
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "unit/tree/source_rules.hpp"

using weir::test::check_layers;
using weir::test::check_lists;
using weir::test::check_looks;
using weir::test::findings;
using weir::test::source_file;

namespace {

std::string joined(const findings& all) {
  std::string text;
  for (const std::string& one : all) text += one + "\n";
  return text;
}

bool is_refused(const std::string& path, const std::string& line) {
  return check_layers({path, "// SPDX-License-Identifier: Apache-2.0\n" + line + "\n"}).size() == 1;
}

bool is_fine(const std::string& path, const std::string& line) { return check_layers({path, line + "\n"}).empty(); }

const std::vector<source_file>& tree() {
  static const std::vector<source_file> files = weir::test::read_tree(WEIR_SOURCE_DIR);
  return files;
}

}  // namespace

TEST_CASE("layers: no source reaches above its layer") {
  REQUIRE(tree().size() > 10);
  findings found;
  for (const source_file& file : tree()) {
    const findings of_file = check_layers(file);
    found.insert(found.end(), of_file.begin(), of_file.end());
  }
  INFO(joined(found));
  CHECK(found.empty());
}

TEST_CASE("looks: every source has the licence, short lines and no tabs") {
  findings found;
  for (const source_file& file : tree()) {
    const findings of_file = check_looks(file);
    found.insert(found.end(), of_file.begin(), of_file.end());
  }
  INFO(joined(found));
  CHECK(found.empty());
}

TEST_CASE("lists: every source is compiled and every public header installed") {
  const findings found = check_lists(tree(), WEIR_SOURCE_DIR);
  INFO(joined(found));
  CHECK(found.empty());
}

TEST_CASE("layers: the core with a clock, a lock or IO is found") {
  for (const char* header : {"chrono", "random", "iostream", "cstdio", "mutex", "thread", "time.h"}) {
    INFO(header);
    CHECK(is_refused("lib/core/bin.cpp", "#include <" + std::string(header) + ">"));
    CHECK(is_fine("lib/pool/pool.cpp", "#include <" + std::string(header) + ">"));
  }
}

TEST_CASE("layers: a layer that includes one above is found") {
  CHECK(is_refused("lib/base/a.cpp", "#include \"core/bin.hpp\""));
  CHECK(is_refused("lib/core/a.cpp", "#include \"cache/cache.hpp\""));
  CHECK(is_refused("lib/core/a.cpp", "#include \"weir/backend.hpp\""));
  CHECK(is_refused("lib/cache/a.hpp", "#include \"pool/heap.hpp\""));
  CHECK(is_refused("lib/trace/a.cpp", "#include \"pool/heap.hpp\""));
  CHECK(is_refused("lib/backend/cuda/a.cpp", "#include \"core/bin.hpp\""));
  CHECK(is_refused("lib/backend/sim/a.cpp", "#include \"backend/cuda/error.hpp\""));
  CHECK(is_refused("lib/backend/cuda/a.cpp", "#include \"weir/pool.hpp\""));
  CHECK(is_refused("lib/core/a.cpp", "#include \"../base/bits.hpp\""));
}

TEST_CASE("layers: a layer that includes itself and those below is fine") {
  CHECK(is_fine("lib/core/a.cpp", "#include \"core/bin.hpp\""));
  CHECK(is_fine("lib/core/a.cpp", "#include \"base/bits.hpp\""));
  CHECK(is_fine("lib/core/a.cpp", "#include \"bin.hpp\""));
  CHECK(is_fine("lib/core/a.cpp", "#include \"weir/error.hpp\""));
  CHECK(is_fine("lib/pool/a.cpp", "#include \"weir/backend.hpp\""));
  CHECK(is_fine("lib/trace/a.cpp", "#include \"weir/pool.hpp\""));
  CHECK(is_fine("tests/unit/a.cpp", "#include \"core/bin.hpp\""));
}

TEST_CASE("layers: a user of the public headers that reaches into lib is found") {
  for (const char* path : {"tools/weir/a.cpp", "examples/a.cpp", "tests/gpu/a.cpp", "tests/cli/a.cpp",
                           "lib/adapters/a.cpp", "include/weir/a.hpp"}) {
    INFO(path);
    CHECK(is_refused(path, "#include \"core/bin.hpp\""));
    CHECK(is_fine(path, "#include \"weir/pool.hpp\""));
  }
  CHECK(is_refused("tools/weir/a.cpp", "#include \"../../lib/core/bin.hpp\""));
}

TEST_CASE("layers: CUDA outside its backend is found") {
  for (const char* line : {"#include <cuda_runtime_api.h>", "#include <cuda.h>", "  cudaFree(p);", "x = cuInit (0);"}) {
    INFO(line);
    CHECK(is_refused("lib/pool/a.cpp", line));
    CHECK(is_refused("include/weir/a.hpp", line));
    CHECK(is_refused("tools/weir/a.cpp", line));
    CHECK(is_fine("lib/backend/cuda/a.cpp", line));
    CHECK(is_fine("tests/gpu/a.cu", line));
  }
  CHECK(is_fine("lib/pool/a.cpp", "// as cudaFree(p) does"));
  CHECK(is_fine("lib/pool/a.cpp", "fail(\"cudaFree(p) failed\");"));
}

TEST_CASE("layers: logging, the command line's parser and the environment outside tools are found") {
  CHECK(is_refused("lib/pool/a.cpp", "#include <spdlog/spdlog.h>"));
  CHECK(is_refused("include/weir/a.hpp", "#include <fmt/format.h>"));
  CHECK(is_refused("lib/trace/a.cpp", "#include <CLI/CLI.hpp>"));
  CHECK(is_refused("lib/pool/a.cpp", "auto* home = std::getenv(\"HOME\");"));
  CHECK(is_fine("tools/weir/a.cpp", "#include <spdlog/spdlog.h>"));
  CHECK(is_fine("tools/weir/a.cpp", "#include <CLI/CLI.hpp>"));
  CHECK(is_fine("lib/base/environment.cpp", "auto* home = std::getenv(name);"));
}

TEST_CASE("looks: what is wrong is found, with its line") {
  const std::string spdx = "// SPDX-License-Identifier: Apache-2.0\n";
  CHECK(check_looks({"lib/a.cpp", "int x;\n"}).size() == 1);
  CHECK(check_looks({"lib/a.hpp", spdx}).size() == 1);
  CHECK(check_looks({"lib/a.cpp", spdx + "\tint x;\n"}) == findings{"lib/a.cpp:2: a tab"});
  CHECK(check_looks({"lib/a.cpp", spdx + "int x; \n"}) == findings{"lib/a.cpp:2: a blank at the end of the line"});
  CHECK(check_looks({"lib/a.cpp", spdx + "//" + std::string(119, 'x') + "\n"}).size() == 1);
  CHECK(check_looks({"lib/a.cpp", spdx + "//" + std::string(118, 'x') + "\n"}).empty());
  CHECK(check_looks({"include/weir/a.hpp", spdx + "#pragma once\n" + std::string(249, '\n')}).size() == 1);
}

TEST_CASE("lists: a source that no list names is found") {
  // or.cpp is the end of error.cpp, which is listed.
  const std::vector<source_file> files{
      {"lib/base/or.cpp", ""}, {"include/weir/forgotten.hpp", ""}, {"tests/unit/forgotten_test.cpp", ""}};
  CHECK(check_lists(files, WEIR_SOURCE_DIR).size() == 3);
  CHECK(check_lists({{"lib/base/error.cpp", ""}}, WEIR_SOURCE_DIR).empty());
}

TEST_CASE("layers: comments and texts do not count as code") {
  CHECK(weir::test::without_comments("a /* b\nc */ d // e\nf \"g\\\"h\" i") == "a     \n     d     \nf        i");
  CHECK(weir::test::without_comments("x R\"(a\"b)\" y") == "x          y");
  CHECK(weir::test::without_comments("'\"' x // y") == "    x     ");
}
