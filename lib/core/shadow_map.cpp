// SPDX-License-Identifier: Apache-2.0
#include "core/shadow_map.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/bits.hpp"

namespace weir::core {

// Chunks that [begin, end) is alone in touching, with neighbours that end at `before` and begin at `after`.
std::size_t shadow_map::cost_at(std::uintptr_t begin, std::uintptr_t end, std::uintptr_t before,
                                std::uintptr_t after) const noexcept {
  std::uintptr_t first = begin / chunk_bytes_;
  std::uintptr_t last = (end - 1) / chunk_bytes_;
  if (before && (before - 1) / chunk_bytes_ == first) ++first;
  if (after != UINTPTR_MAX && after / chunk_bytes_ == last && last + 1 > first) --last;
  return last + 1 > first ? last + 1 - first : 0;
}

std::size_t shadow_map::alone(std::size_t index) const noexcept {
  const std::uintptr_t before = index ? spans_[index - 1].end : 0;
  const std::uintptr_t after = index + 1 < spans_.size() ? spans_[index + 1].begin : UINTPTR_MAX;
  return cost_at(spans_[index].begin, spans_[index].end, before, after);
}

void shadow_map::add(std::uintptr_t base, std::size_t bytes) {
  const auto at = std::lower_bound(spans_.begin(), spans_.end(), base,
                                   [](const span& s, std::uintptr_t a) { return s.begin < a; });
  const auto index = static_cast<std::size_t>(at - spans_.begin());
  spans_.insert(at, {base, base + bytes});
  touched_ += alone(index);
}

void shadow_map::remove(std::uintptr_t base) {
  const auto at = std::lower_bound(spans_.begin(), spans_.end(), base,
                                   [](const span& s, std::uintptr_t a) { return s.begin < a; });
  WEIR_ASSERT(at != spans_.end() && at->begin == base);
  touched_ -= alone(static_cast<std::size_t>(at - spans_.begin()));
  spans_.erase(at);
}

std::size_t shadow_map::free_chunks(std::size_t reserved) const noexcept {
  const std::size_t chunks = reserved / chunk_bytes_;
  return chunks > touched_ ? chunks - touched_ : 0;
}

std::size_t shadow_map::missing_chunks(std::size_t bytes, std::size_t reserved) const noexcept {
  const std::size_t available = free_chunks(reserved);
  std::size_t least = base::divide_up(bytes, chunk_bytes_);  // somewhere new
  for (std::size_t i = 0; i < spans_.size() && least > available; ++i) {
    const std::uintptr_t hole = spans_[i].end;
    const std::uintptr_t after = i + 1 < spans_.size() ? spans_[i + 1].begin : UINTPTR_MAX;
    if (after - hole < bytes) continue;
    least = std::min(least, cost_at(hole, hole + bytes, hole, after));
    if (after != UINTPTR_MAX) least = std::min(least, cost_at(after - bytes, after, hole, after));
  }
  return least > available ? least - available : 0;
}

}  // namespace weir::core
