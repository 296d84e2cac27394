// SPDX-License-Identifier: Apache-2.0
//
// The rules of the tree that no compiler checks: who may include whom, what is absent on purpose, and the looks that
// clang-format does not see. Pure functions of a path and a text, so that a test can show each rule fail.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weir::test {

struct source_file {
  std::string path;  // from the root of the repository: "lib/core/bin.cpp"
  std::string text;
};

// "lib/core/bin.cpp:12: core must not include <mutex>", one for each breach.
using findings = std::vector<std::string>;

// The includes of lib/, tools/, examples/ and tests/ keep to the layers of lib/README.md, and CUDA, clocks, locks,
// logging and the environment stay where they belong.
findings check_layers(const source_file&);

// The licence's first line, `#pragma once`, at most 120 columns, no tabs and no blanks at the end of a line, public
// headers under 250 lines.
findings check_looks(const source_file&);

// Blanks instead of comments and string literals, line breaks kept.
std::string without_comments(std::string_view text);

// The sources below lib/, include/, tools/, examples/ and tests/.
std::vector<source_file> read_tree(const std::string& root);

// Sources and public headers that no CMakeLists.txt of their directory, or of one above, names: they are never
// compiled, or never installed.
findings check_lists(const std::vector<source_file>&, const std::string& root);

}  // namespace weir::test
