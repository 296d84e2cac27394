// SPDX-License-Identifier: Apache-2.0
//
// What a bench found, for people and for programs.
#pragma once

#include <string>

#include "bench_figures.hpp"
#include "replay_clock.hpp"
#include "replay_device.hpp"
#include "weir/pool_options.hpp"

namespace weir::cli {

struct bench_report {
  const replay_device& device;
  const replay_clock& clock;
  const pool_options& pool;
  bool is_quick = false;
  bench_figures figures{};
};

// The version, the device and what its times are: printed before the bench.
std::string format_bench_heading(const bench_report&);
// A table a section that was run; at most 120 columns where names are not long.
std::string format_bench_tables(const bench_figures&);
// One JSON object and a line end.
std::string format_bench_json(const bench_report&);

}  // namespace weir::cli
