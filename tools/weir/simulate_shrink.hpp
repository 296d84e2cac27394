// SPDX-License-Identifier: Apache-2.0
//
// Makes a failing run small: steps left out, then fewer threads and streams, then no faults, as long as it still fails
// in some way.
#pragma once

#include <string>

#include "simulate_run.hpp"

namespace weir::simulation {

// The run, whatever is thrown on the way.
std::optional<failure> run_once(const request&, figures&, journal* told = nullptr);

struct finding {
  request asked;  // what fails
  failure what;
};

finding shrink(finding);

// The line that runs exactly this again: "weir simulate --seed 7 --only 3,17,40-44 …".
std::string command_of(const request&);
// 3,17,40-44; nothing where the text says anything else.
std::optional<std::set<unsigned>> parse_steps(std::string_view);

// What was done, as a trace that `weir replay` runs again as far as a trace can say it; the rest is named by marks.
// Throws cli::bad_input where the file cannot be written.
void write_trace(const std::string& path, const finding&, const journal&);

}  // namespace weir::simulation
