// SPDX-License-Identifier: Apache-2.0
//
// Counts of numbers, exact below 2048 and to one part in 1024 above, in bounded memory: percentiles of any many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir::cli {

class log_histogram {
 public:
  void add(std::uint64_t n);
  std::uint64_t count() const noexcept { return count_; }
  std::uint64_t max() const noexcept { return max_; }
  // The number that `share` of all are at most; 0 where there are none.
  std::uint64_t percentile(double share) const;

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace weir::cli
