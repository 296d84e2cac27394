// SPDX-License-Identifier: Apache-2.0
//
// What was given back to the native pool on streams of the program, behind work that may not be done.
//
// Nearly all native calls are made on the reservoir's own stream, which waits for nobody, so that what it gives and
// takes is anybody's at once; and what may be given back there is what has passed. But a program that keeps the device
// at work frees and asks while nothing has passed, and if the pool had to grow each time, it would soon hold all there
// is: a diffusion model with a kernel of 20 µs after each allocation held 5.9 times its live bytes (simulated device).
// So what a stream is done with in its own order is given back on that stream, and taken again there, as the native
// pool does for a program that calls it: for nothing but what lies side by side, and at no cost to anyone's work.
// Until it has passed it is of use to that stream alone.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "pool/stream_state.hpp"

namespace weir::detail {

// Every call with the reservoir's growth lock held.
class native_frees {
 public:
  // After a native free on `on`, or an allocation there that the native pool did not grow for.
  void freed(stream_state& on, std::size_t bytes);
  void took(const stream_state& on, std::size_t bytes) noexcept;

  bool has_unfinished(const stream_state& on) noexcept;
  // Free natively, and of no use to a call on `on`.
  std::size_t unfinished_elsewhere(const stream_state& on) noexcept;
  // Every stream that freed something.
  std::vector<stream_state*> streams() const;

 private:
  struct free_bytes {
    core::epoch behind;
    std::size_t bytes;
  };
  struct frees_of {
    stream_state* stream;
    std::deque<free_bytes> unfinished;  // oldest first
    std::size_t bytes;                  // of them
  };
  frees_of* find(const stream_state&) noexcept;
  static void settle(frees_of&) noexcept;

  std::vector<frees_of> all_;  // of streams that were ever ahead of the device
};

}  // namespace weir::detail
