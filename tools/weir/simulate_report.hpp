// SPDX-License-Identifier: Apache-2.0
//
// What simulations came to: for people, and as JSON.
#pragma once

#include <string>
#include <vector>

#include "simulate_shrink.hpp"

namespace weir::cli {

struct simulate_report {
  std::uint64_t seed_first = 0;
  std::vector<std::uint64_t> hashes{};  // of each seed from the first on
  simulation::figures all{};
  double seconds = 0;
  unsigned jobs = 1;

  struct found {
    simulation::finding what;
    std::vector<std::string> lines{};  // what was done
    std::string trace{};
  };
  std::vector<found> findings{};
};

std::string format_simulate_finding(const simulate_report::found&);
std::string format_simulate_text(const simulate_report&);
std::string format_simulate_json(const simulate_report&);

}  // namespace weir::cli
