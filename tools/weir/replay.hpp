// SPDX-License-Identifier: Apache-2.0
//
// weir replay: what a trace costs and holds with each allocator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace weir::cli {

struct replay_options {
  std::vector<std::string> traces;
  std::string device;  // "sim", "cuda", "cuda:N", or empty: the first GPU, else the simulated device
  std::vector<std::string> allocators{"weir", "native"};
  unsigned passes = 2;
  std::size_t bytes_max = 0;  // 0: no limit but the device
  std::size_t sim_bytes = std::size_t{140} << 30;
  std::string pool;               // weir's options as text
  bool pace = false;              // spread events evenly over the recording's time
  double pace_seconds = 0;        // or over so long
  bool verify = false;            // fill each block and check it before its free
  std::size_t verify_bytes = 0;   // of larger blocks only so much; 0: all
  std::uint64_t spoil_every = 0;  // of so many blocks one is spoiled before its check
  bool has_threads = true;        // of the recording, each one of ours
  std::uint64_t kernel_us = 0;    // of the kernel after each allocation; 0: none
  std::string json;               // a file, "-" for stdout in place of the tables, or empty
  bool allow_truncated = false;
};

void setup_replay(CLI::App&, int& exit_code);
int run_replay(const replay_options&);

}  // namespace weir::cli
