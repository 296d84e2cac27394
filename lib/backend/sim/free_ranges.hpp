// SPDX-License-Identifier: Apache-2.0
//
// The free ranges of a native pool. A range belongs to an owner, a stream's small or large blocks, and is coalesced
// with its owner's neighbours only. Kept by address, by size for each owner (best fit), and by size over all owners for
// those of a chunk or more. Every operation is O(log n) in the number of ranges, plus the ranges it removes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

namespace weir::sim {

// Whose a free range is; a number made by the native pool's model.
using range_owner = std::uint64_t;

class free_ranges {
 public:
  struct range {
    std::uint64_t end = 0;
    range_owner owner = 0;
  };
  using address_map = std::map<std::uint64_t, range>;
  using size_set = std::set<std::pair<std::uint64_t, std::uint64_t>>;  // bytes, begin

  // Ranges of at least `large_bytes` are also found by large().
  explicit free_ranges(std::uint64_t large_bytes) : large_bytes_(large_bytes) {}

  void insert(std::uint64_t begin, std::uint64_t end, range_owner);
  // Takes [begin, end) out of whatever ranges it meets; what they have outside stays as it was.
  void remove(std::uint64_t begin, std::uint64_t end);

  // The address of `bytes` at the high end of the owner's smallest range that has as many, the lowest of equals.
  std::optional<std::uint64_t> best_fit(std::uint64_t bytes, range_owner) const;
  // The same among the ranges of all.
  std::optional<std::uint64_t> best_fit_of_all(std::uint64_t bytes) const;

  // The range that ends or begins at an address, or null.
  const address_map::value_type* ending_at(std::uint64_t address) const;
  const address_map::value_type* beginning_at(std::uint64_t address) const;
  const address_map& by_address() const noexcept { return by_address_; }
  const size_set& large() const noexcept { return large_; }

 private:
  void link(std::uint64_t begin, const range&);
  void unlink(std::uint64_t begin, const range&);

  std::uint64_t large_bytes_;
  address_map by_address_;
  std::unordered_map<range_owner, size_set> by_size_;
  size_set large_;
};

}  // namespace weir::sim
