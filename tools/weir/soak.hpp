// SPDX-License-Identifier: Apache-2.0
//
// weir soak: random work of many threads on many streams near the device's capacity and near limits, every block
// verified, while memory is trimmed, brought together, limited, taken by a neighbour and given back, and while streams
// and threads come and go. Ends with everything freed, and says whether anything stayed or was found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace CLI {
class App;
}

namespace weir::cli {

struct soak_options {
  std::string device;  // as of replay
  std::size_t sim_bytes = std::size_t{140} << 30;
  double minutes = 0;
  double seconds = 0;
  unsigned threads = 8;
  unsigned streams = 16;
  std::uint64_t seed = 0;     // 0: from the clock
  double share = 0.95;        // of the device's memory: how high the tide goes, the neighbour counted in
  std::size_t bytes_max = 0;  // a limit that stays; 0: limits come and go
  std::string pool;           // weir's options as text
  std::uint64_t spoil_every = 0;
  std::string json;
};

// What the neighbour's process is told.
struct neighbour_options {
  std::string device;
  std::size_t sim_bytes = std::size_t{140} << 30;
};

void setup_soak(CLI::App&, int& exit_code);
int run_soak(soak_options);
int run_neighbour(const neighbour_options&);

}  // namespace weir::cli
