// SPDX-License-Identifier: Apache-2.0
//
// Runs the command line as a user's shell would.
#pragma once

#include <filesystem>
#include <string>

namespace weir::test {

struct command_result {
  int status = -1;  // of exit(); -1 where a signal ended it
  std::string out;
  std::string err;
};

// `arguments` as a shell reads them, after the program's name.
command_result run_weir(const std::string& arguments);

// A new directory, gone with the object.
class scratch_directory {
 public:
  scratch_directory();
  ~scratch_directory();
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;

  std::string path(const std::string& name) const { return (directory_ / name).string(); }
  // Writes a file there and answers its path.
  std::string write(const std::string& name, const std::string& contents) const;

 private:
  std::filesystem::path directory_;
};

std::string read_file(const std::string& path);

}  // namespace weir::test
