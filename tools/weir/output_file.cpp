// SPDX-License-Identifier: Apache-2.0
#include "output_file.hpp"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "exit_code.hpp"

namespace weir::cli {

output_file::output_file(std::string path) : path_(std::move(path)) {
  std::error_code none;
  const auto status = std::filesystem::status(path_, none);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) return;
  temporary_ = path_ + ".part" + std::to_string(getpid());
}

output_file::~output_file() {
  if (!temporary_.empty()) std::remove(temporary_.c_str());
}

void output_file::commit() {
  if (temporary_.empty()) return;
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw bad_input(path_ + ": cannot be written: " + std::generic_category().message(errno));
  }
  temporary_.clear();
}

void write_output(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::cout << text << std::flush;
    if (!std::cout.good()) throw bad_input("stdout: cannot be written");
    return;
  }
  output_file file(path);
  std::ofstream out(file.path(), std::ios::binary);
  out << text << std::flush;
  if (!out.good()) throw bad_input(path + ": cannot be written");
  out.close();
  file.commit();
}

}  // namespace weir::cli
