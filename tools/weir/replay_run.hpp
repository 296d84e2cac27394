// SPDX-License-Identifier: Apache-2.0
//
// Replays one script through one allocator, in the script's order and one thread at a time, as many passes as asked
// for. The allocator is made afresh and kept between the passes. Waiting for an event's turn and launching kernels are
// no part of what is measured of a call. Blocks that a pass leaves live are freed after it, outside what is counted;
// their memory stays with the allocator.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "block_verifier.hpp"
#include "busy_kernel.hpp"
#include "replay_clock.hpp"
#include "replay_device.hpp"
#include "replay_figures.hpp"
#include "replay_script.hpp"
#include "weir/pool_options.hpp"

namespace weir::cli {

// weir, native, direct or plugin:FILE.so.
bool is_replay_allocator(std::string_view name) noexcept;

struct replay_request {
  const replay_script& script;
  const replay_device& device;
  const replay_clock& clock;
  unsigned passes = 2;
  std::size_t bytes_max = 0;  // 0: no limit but the device
  pool_options pool{};        // of weir; bytes_max of the request comes before that of these
  std::uint64_t pace_ns = 0;  // spread the events evenly over so long; 0: at full speed
  // Launched after each allocation that was served, on its stream; null: nothing runs.
  const busy_kernel* kernel = nullptr;
  std::uint64_t kernel_ns = 0;
  // Fills and checks each block; null: nothing does.
  block_verifier* verifier = nullptr;
  std::uint64_t spoil_every = 0;  // of so many blocks one is spoiled, to see it found; 0: none
  // Each thread of a trace that has several is one of the operating system; else the caller's is all of them.
  bool has_threads = true;
  // Told of each pass, counted from 1.
  std::function<void(unsigned pass)> before_pass{};
};

// The figures of each pass. An allocation that finds no room, or asks for what cannot be, is counted as failed and its
// free skipped; any other error ends the replay.
// Throws bad_input of a plugin that is none.
result<std::vector<replay_figures>> replay(const std::string& allocator, const replay_request&);

}  // namespace weir::cli
