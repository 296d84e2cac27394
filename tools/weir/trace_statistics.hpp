// SPDX-License-Identifier: Apache-2.0
//
// What `weir inspect` tells of a trace, gathered record by record in bounded memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>

#include "log_histogram.hpp"
#include "weir/trace/record.hpp"
#include "weir/trace/validator.hpp"

namespace weir::cli {

struct stream_statistics {
  std::string name;
  std::uint64_t allocations = 0;
  std::uint64_t frees = 0;
  std::uint64_t bytes = 0;  // requested, summed; wraps for a trace that asks for more than 2^64
};

struct size_statistics {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};

class trace_statistics {
 public:
  void add(const trace::record&, const trace::observation&);

  std::uint64_t count_of(trace::record_kind kind) const { return kinds_[static_cast<std::size_t>(kind)]; }
  const std::map<std::uint32_t, stream_statistics>& streams() const noexcept { return streams_; }
  std::size_t threads() const noexcept { return threads_.size(); }
  std::size_t devices() const noexcept { return devices_.size(); }

  // By the power of two that a size lies under: bucket n holds sizes from 2^(n-1) to 2^n - 1, bucket 0 empty requests.
  const std::array<size_statistics, 65>& sizes() const noexcept { return sizes_; }
  std::uint64_t allocations() const noexcept { return allocations_; }
  std::uint64_t bytes_total() const noexcept { return bytes_total_; }
  std::uint64_t bytes_min() const noexcept { return allocations_ == 0 ? 0 : bytes_min_; }
  std::uint64_t bytes_max() const noexcept { return bytes_max_; }
  std::size_t distinct_sizes() const noexcept { return seen_sizes_.size(); }
  bool distinct_sizes_cut() const noexcept;  // there were more than are kept: what follows is a lower bound
  double seen_before_share() const noexcept;
  const log_histogram& lifetimes() const noexcept { return lifetimes_; }
  std::uint64_t frees_elsewhere() const noexcept { return frees_elsewhere_; }
  std::uint64_t lost() const noexcept { return lost_; }
  std::uint64_t duration_ns() const noexcept { return last_ns_ - first_ns_; }

 private:
  void add_allocation(const trace::record&);
  void add_free(const trace::record&, const trace::observation&);

  std::array<std::uint64_t, trace::record_kind_count + 1> kinds_{};
  std::map<std::uint32_t, stream_statistics> streams_;
  std::unordered_set<std::uint32_t> threads_;
  std::unordered_set<std::uint32_t> devices_;
  std::array<size_statistics, 65> sizes_{};
  std::unordered_set<std::uint64_t> seen_sizes_;
  std::uint64_t allocations_ = 0;
  std::uint64_t bytes_total_ = 0;
  std::uint64_t bytes_min_ = UINT64_MAX;
  std::uint64_t bytes_max_ = 0;
  std::uint64_t seen_before_ = 0;
  log_histogram lifetimes_;
  std::uint64_t operations_ = 0;
  std::uint64_t frees_elsewhere_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t first_ns_ = 0;
  std::uint64_t last_ns_ = 0;
};

}  // namespace weir::cli
