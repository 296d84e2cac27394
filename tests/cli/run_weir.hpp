// SPDX-License-Identifier: Apache-2.0
//
// Runs the built command line as a user would, and a folder to let it play in.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace weir::test {

struct run_result {
  int exit_code = -1;  // 128 + the signal where one ended it
  std::string out;
  std::string err;
};

// `arguments` goes through the shell, so it may redirect stdin and must quote what needs quoting.
run_result run_weir(const std::string& arguments);

std::string read_file(const std::filesystem::path&);

// A new folder under the system's temporary one, removed with what is in it.
class scratch_folder {
 public:
  scratch_folder();
  ~scratch_folder();
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;

  std::string path(std::string_view name) const { return (folder_ / name).string(); }
  // Writes a file and gives its path.
  std::string file(std::string_view name, std::string_view bytes) const;
  std::size_t file_count() const;

 private:
  std::filesystem::path folder_;
};

}  // namespace weir::test
