// SPDX-License-Identifier: Apache-2.0
//
// A file that appears whole or not at all: written beside its place, put there by commit(). What is no regular file
// (a terminal, a pipe, /dev/null) is written directly.
#pragma once

#include <string>

namespace weir::cli {

class output_file {
 public:
  explicit output_file(std::string path);
  // Without commit() nothing is left behind, and what was at the path stays.
  ~output_file();
  output_file(const output_file&) = delete;
  output_file& operator=(const output_file&) = delete;

  // Where to write.
  const std::string& path() const noexcept { return temporary_.empty() ? path_ : temporary_; }
  // Throws bad_input.
  void commit();

 private:
  std::string path_;
  std::string temporary_;
};

// Writes text to a file, or to stdout for "-". Throws bad_input.
void write_output(const std::string& path, const std::string& text);

}  // namespace weir::cli
