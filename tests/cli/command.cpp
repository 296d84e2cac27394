// SPDX-License-Identifier: Apache-2.0
#include "cli/command.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace weir::test {

command_result run_weir(const std::string& arguments) {
  const scratch_directory scratch;
  const std::string out = scratch.path("out"), err = scratch.path("err");
  const std::string command = std::string("'" WEIR_PROGRAM "' ") + arguments + " >'" + out + "' 2>'" + err + "'";
  const int raw = std::system(command.c_str());
  return {.status = WIFEXITED(raw) ? WEXITSTATUS(raw) : -1, .out = read_file(out), .err = read_file(err)};
}

scratch_directory::scratch_directory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "weir-test-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("cannot make " + pattern);
  directory_ = pattern;
}

scratch_directory::~scratch_directory() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string scratch_directory::write(const std::string& name, const std::string& contents) const {
  std::ofstream(directory_ / name, std::ios::binary) << contents;
  return path(name);
}

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace weir::test
