// SPDX-License-Identifier: Apache-2.0
//
// The time of one pass: when each event's turn is, and how long the pass took, in real time on a CUDA device and in
// virtual time on the simulated one. There virtual time is kept up with real time where a pace is kept, so that kernels
// run between the events as they would on a device.
//
//     replay_pace pace(device, clock, 25'000'000'000, events);   // evenly over 25 s; 0: at full speed
//     for (...) { pace.wait_for(i); call(); }
//     synchronize();
//     figures.makespan_ms = pace.elapsed_ms();
#pragma once

#include <cstddef>
#include <cstdint>

#include "replay_clock.hpp"
#include "replay_device.hpp"

namespace weir::cli {

class replay_pace {
 public:
  // The pass begins now.
  replay_pace(const replay_device&, const replay_clock&, std::uint64_t duration_ns, std::size_t events) noexcept;

  // Returns when event `index` has its turn, or at once if that is over. Spins: a thread that slept would find its
  // caches cold, and what is measured next would be the waking up.
  void wait_for(std::size_t index) const noexcept;
  double elapsed_ms() const noexcept;
  // Processor time of all other threads of this process since the pass began: a pool's background thread, the driver's.
  double background_cpu_ms() const noexcept;

 private:
  std::uint64_t real_ns() const noexcept;
  std::uint64_t virtual_ns() const noexcept;
  static std::int64_t other_threads_ns() noexcept;

  const replay_clock& clock_;
  sim::device* sim_;
  double ns_per_event_;
  std::int64_t others_begin_ns_;
  std::uint64_t virtual_begin_ns_;
  std::uint64_t begin_;  // of the clock; last, so that what comes before is not in it
};

}  // namespace weir::cli
