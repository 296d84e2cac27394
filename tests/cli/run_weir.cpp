// SPDX-License-Identifier: Apache-2.0
#include "cli/run_weir.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <sys/wait.h>

namespace weir::test {

run_result run_weir(const std::string& arguments) {
  const scratch_folder folder;
  const std::string out = folder.path("out");
  const std::string err = folder.path("err");
  const std::string command = "'" WEIR_CLI_PATH "' " + arguments + " > '" + out + "' 2> '" + err + "'";
  const int status = std::system(command.c_str());
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, read_file(out), read_file(err)};
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

scratch_folder::scratch_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "weir-XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder " + name);
  folder_ = name;
}

scratch_folder::~scratch_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string scratch_folder::file(std::string_view name, std::string_view bytes) const {
  std::ofstream(path(name), std::ios::binary) << bytes;
  return path(name);
}

std::size_t scratch_folder::file_count() const {
  const auto all = std::filesystem::directory_iterator(folder_);
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace weir::test
