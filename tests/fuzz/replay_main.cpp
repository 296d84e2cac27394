// SPDX-License-Identifier: Apache-2.0
//
// A target without libFuzzer: runs it on each file named, and on all files of each directory named. Exit status 2:
// there was none. A finding aborts, and the last name printed is the input's.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "fuzz_input.hpp"

namespace {

namespace fs = std::filesystem;

std::set<fs::path> files_of(int argc, char** argv) {
  std::set<fs::path> files;
  for (int i = 1; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) {
      files.insert(argv[i]);
      continue;
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(argv[i]))
      if (entry.is_regular_file()) files.insert(entry.path());
  }
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const std::set<fs::path> files = files_of(argc, argv);
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    std::printf("%s\n", file.c_str());
    std::fflush(stdout);
    (void)LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  std::printf("%zu inputs, nothing found\n", files.size());
  return files.empty() ? 2 : 0;
}
