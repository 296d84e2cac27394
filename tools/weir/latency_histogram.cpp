// SPDX-License-Identifier: Apache-2.0
#include "latency_histogram.hpp"

#include <algorithm>
#include <cmath>

namespace weir::tools {

std::uint64_t latency_histogram::middle_of(std::size_t bucket) noexcept {
  if (bucket < 2 * octave_buckets) return bucket;
  const std::uint64_t shift = bucket / octave_buckets - 1;
  const std::uint64_t begin = (bucket - shift * octave_buckets) << shift;
  return begin + (std::uint64_t{1} << shift) / 2;
}

std::uint64_t latency_histogram::quantile(double share) const noexcept {
  if (count_ == 0) return 0;
  const auto rank = std::max(std::uint64_t{1}, static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    seen += counts_[bucket];
    if (seen >= rank) return std::min(middle_of(bucket), max_);
  }
  return max_;
}

}  // namespace weir::tools
