// SPDX-License-Identifier: Apache-2.0
//
// Giving back by amount and by age, for trims and policies; and the soft limit.
#include <algorithm>

#include "pool/reservoir.hpp"

namespace weir::detail {

using core::big_block;

namespace {

// All wholly free regions of a heap, whose lock is held: out of it, and back.
std::vector<core::heap::emptied> take_empty(stream_state& s, core::epoch last_max) {
  std::vector<core::heap::emptied> all;
  for (auto empty = s.heap.remove_empty(last_max); empty.where; empty = s.heap.remove_empty(last_max))
    all.push_back(empty);
  return all;
}

}  // namespace

std::size_t reservoir::native_free() const noexcept {
  const std::lock_guard lock(mutex_);
  return shadow_.free_chunks(numbers_.reserved) * shadow_.chunk_bytes();
}

reservoir::free_bytes reservoir::free_now() const noexcept {
  free_bytes f;
  {
    const std::lock_guard lock(mutex_);
    f.native = shadow_.free_chunks(numbers_.reserved) * shadow_.chunk_bytes();
    for (const big_block* b : kept_.blocks()) (has_passed(*b) ? f.kept : f.kept_pending) += b->bytes;
  }
  for (stream_state* s : streams_.all()) {
    const core::epoch passed = s->passed.load(std::memory_order_acquire);
    const std::lock_guard lock(s->mutex);
    if (s->heap.empty_count() == 0) continue;
    for (const core::region* r = s->heap.regions().front(); r; r = r->next)
      if (r->is_empty()) (core::heap::last_of(*r) <= passed ? f.empty : f.empty_pending) += r->bytes;
  }
  return f;
}

std::size_t reservoir::release_until(std::size_t keep) noexcept {
  const std::lock_guard growth(growth_);
  return release_until_locked(keep);
}

// With growth_ held. What goes first is what was freed first.
std::size_t reservoir::release_until_locked(std::size_t keep) noexcept {
  const auto is_enough = [&] { return read().touched <= keep; };
  if (is_enough() || !has_something_free()) return 0;
  look_behind_free();
  std::size_t released = 0;
  while (!is_enough()) {
    std::size_t bytes = release_oldest_kept(own_place());
    if (bytes == 0) bytes = release_one_region(own_place());
    if (bytes == 0) break;
    released += bytes;
  }
  return released;
}

bool reservoir::has_something_free() const noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (kept_.bytes() > 0) return true;
  }
  const auto streams = streams_.all();
  return std::any_of(streams.begin(), streams.end(), [](const stream_state* s) {
    const std::lock_guard lock(s->mutex);
    return s->heap.empty_count() > 0;
  });
}

// Looks at the streams behind what is free and has not passed, with an event behind each that is at work: so that a
// later run can tell, though the stream is idle at none.
void reservoir::look_behind_free() noexcept {
  core::ticket_set behind;
  {
    const std::lock_guard lock(mutex_);
    for (const big_block* b : kept_.blocks()) behind.add(b->tickets);
  }
  for (stream_state* s : streams_.all()) {
    const std::lock_guard lock(s->mutex);
    if (s->heap.empty_count() == 0) continue;
    for (const core::region* r = s->heap.regions().front(); r; r = r->next)
      if (r->is_empty()) behind.add(core::ticket{s->index, core::heap::last_of(*r)});
  }
  order_.look(behind, nullptr, true);
}

bool reservoir::has_passed(const big_block& b) const noexcept {
  return b.tickets.all([&](core::ticket t) { return order_.has_passed(t); });
}

// Whether it may be given back there without a wait that costs anything.
bool reservoir::may_go(const big_block& b, const native_place& there) const noexcept {
  return has_passed(b) || (there.behind && order_.is_ready(b.tickets, *there.behind));
}

core::epoch reservoir::last_to_go(const stream_state& s, const native_place& there) noexcept {
  return &s == there.behind ? core::epoch_any : s.passed.load(std::memory_order_acquire);
}

std::size_t reservoir::release_oldest_kept(const native_place& there) noexcept {
  big_block* oldest = nullptr;
  {
    const std::lock_guard lock(mutex_);
    oldest = kept_.oldest([&](const big_block& b) { return may_go(b, there); });
    if (!oldest) return 0;
    claim(oldest);
  }
  return release_claimed(oldest, there);
}

std::size_t reservoir::release_claimed(big_block* b, const native_place& there) noexcept {
  const std::size_t bytes = b->bytes;
  if (free_native(*b, b->tickets, there)) return bytes;
  give_back_claim(b);
  return 0;
}

std::size_t reservoir::release_region(stream_state& s, core::heap::emptied empty, const native_place& there) noexcept {
  const std::size_t bytes = empty.where->bytes;
  if (free_native(*empty.where, core::ticket{s.index, empty.last}, there)) return bytes;
  const std::lock_guard lock(s.mutex);
  s.heap.add_region(empty.where, empty.last);
  return 0;
}

std::size_t reservoir::release_one_region(const native_place& there) noexcept {
  for (stream_state* s : streams_.all()) {
    core::heap::emptied empty;
    {
      const std::lock_guard lock(s->mutex);
      empty = s->heap.remove_empty(last_to_go(*s, there));
    }
    if (!empty.where) continue;
    if (const std::size_t bytes = release_region(*s, empty, there)) return bytes;
  }
  return 0;
}

std::size_t reservoir::release_picked(const picker& picks) noexcept {
  const std::lock_guard growth(growth_);
  look_behind_free();
  std::size_t released = 0;
  for (big_block* b : claim_picked(picks)) released += release_claimed(b, own_place());
  for (stream_state* s : streams_.all())
    for (const auto& empty : take_picked(*s, picks)) released += release_region(*s, empty, own_place());
  return released;
}

std::vector<big_block*> reservoir::claim_picked(const picker& picks) noexcept {
  std::vector<big_block*> picked;
  const std::lock_guard lock(mutex_);
  for (big_block* b : kept_.blocks()) {
    if (picks(*b, b->sequence) && has_passed(*b)) picked.push_back(b);
  }
  for (big_block* b : picked) claim(b);
  return picked;
}

// The mark of a region is the epoch it was last used in, which a use after this is not in: the epoch is closed here.
std::vector<core::heap::emptied> reservoir::take_picked(stream_state& s, const picker& picks) noexcept {
  const core::epoch passed = s.passed.load(std::memory_order_acquire);
  const std::lock_guard lock(s.mutex);
  if (s.heap.empty_count() == 0) return {};
  std::vector<core::heap::emptied> picked;
  for (const auto& empty : take_empty(s, core::epoch_any)) {
    if (picks(*empty.where, empty.last) && empty.last <= passed)
      picked.push_back(empty);
    else
      s.heap.add_region(empty.where, empty.last);
  }
  s.close();
  return picked;
}

// --- the least free -------------------------------------------------------------------------------------------------

void reservoir::note_native_free() noexcept {
  native_free_low_ = std::min(native_free_low_, shadow_.free_chunks(numbers_.reserved) * shadow_.chunk_bytes());
}

std::size_t reservoir::take_native_free_low() noexcept {
  const std::lock_guard lock(mutex_);
  note_native_free();
  const std::size_t low = native_free_low_;
  native_free_low_ = SIZE_MAX;
  note_native_free();
  return low;
}

// --- the soft limit -------------------------------------------------------------------------------------------------

bool reservoir::would_pass_soft(std::size_t more) const noexcept {
  if (options_.soft_bytes_max == SIZE_MAX) return false;
  const std::lock_guard lock(mutex_);
  const std::size_t used = numbers_.reserved + numbers_.direct;
  return used > options_.soft_bytes_max || more > options_.soft_bytes_max - used;
}

// With growth_ held: before a direct allocation, what is free goes, as far as it helps.
void reservoir::make_soft_room(std::size_t bytes) noexcept {
  const std::size_t taken = read().direct + bytes;
  const std::size_t keep = options_.soft_bytes_max - std::min(options_.soft_bytes_max, taken);
  (void)release_until_locked(keep);
  if (native_free() > 0) (void)trim_locked(base::round_down(keep, shadow_.chunk_bytes())).has_value();
}

std::size_t reservoir::past_soft() const noexcept {
  if (options_.soft_bytes_max == SIZE_MAX) return 0;
  const std::lock_guard lock(mutex_);
  const std::size_t used = numbers_.reserved + numbers_.direct;
  return used - std::min(used, options_.soft_bytes_max);
}

void reservoir::note_soft() noexcept {
  const bool is_past = numbers_.reserved + numbers_.direct > options_.soft_bytes_max;
  if (is_past && !is_past_soft_) is_soft_due_.store(true, std::memory_order_relaxed);
  is_past_soft_ = is_past;
}

bool reservoir::take_soft_crossing() noexcept {
  return is_soft_due_.load(std::memory_order_relaxed) && is_soft_due_.exchange(false, std::memory_order_relaxed);
}

}  // namespace weir::detail
