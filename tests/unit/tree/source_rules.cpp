// SPDX-License-Identifier: Apache-2.0
#include "unit/tree/source_rules.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <regex>
#include <set>

namespace weir::test {
namespace {

constexpr std::size_t columns_max = 120;
constexpr std::size_t public_header_lines_max = 250;

using names = std::set<std::string, std::less<>>;

bool starts_with_any(std::string_view text, const std::vector<std::string>& prefixes) {
  return std::ranges::any_of(prefixes, [&](const std::string& prefix) { return text.starts_with(prefix); });
}

// Where a file may take its includes from: directories of lib/, and public headers, all of them where none is named.
struct layer {
  std::string directory;
  std::vector<std::string> lib;
  names public_headers;
};

const names plain_values{"weir/error.hpp",      "weir/export.hpp", "weir/memory_report.hpp", "weir/result.hpp",
                         "weir/statistics.hpp", "weir/stream.hpp", "weir/version.hpp"};
const names of_backends = [] {
  names all = plain_values;
  all.insert({"weir/backend.hpp", "weir/sim.hpp"});
  return all;
}();

// The first whose directory holds the file counts. Files of levels not named here see all of lib/.
const std::vector<layer> layers{
    {"lib/base/", {"base/"}, plain_values},
    {"lib/core/", {"base/", "core/"}, plain_values},
    {"lib/cache/", {"base/", "core/", "cache/"}, plain_values},
    {"lib/backend/cuda/", {"base/", "backend/cuda/"}, of_backends},
    {"lib/backend/sim/", {"base/", "backend/sim/"}, of_backends},
    {"lib/backend/", {"base/"}, of_backends},
    {"lib/pool/", {"base/", "core/", "cache/", "pool/"}, {}},
    {"lib/trace/", {"base/", "trace/"}, {}},
    {"lib/adapters/", {"adapters/"}, {}},
    {"include/weir/", {}, {}},
    {"tools/", {}, {}},
    {"examples/", {}, {}},
    {"tests/gpu/", {}, {}},
    {"tests/cli/", {}, {}},
    {"tests/abi/", {}, {}},
    {"tests/package/", {}, {}},
};

const std::vector<std::string> lib_directories{"base/", "core/", "cache/", "backend/", "pool/", "trace/", "adapters/"};

// What the core has no use for: it is arithmetic over addresses it never reads. Atomics are no locks: the map from
// addresses to descriptors is read without one.
const names absent_from_core{"barrier",    "chrono",  "condition_variable", "cstdio",       "ctime",   "fstream",
                             "future",     "iomanip", "iostream",           "istream",      "latch",   "mutex",
                             "ostream",    "random",  "semaphore",          "shared_mutex", "sstream", "stop_token",
                             "syncstream", "thread",  "filesystem",         "pthread.h",    "stdio.h", "time.h",
                             "unistd.h",   "fcntl.h"};

// A name in the code that only some places may have.
struct reserved_name {
  std::string what;
  std::regex pattern;
  bool in_includes;  // the pattern is of an include's name, else of code
  std::vector<std::string> places;
};

const std::vector<reserved_name>& reserved_names() {
  static const std::vector<std::string> cuda_places{
      "lib/backend/cuda/",           "lib/adapters/", "tests/gpu/", "tests/unit/cuda/", "tools/weir/busy_kernel.cu",
      "tools/weir/verify_kernel.cu", "tools/peers/",  "examples/"};
  static const std::vector<std::string> log_places{"tools/", "tests/", "lib/adapters/"};
  static const std::vector<std::string> environment_places{"tools/", "tests/", "lib/base/environment.cpp"};
  static const std::vector<reserved_name> all{
      {"the CUDA headers", std::regex(R"(cuda.*\.h|driver_types\.h|vector_types\.h|cooperative_groups.*|crt/.*)"), true,
       cuda_places},
      {"a CUDA call", std::regex(R"(\b(cuda[A-Z]\w*|cu[A-Z]\w*)\s*\()"), false, cuda_places},
      {"spdlog", std::regex(R"((spdlog|fmt)/.*)"), true, log_places},
      {"CLI11", std::regex(R"(CLI/.*)"), true, {"tools/", "tests/"}},
      {"the environment", std::regex(R"(\b(secure_)?getenv\s*\(|\benviron\b)"), false, environment_places},
  };
  return all;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// Adds "path:line: message".
class reporter {
 public:
  explicit reporter(const source_file& file) : file_(file) {}
  void add(std::size_t line, const std::string& message) {
    found_.push_back(file_.path + ":" + std::to_string(line) + ": " + message);
  }
  findings take() { return std::move(found_); }

 private:
  const source_file& file_;
  findings found_;
};

const layer* layer_of(std::string_view path) {
  const auto it = std::ranges::find_if(layers, [&](const layer& l) { return path.starts_with(l.directory); });
  return it == layers.end() ? nullptr : &*it;
}

void check_layer_include(const layer& own, const std::string& name, std::size_t line, reporter& report) {
  const std::string where = own.directory + " must not include " + name;
  if (own.directory.starts_with("lib/") && name.starts_with("../")) report.add(line, where + ": name it from lib/");
  const bool is_above = name.starts_with("weir/") && !own.public_headers.empty() && !own.public_headers.contains(name);
  if (is_above) report.add(line, where + ": it belongs to a layer above");
  const bool of_lib = starts_with_any(name, lib_directories) || name.find("/lib/") != std::string::npos;
  if (of_lib && !starts_with_any(name, own.lib)) report.add(line, where + ": it is of another layer");
  if (own.directory == "lib/core/" && absent_from_core.contains(name)) {
    report.add(line, where + ": the core has no clock, randomness, IO or locks");
  }
}

void check_reserved(const source_file& file, const std::string& text, bool is_include, std::size_t line,
                    reporter& report) {
  for (const reserved_name& name : reserved_names()) {
    if (name.in_includes != is_include || starts_with_any(file.path, name.places)) continue;
    const bool hit = is_include ? std::regex_match(text, name.pattern) : std::regex_search(text, name.pattern);
    if (hit) report.add(line, name.what + " is not for this place: " + text);
  }
}

bool is_source(const std::filesystem::path& path) {
  static const names extensions{".cpp", ".hpp", ".h", ".cu", ".cuh", ".c"};
  return extensions.contains(path.extension().string());
}

bool is_header(std::string_view path) { return path.ends_with(".hpp") || path.ends_with(".cuh"); }

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// True when `word` stands in `text` with nothing of a name before it: "error.cpp" is not in "cuda_error.cpp".
bool has_word(std::string_view text, std::string_view word) {
  for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const char before = at == 0 ? ' ' : text[at - 1];
    if (!std::isalnum(static_cast<unsigned char>(before)) && before != '_' && before != '-') return true;
  }
  return false;
}

// Characters, not bytes: UTF-8's continuation bytes do not count.
std::size_t columns_of(std::string_view line) {
  return static_cast<std::size_t>(
      std::ranges::count_if(line, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

// The end of the literal or comment that begins at `at`; `at` itself where none does.
std::size_t end_of_blank(std::string_view text, std::size_t at) {
  const auto after = [&](std::string_view closing, std::size_t from) {
    const std::size_t found = text.find(closing, from);
    return found == std::string_view::npos ? text.size() : found + closing.size();
  };
  const std::string_view rest = text.substr(at);
  if (rest.starts_with("//")) return std::min(text.find('\n', at), text.size());
  if (rest.starts_with("/*")) return after("*/", at + 2);
  if (rest.starts_with("R\"")) {
    const std::size_t open = std::min(text.find('(', at), text.size());
    return after(")" + std::string(text.substr(at + 2, open - at - 2)) + "\"", open);
  }
  if (rest.starts_with("'\"'")) return at + 3;
  if (!rest.starts_with('"')) return at;
  std::size_t end = at + 1;
  while (end < text.size() && text[end] != '"' && text[end] != '\n') end += text[end] == '\\' ? 2 : 1;
  return std::min(end + 1, text.size());
}

}  // namespace

std::string without_comments(std::string_view text) {
  std::string out(text);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = end_of_blank(text, at);
    for (std::size_t i = at; i < end; ++i) {
      if (out[i] != '\n') out[i] = ' ';
    }
    at = std::max(end, at + 1);
  }
  return out;
}

findings check_layers(const source_file& file) {
  static const std::regex include(R"re(^\s*#\s*include\s*[<"]([^>"]+)[>"].*)re");
  reporter report(file);
  const layer* own = layer_of(file.path);
  const std::vector<std::string> raw = lines_of(file.text);
  const std::vector<std::string> code = lines_of(without_comments(file.text));
  for (std::size_t i = 0; i < raw.size(); ++i) {
    std::smatch match;
    if (std::regex_match(raw[i], match, include)) {
      if (own) check_layer_include(*own, match[1], i + 1, report);
      check_reserved(file, match[1], true, i + 1, report);
    } else {
      check_reserved(file, code[i], false, i + 1, report);
    }
  }
  return report.take();
}

findings check_looks(const source_file& file) {
  reporter report(file);
  const std::vector<std::string> lines = lines_of(file.text);
  if (lines.empty() || lines[0] != "// SPDX-License-Identifier: Apache-2.0") report.add(1, "no SPDX line first");
  if (is_header(file.path) && std::ranges::find(lines, "#pragma once") == lines.end()) {
    report.add(1, "a header without #pragma once");
  }
  if (file.path.starts_with("include/") && lines.size() > public_header_lines_max) {
    report.add(lines.size(), "a public header has at most " + std::to_string(public_header_lines_max) + " lines");
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (columns_of(lines[i]) > columns_max) report.add(i + 1, "more than 120 columns");
    if (lines[i].find('\t') != std::string::npos) report.add(i + 1, "a tab");
    if (lines[i].ends_with(' ')) report.add(i + 1, "a blank at the end of the line");
  }
  return report.take();
}

std::vector<source_file> read_tree(const std::string& root) {
  namespace fs = std::filesystem;
  std::vector<source_file> files;
  for (const char* top : {"lib", "include", "tools", "examples", "tests"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(fs::path(root) / top)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      files.push_back({fs::relative(entry.path(), root).generic_string(), read_file(entry.path())});
    }
  }
  std::ranges::sort(files, {}, &source_file::path);
  return files;
}

findings check_lists(const std::vector<source_file>& files, const std::string& root) {
  namespace fs = std::filesystem;
  findings found;
  for (const source_file& file : files) {
    const bool compiled = !file.path.starts_with("include/") && !is_header(file.path);
    const bool installed = file.path.starts_with("include/") && is_header(file.path);
    if (!compiled && !installed) continue;
    const fs::path path(file.path);
    bool listed = false;
    for (fs::path up = path.parent_path(); !up.empty() && !listed; up = up.parent_path()) {
      listed = has_word(read_file(fs::path(root) / up / "CMakeLists.txt"), path.filename().string());
    }
    if (!listed) found.push_back(file.path + ":1: no CMakeLists.txt names it");
  }
  return found;
}

}  // namespace weir::test
