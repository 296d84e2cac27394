// SPDX-License-Identifier: Apache-2.0
#include "log_histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace weir::cli {

namespace {

constexpr unsigned mantissa_bits = 10;

// Numbers of 11 bits and fewer stand for themselves; longer ones keep their first 11 bits.
std::size_t bucket_of(std::uint64_t n) {
  const auto width = static_cast<unsigned>(std::bit_width(n));
  const unsigned shift = width > mantissa_bits + 1 ? width - mantissa_bits - 1 : 0;
  return static_cast<std::size_t>((std::uint64_t{shift} << mantissa_bits) + (n >> shift));
}

// The largest number of a bucket.
std::uint64_t last_of(std::size_t bucket) {
  if (bucket < std::size_t{2} << mantissa_bits) return bucket;
  const auto shift = static_cast<unsigned>(bucket >> mantissa_bits) - 1;
  const std::uint64_t lead = bucket - (std::uint64_t{shift} << mantissa_bits);
  return ((lead + 1) << shift) - 1;
}

}  // namespace

void log_histogram::add(std::uint64_t n) {
  const std::size_t bucket = bucket_of(n);
  if (bucket >= buckets_.size()) buckets_.resize(bucket + 1);
  ++buckets_[bucket];
  ++count_;
  max_ = std::max(max_, n);
}

std::uint64_t log_histogram::percentile(double share) const {
  const auto rank = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen >= rank && seen != 0) return std::min(last_of(bucket), max_);
  }
  return max_;
}

}  // namespace weir::cli
