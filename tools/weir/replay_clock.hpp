// SPDX-License-Identifier: Apache-2.0
//
// The cheapest clock there is for one call: the processor's time stamp counter where it runs at one speed on every
// core, calibrated once against steady_clock, and steady_clock elsewhere. Reads are fenced, so that neither the call
// before nor the call after leaks into what is measured.
//
//     const replay_clock clock;
//     const auto begin = clock.start();
//     call();
//     const std::uint64_t ps = clock.picoseconds(clock.stop() - begin);
#pragma once

#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace weir::cli {

class replay_clock {
 public:
  // Calibrates, which takes 20 ms.
  replay_clock();

  std::uint64_t start() const noexcept {
#if defined(__x86_64__)
    if (uses_counter_) {
      _mm_lfence();  // what came before has finished
      const std::uint64_t now = __rdtsc();
      _mm_lfence();  // what comes after has not begun
      return now;
    }
#endif
    return steady_nanoseconds();
  }

  std::uint64_t stop() const noexcept {
#if defined(__x86_64__)
    if (uses_counter_) {
      unsigned core = 0;
      const std::uint64_t now = __rdtscp(&core);  // waits for what came before
      _mm_lfence();
      return now;
    }
#endif
    return steady_nanoseconds();
  }

  // Of a difference of two reads; up to 78 hours of a counter at 4 GHz.
  std::uint64_t picoseconds(std::uint64_t ticks) const noexcept {
    return static_cast<std::uint64_t>(static_cast<double>(ticks) * picoseconds_per_tick_);
  }

  // Median of measurements of nothing at all: no call can be seen to take less.
  std::uint64_t floor_picoseconds() const noexcept { return floor_picoseconds_; }
  // "time stamp counter" or "steady clock".
  const char* name() const noexcept { return uses_counter_ ? "time stamp counter" : "steady clock"; }

 private:
  static std::uint64_t steady_nanoseconds() noexcept {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
  }
  double calibrate() const noexcept;
  std::uint64_t measure_floor() const noexcept;

  bool uses_counter_ = false;
  double picoseconds_per_tick_ = 1000;
  std::uint64_t floor_picoseconds_ = 0;
};

}  // namespace weir::cli
