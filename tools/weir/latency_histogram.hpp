// SPDX-License-Identifier: Apache-2.0
//
// Latencies in fixed memory: buckets on a logarithmic scale, each octave cut into 64 of equal width. A value read back
// is the middle of its bucket and so at most 1/128 (0.8 %) off; the largest is kept exactly. Adding is a shift and an
// increment.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace weir::tools {

class latency_histogram {
 public:
  void add(std::uint64_t picoseconds) noexcept {
    ++counts_[bucket_of(picoseconds)];
    ++count_;
    total_ += picoseconds;
    if (picoseconds > max_) max_ = picoseconds;
  }

  std::uint64_t count() const noexcept { return count_; }
  std::uint64_t total() const noexcept { return total_; }
  std::uint64_t max() const noexcept { return max_; }
  // The smallest value that at least `share` (0 to 1) of all are not above; 0 when there are none.
  std::uint64_t quantile(double share) const noexcept;

 private:
  static constexpr unsigned octave_bits = 6;
  static constexpr std::uint64_t octave_buckets = 1u << octave_bits;

  // Values below two octaves' buckets stand for themselves.
  static std::size_t bucket_of(std::uint64_t value) noexcept {
    if (value < octave_buckets) return value;
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - octave_bits - 1;
    return shift * octave_buckets + (value >> shift);
  }
  static std::uint64_t middle_of(std::size_t bucket) noexcept;

  std::array<std::uint64_t, (64 - octave_bits + 1) * octave_buckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace weir::tools
