// SPDX-License-Identifier: Apache-2.0
//
// Random numbers that a seed decides, the same on every machine: splitmix64, integers only.
#pragma once

#include <bit>
#include <cstdint>

namespace weir::cli {

class seeded_random {
 public:
  explicit seeded_random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // 0 to n - 1; n > 0.
  std::uint64_t below(std::uint64_t n) noexcept { return next() % n; }
  std::uint64_t between(std::uint64_t least, std::uint64_t most) noexcept { return least + below(most - least + 1); }
  bool has_luck(unsigned percent) noexcept { return below(100) < percent; }
  // Every octave from `least` to `most` as likely as every other, and flat within.
  std::uint64_t log_between(std::uint64_t least, std::uint64_t most) noexcept {
    const auto low = static_cast<std::uint64_t>(std::bit_width(least)) - 1;
    const auto high = static_cast<std::uint64_t>(std::bit_width(most)) - 1;
    const std::uint64_t octave = std::uint64_t{1} << between(low, high);
    const std::uint64_t value = octave + below(octave);
    return value < least ? least : value > most ? most : value;
  }

 private:
  std::uint64_t state_;
};

}  // namespace weir::cli
