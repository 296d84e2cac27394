// SPDX-License-Identifier: Apache-2.0
//
// weir generate: makes seeded traces. Each workload is a subcommand and a file of its own, generate_NAME.cpp, that says
// what happens through a trace_maker; the same options make the same bytes on every machine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace weir::cli {

class trace_maker;

// What every workload has.
struct generate_options {
  std::string out;
  std::uint64_t seed = 1;
  std::uint64_t events = 10'000;                 // allocations, frees and uses
  std::size_t bytes_max = std::size_t{4} << 30;  // of what is live at once
};

struct generate_handover_options {
  generate_options common;
  unsigned threads = 8;
  unsigned streams = 16;
};

void setup_generate(CLI::App&, int& exit_code);

// Adds the options that all workloads have.
void add_generate_options(CLI::App&, generate_options&);
// Opens the trace, lets `workload` fill it and closes it: whole, or not there at all. Throws bad_input.
int run_generate(const generate_options&, const std::string& workload_name,
                 const std::function<void(trace_maker&)>& workload);

// generate_handover.cpp
void setup_generate_handover(CLI::App& generate, int& exit_code);
int run_generate_handover(const generate_handover_options&);

}  // namespace weir::cli
