// SPDX-License-Identifier: Apache-2.0
//
// weir convert: a trace from one form into the other.
#pragma once

#include <string>

#include "cli11_fwd.hpp"

namespace weir::cli {

struct convert_options {
  std::string in;
  std::string out;
  std::string to;     // "weir", "text", or empty: by the ending of `out`
  bool gzip = false;  // text; also by an ending of .gz
  int compression = 9;
  bool allow_truncated = false;
};

void setup_convert(CLI::App&, int& exit_code);
int run_convert(const convert_options&);

}  // namespace weir::cli
