// SPDX-License-Identifier: Apache-2.0
//
// A second process for gpu_peers: the same program, started anew (a child by fork alone has no CUDA), which imports the
// blocks it is sent, reads them, writes them anew and lets go.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "weir/sharing.hpp"

namespace weir::test {

struct importing_job {
  struct item {
    exported_block block;
    std::size_t bytes = 0;   // of it that are filled
    std::uint32_t seed = 0;  // by this; the child fills them with seed + 1000
  };
  std::array<item, 8> blocks{};
  std::size_t count = 0;
};

struct importing_outcome {
  bool finished = false;  // the child answered and left in peace
  errc code = errc::ok;   // of the first call that was refused
  char text[256] = "";    // and its message
  unsigned long long mismatches = 0;
};

// Sends the pool and the job, waits for the child and closes the descriptor. At most 60 s.
importing_outcome run_importing_child(const exported_pool&, const importing_job&);

// What the child does, on the socket it was started with; its exit status.
int be_importing_child(int socket);

}  // namespace weir::test
