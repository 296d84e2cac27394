// SPDX-License-Identifier: Apache-2.0
#include "core/free_ranges.hpp"

#include <algorithm>
#include <bit>

namespace weir::core {

namespace {

// How many of a list are looked at. Lists hold sizes within 1/16 of each other, so a few looks find a fit as good as
// the list has, nearly always, and a bound keeps the search O(1).
constexpr unsigned looks_max = 8;

}  // namespace

unsigned free_ranges::bin_of(std::uint32_t count) noexcept {
  const unsigned shift = static_cast<unsigned>(std::bit_width(count | 16)) - 5;
  return shift * 16 + (count >> shift);
}

void free_ranges::insert(range* r) noexcept {
  const unsigned bin = bin_of(r->count);
  bins_[bin].push_front(r);
  has_[bin / 64] |= std::uint64_t{1} << (bin % 64);
}

void free_ranges::remove(range* r) noexcept {
  const unsigned bin = bin_of(r->count);
  bins_[bin].remove(r);
  if (bins_[bin].is_empty()) has_[bin / 64] &= ~(std::uint64_t{1} << (bin % 64));
}

unsigned free_ranges::next_bin(unsigned from) const noexcept {
  for (unsigned word = from / 64; word < has_.size(); ++word) {
    const std::uint64_t mask = word == from / 64 ? ~std::uint64_t{0} << (from % 64) : ~std::uint64_t{0};
    if (const std::uint64_t bits = has_[word] & mask) return word * 64 + static_cast<unsigned>(std::countr_zero(bits));
  }
  return bin_count;
}

range* free_ranges::find(std::uint32_t count, epoch last_max) const noexcept {
  for (unsigned bin = next_bin(bin_of(count)); bin < bin_count; bin = next_bin(bin + 1)) {
    unsigned looks = 0;
    for (range* r = bins_[bin].front(); r && looks < looks_max; r = r->next, ++looks)
      if (r->count >= count && r->last <= last_max) return r;
  }
  return nullptr;
}

std::uint32_t free_ranges::largest() const noexcept {
  std::uint32_t most = 0;
  for (unsigned bin = 0; bin < bin_count; ++bin)
    for (range* r = bins_[bin].front(); r; r = r->next) most = std::max(most, r->count);
  return most;
}

}  // namespace weir::core
