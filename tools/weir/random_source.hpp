// SPDX-License-Identifier: Apache-2.0
//
// Numbers from a seed, the same on every machine: splitmix64.
#pragma once

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
  bool chance(unsigned percent) noexcept { return below(100) < percent; }
  // Each doubling of [1, max] is as likely as the next.
  std::size_t log_uniform(std::size_t max) noexcept {
    unsigned doublings = 0;
    while (max >> (doublings + 1)) ++doublings;
    const std::size_t least = std::size_t{1} << below(doublings + 1);
    const std::size_t n = least + below(least);
    return n < max ? n : max;
  }

 private:
  std::uint64_t state_;
};

}  // namespace weir::cli
