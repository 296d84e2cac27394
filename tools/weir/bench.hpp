// SPDX-License-Identifier: Apache-2.0
//
// weir bench: what allocators cost where nothing else is done.
#pragma once

#include <string>
#include <vector>

#include "cli11_fwd.hpp"

namespace weir::cli {

struct bench_options {
  std::string device;                   // as weir replay's
  std::vector<std::string> allocators;  // empty: all of ours, and the yardsticks
  std::vector<std::string> sections;    // empty: all
  std::vector<unsigned> threads;        // empty: 1, 2, 4, 8, 16 as far as there are processors
  std::string pool;                     // options of weir's pools, KEY=VALUE,...
  bool is_quick = false;
  std::string json;  // a file, "-" for stdout in place of the tables, or empty
};

void setup_bench(CLI::App&, int& exit_code);
// A finding where a measurement could not be made.
int run_bench(const bench_options&);

}  // namespace weir::cli
