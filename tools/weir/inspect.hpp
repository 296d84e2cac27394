// SPDX-License-Identifier: Apache-2.0
//
// weir inspect: what a trace holds.
#pragma once

#include <string>

#include "cli11_fwd.hpp"

namespace weir::cli {

struct inspect_options {
  std::string trace;
  std::string json;  // a file, "-" for stdout, or empty: a table for people
  bool allow_truncated = false;
};

void setup_inspect(CLI::App&, int& exit_code);
int run_inspect(const inspect_options&);

}  // namespace weir::cli
