// SPDX-License-Identifier: Apache-2.0
//
// `weir simulate`: random programs on pools over a simulated device, each made from a seed, and what must be true.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli11_fwd.hpp"
#include "simulate_plan.hpp"

namespace weir::cli {

struct simulate_options {
  simulation::request asked{};
  std::optional<std::uint64_t> seed{};  // else from the clock
  std::uint64_t seeds = 0;              // 0: one where a seed is given, else 100
  bool shrink = false;
  unsigned jobs = 1;
  std::string json{};
  std::string trace{};  // of a failure; else simulate-SEED.weir
};

void setup_simulate(CLI::App&, int& exit_code);
int run_simulate(const simulate_options&);

}  // namespace weir::cli
