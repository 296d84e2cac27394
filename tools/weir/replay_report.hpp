// SPDX-License-Identifier: Apache-2.0
//
// What a replay found, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "replay_clock.hpp"
#include "replay_device.hpp"
#include "replay_figures.hpp"
#include "weir/pool_options.hpp"

namespace weir::cli {

struct replay_report {
  const replay_device& device;
  const replay_clock& clock;
  std::size_t bytes_max = 0;         // --limit
  const pool_options& pool;          // --pool
  std::string load;                  // how the traces are played, in words: a pace, kernels; empty: neither
  std::vector<replay_figures> runs;  // by trace, then allocator, then pass
};

// The device with its memory, and why it was taken.
std::string device_words(const replay_device&);
// The version, the device and what its times are: printed before the replay.
std::string format_replay_heading(const replay_report&);
// Three tables of one row a run, what was held, how long calls took and how long all of it, and a sentence a trace that
// compares weir with the native pool. At most 120 columns where names are not long.
std::string format_replay_tables(const replay_report&);
// One JSON object and a line end.
std::string format_replay_json(const replay_report&);

}  // namespace weir::cli
