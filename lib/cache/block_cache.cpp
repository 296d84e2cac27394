// SPDX-License-Identifier: Apache-2.0
#include "cache/block_cache.hpp"

#include <algorithm>
#include <atomic>

#include "base/bits.hpp"

namespace weir::cache {

namespace {

// The first limit of a class that is in use: a few blocks, so that a program that frees one of each size parks little.
constexpr std::uint32_t limit_first = 8;
// And the last of one that is given to and hardly taken from: what a stream that frees the blocks of another hands on
// in one go, which is as often as the other looks at it. Of the largest classes so many bytes: what is parked here is
// what the other would have to grow for.
constexpr std::uint32_t limit_given_to_max = 32;
constexpr std::size_t bytes_given_to_max = 16 * base::mib;
constexpr std::uint32_t limit_given_to(core::size_class index) noexcept {
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(limit_given_to_max, bytes_given_to_max / core::class_bytes(index)));
}
// Of the large blocks these stay when the others have to go: what a program that frees more than it takes back would
// ask for next.
constexpr unsigned large_kept = 4;
// How many calls that find no budget pass after a look for an idle magazine before the next: more classes in use than
// the budget is for would else rob each other at every call.
constexpr unsigned looks_skipped = 8;

}  // namespace

std::uint64_t block_cache::next_number() noexcept {
  static std::atomic<std::uint64_t> last{1};
  return last.fetch_add(2, std::memory_order_relaxed);
}

unsigned block_cache::capacity(core::size_class index) const noexcept {
  return static_cast<unsigned>(std::min<std::size_t>(bytes_max_ / core::class_bytes(index), magazine_blocks_max));
}

// The next limit of a class, as the budget allows; `more_than` where it cannot grow.
std::uint32_t block_cache::limit_after(core::size_class index, std::uint32_t more_than) const noexcept {
  const std::size_t budget = bytes_max_ - std::min(bytes_limits_, bytes_max_);
  const std::size_t room = more_than + budget / core::class_bytes(index);
  const std::size_t wish = std::min<std::size_t>(std::max(limit_first, 2 * more_than), capacity(index));
  return static_cast<std::uint32_t>(std::max<std::size_t>(std::min(wish, room), more_than));
}

// With `room` for `limit` blocks, which the old slots are exchanged for. Inside.
bool block_cache::grow(core::size_class index, std::unique_ptr<core::block[]>& room, std::uint32_t limit) noexcept {
  magazine& m = magazines_[index];
  if (!room || limit <= m.limit) return false;
  std::copy_n(m.slots, m.count, room.get());
  bytes_limits_ += (limit - m.limit) * core::class_bytes(index);
  m.slots = room.get();
  m.limit = limit;
  records_[index].slots.swap(room);
  records_[index].grown = m.taken;
  return true;
}

void block_cache::remove_oldest(core::size_class index, unsigned n, spill& out) noexcept {
  magazine& m = magazines_[index];
  out.add(m.slots, n);
  std::copy(m.slots + n, m.slots + m.count, m.slots);
  m.count -= n;
  records_[index].removed += n;
}

// Takes the magazine of the class with the largest share of the budget among those that nobody took from since the last
// look. False: all are in use, or it is too early to look again.
bool block_cache::rob_idle(core::size_class but, spill& out) noexcept {
  if (looks_skipped_ > 0) {
    --looks_skipped_;
    return false;
  }
  looks_skipped_ = looks_skipped;
  const auto share = [&](unsigned index) { return magazines_[index].limit * core::class_bytes(index); };
  unsigned largest = core::class_count;
  for (unsigned index = 0; index < core::class_count; ++index) {
    magazine& m = magazines_[index];
    if (index == but || m.limit == 0) continue;
    const bool is_idle = m.taken == records_[index].seen;
    records_[index].seen = m.taken;
    if (is_idle && (largest == core::class_count || share(index) > share(largest))) largest = index;
  }
  if (largest == core::class_count) return false;
  remove_oldest(static_cast<core::size_class>(largest), magazines_[largest].count, out);
  bytes_limits_ -= share(largest);
  magazines_[largest].limit = 0;
  return true;
}

void* block_cache::take_slow(core::size_class index, core::life state) noexcept {
  const inside here(gate_);
  void* block = nullptr;
  return here && pop(index, state, block) ? block : nullptr;
}

void* block_cache::take_large_slow(std::size_t bytes, std::size_t bytes_max, std::size_t asked) noexcept {
  const inside here(gate_);
  return here ? pop_large(bytes, bytes_max, asked) : nullptr;
}

void* block_cache::hand_out(unsigned at, std::size_t asked) noexcept {
  const large_block b = large_[at];
  const unsigned count = large_count();
  std::copy(large_.begin() + at + 1, large_.begin() + count, large_.begin() + at);
  set_large_count(count - 1);
  if (b.medium) {
    ++medium_taken_;
    b.medium->states[0].store(core::life_live, std::memory_order_relaxed);
  } else {
    ++big_taken_;
    b.big->asked = asked;
    b.big->home = stream_;
    b.big->state.store(core::life_live, std::memory_order_relaxed);
  }
  return b.pointer;
}

bool block_cache::give_slow(core::size_class index, core::block b, spill& out) {
  std::uint32_t limit;
  bool is_in_use;
  {
    const inside here(gate_);
    if (!here) return false;
    if (push(index, b)) return true;
    const magazine& m = magazines_[index];
    // Where what it has was hardly taken from, more room would only park more.
    is_in_use = m.taken - records_[index].grown >= m.limit;
    const bool may_grow = is_in_use || m.limit < limit_given_to(index);
    limit = may_grow ? limit_after(index, m.limit) : m.limit;
    if (may_grow && limit == 0 && rob_idle(index, out)) limit = limit_after(index, 0);
  }
  std::unique_ptr<core::block[]> room;  // from the host, and so outside; what it is exchanged for goes outside too
  if (limit > magazines_[index].limit) room = std::make_unique<core::block[]>(limit);
  const inside here(gate_);
  if (!here) return false;
  grow(index, room, limit);
  if (push(index, b)) return true;
  const unsigned count = magazines_[index].count;
  remove_oldest(index, is_in_use ? (count + 1) / 2 : count - count / 4, out);
  if (push(index, b)) return true;
  b.state->store(core::life_cached, std::memory_order_relaxed);
  ++records_[index].removed;
  out.add(&b, 1);
  return true;
}

bool block_cache::give_large_slow(const large_block& b, large_spill& out) noexcept {
  const inside here(gate_);
  if (!here) return false;
  if (push_large(b)) return true;
  const unsigned count = large_count();
  out.count = count - large_kept;
  std::copy_n(large_.begin(), out.count, out.blocks.begin());
  std::copy(large_.begin() + out.count, large_.begin() + count, large_.begin());
  set_large_count(large_kept);
  push_large(b);
  return true;
}

unsigned block_cache::begin_refill(core::size_class index, spill& out) {
  std::uint32_t limit;
  {
    const inside here(gate_);
    if (!here) return 1;
    limit = limit_after(index, magazines_[index].limit);
    if (limit == 0 && rob_idle(index, out)) limit = limit_after(index, 0);
  }
  std::unique_ptr<core::block[]> room;
  if (limit > magazines_[index].limit) room = std::make_unique<core::block[]>(limit);
  const inside here(gate_);
  if (!here) return 1;
  grow(index, room, limit);
  const magazine& m = magazines_[index];
  return 1 + std::min((m.limit + 1) / 2, m.limit - std::min(m.limit, m.count));
}

bool block_cache::end_refill(core::size_class index, const core::block* blocks, unsigned count, spill& out) noexcept {
  const inside here(gate_);
  if (!here) return false;
  ++records_[index].served;
  for (unsigned i = 0; i < count; ++i) {
    records_[index].brought += 1;
    if (push(index, blocks[i])) continue;
    blocks[i].state->store(core::life_cached, std::memory_order_relaxed);
    ++records_[index].removed;
    out.add(&blocks[i], 1);
  }
  return true;
}

void block_cache::empty(std::vector<core::block>& small, std::vector<large_block>& large) {
  for (unsigned index = 0; index < core::class_count; ++index) {
    magazine& m = magazines_[index];
    small.insert(small.end(), m.slots, m.slots + m.count);
    records_[index].removed += m.count;
    m.count = 0;
  }
  empty_large(large);
}

void block_cache::empty_large(std::vector<large_block>& large) {
  large.insert(large.end(), large_.begin(), large_.begin() + large_count());
  set_large_count(0);
}

bool block_cache::is_empty() const noexcept {
  return !has_large() &&
         std::all_of(magazines_.begin(), magazines_.end(), [](const magazine& m) { return m.count == 0; });
}

std::uint64_t block_cache::activity() const noexcept {
  std::uint64_t activity = medium_taken_ + medium_given_ + big_taken_ + big_given_;
  for (unsigned index = 0; index < core::class_count; ++index) {
    const magazine& m = magazines_[index];
    const record& r = records_[index];
    activity += 2 * (m.taken + r.served) + m.count + r.removed - r.brought;  // allocations and frees
  }
  return activity;
}

void block_cache::sum(block_counters& total, cached_blocks& held) const noexcept {
  for (unsigned index = 0; index < core::class_count; ++index) {
    const magazine& m = magazines_[index];
    const record& r = records_[index];
    total.allocations[index] += m.taken + r.served;
    total.deallocations[index] += m.count + m.taken + r.removed - r.brought;
    total.hits += m.taken;
    held.small[index] += m.count;
  }
  total.hits += medium_taken_ + big_taken_;
  total.medium_taken += medium_taken_;
  total.medium_given += medium_given_;
  total.big_taken += big_taken_;
  total.big_given += big_given_;
  for (unsigned i = 0; i < large_count(); ++i) {
    held.large_largest = std::max(held.large_largest, large_[i].bytes);
    (large_[i].medium ? held.medium_bytes : held.big_bytes) += large_[i].bytes;
    ++(large_[i].medium ? held.medium_count : held.big_count);
  }
}

}  // namespace weir::cache
