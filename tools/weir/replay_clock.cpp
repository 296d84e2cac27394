// SPDX-License-Identifier: Apache-2.0
#include "replay_clock.hpp"

#include <algorithm>
#include <array>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace weir::cli {
namespace {

// CPUID leaf 8000'0007h, EDX bit 8: one rate in every power state, and in step on all cores.
bool has_invariant_counter() noexcept {
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(0x8000'0007u, &eax, &ebx, &ecx, &edx) && (edx & (1u << 8));
#else
  return false;
#endif
}

}  // namespace

replay_clock::replay_clock() : uses_counter_(has_invariant_counter()) {
  if (uses_counter_) picoseconds_per_tick_ = calibrate();
  floor_picoseconds_ = measure_floor();
}

// 20 ms against a clock that is read in some 50 ns: an error of a few parts in a million.
double replay_clock::calibrate() const noexcept {
  const std::uint64_t begin_ns = steady_nanoseconds();
  const std::uint64_t begin = start();
  std::uint64_t now_ns = begin_ns;
  while (now_ns - begin_ns < 20'000'000) now_ns = steady_nanoseconds();
  return static_cast<double>(now_ns - begin_ns) * 1000.0 / static_cast<double>(stop() - begin);
}

std::uint64_t replay_clock::measure_floor() const noexcept {
  std::array<std::uint64_t, 10'001> ticks{};
  for (auto& tick : ticks) {
    const std::uint64_t begin = start();
    tick = stop() - begin;
  }
  std::nth_element(ticks.begin(), ticks.begin() + ticks.size() / 2, ticks.end());
  return picoseconds(ticks[ticks.size() / 2]);
}

}  // namespace weir::cli
