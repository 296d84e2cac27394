// SPDX-License-Identifier: Apache-2.0
#include "core/shadow_map.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/bits.hpp"

namespace weir::core {

// Chunks that the span at `index` is alone in touching.
std::size_t shadow_map::alone(std::size_t index) const noexcept {
  const span& here = spans_[index];
  std::uintptr_t first = here.begin / chunk_bytes_;
  std::uintptr_t last = (here.end - 1) / chunk_bytes_;
  if (index > 0 && (spans_[index - 1].end - 1) / chunk_bytes_ == first) ++first;
  if (index + 1 < spans_.size() && spans_[index + 1].begin / chunk_bytes_ == last && last + 1 > first) --last;
  return last + 1 - first;
}

void shadow_map::add(std::uintptr_t base, std::size_t bytes) {
  const auto at =
      std::lower_bound(spans_.begin(), spans_.end(), base, [](const span& s, std::uintptr_t a) { return s.begin < a; });
  const auto index = static_cast<std::size_t>(at - spans_.begin());
  spans_.insert(at, {base, base + bytes});
  touched_ += alone(index);
}

void shadow_map::remove(std::uintptr_t base) {
  const auto at =
      std::lower_bound(spans_.begin(), spans_.end(), base, [](const span& s, std::uintptr_t a) { return s.begin < a; });
  WEIR_ASSERT(at != spans_.end() && at->begin == base);
  touched_ -= alone(static_cast<std::size_t>(at - spans_.begin()));
  spans_.erase(at);
}

std::size_t shadow_map::free_chunks(std::size_t reserved) const noexcept {
  const std::size_t chunks = reserved / chunk_bytes_;
  return chunks > touched_ ? chunks - touched_ : 0;
}

std::size_t shadow_map::smallest_hole(std::size_t bytes) const noexcept {
  std::size_t smallest = 0;
  const auto consider = [&](std::size_t hole) {
    if (hole >= bytes && (smallest == 0 || hole < smallest)) smallest = hole;
  };
  std::uintptr_t before = 0;  // where the span before ends
  for (const span& s : spans_) {
    const std::uintptr_t first = base::round_up(before, chunk_bytes_);  // to here the chunk is touched
    const std::uintptr_t last = base::round_down(s.begin, chunk_bytes_);
    if (s.begin <= first) {
      consider(s.begin - before);
    } else {
      consider(first - before);
      consider(s.begin - last);
    }
    before = s.end;
  }
  consider(base::round_up(before, chunk_bytes_) - before);
  return smallest;
}

std::size_t shadow_map::missing_chunks(std::size_t bytes, std::size_t reserved) const noexcept {
  const std::size_t needed = base::divide_up(bytes, chunk_bytes_);
  const std::size_t available = free_chunks(reserved);
  return needed > available ? needed - available : 0;
}

}  // namespace weir::core
