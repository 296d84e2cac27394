// SPDX-License-Identifier: Apache-2.0
//
// Numbers from a seed, the same on every machine: splitmix64.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace weir::cli {

class random_source {
 public:
  explicit random_source(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // Precondition: n > 0.
  std::size_t below(std::size_t n) noexcept { return next() % n; }
  std::uint64_t between(std::uint64_t least, std::uint64_t most) noexcept { return least + below(most - least + 1); }
  bool chance(unsigned percent) noexcept { return below(100) < percent; }
  // Every octave from `least` to `most` as likely as every other, and flat within.
  std::uint64_t log_between(std::uint64_t least, std::uint64_t most) noexcept {
    const auto low = static_cast<std::uint64_t>(std::bit_width(least)) - 1;
    const auto high = static_cast<std::uint64_t>(std::bit_width(most)) - 1;
    const std::uint64_t octave = std::uint64_t{1} << between(low, high);
    const std::uint64_t value = octave + below(octave);
    return value < least ? least : value > most ? most : value;
  }
  std::size_t log_uniform(std::size_t max) noexcept { return log_between(1, max); }

 private:
  std::uint64_t state_;
};

}  // namespace weir::cli
