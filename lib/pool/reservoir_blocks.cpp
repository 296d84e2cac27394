// SPDX-License-Identifier: Apache-2.0
//
// Big blocks and regions: taken, kept, grown, adopted.
#include <algorithm>
#include <bit>

#include "base/assert.hpp"
#include "cache/page_map.hpp"
#include "pool/reservoir.hpp"
#include "weir/pool.hpp"

namespace weir::detail {

using core::big_block;
using core::region;

namespace {

constexpr std::size_t slab_bytes_max = 2 * base::mib;  // a new region must hold the largest slab
constexpr std::size_t hole_bytes_min = 4 * base::mib;  // worth a region of its own

constexpr std::size_t fit_max(std::size_t bytes, double slack) noexcept {
  return bytes + static_cast<std::size_t>(static_cast<double>(bytes) * slack);
}

// The sizes of a native block for a request. The least: with room to move its begin where more alignment is asked for
// than native ones have. The usual: rounded to a 32nd to a 64th of itself, which wastes 3 % at most and lets blocks
// that grow a little at every step (key-value caches) meet the blocks that were freed: without it nearly every one of
// them costs a remap.
struct native_sizes {
  std::size_t least, usual;
};

native_sizes native_bytes(std::size_t bytes, std::size_t alignment, std::size_t granularity) noexcept {
  const std::size_t room = alignment > granularity ? alignment - granularity : 0;
  const std::size_t step = std::max(std::bit_floor((bytes + room) / 32), granularity);
  return {base::round_up(bytes + room, granularity), base::round_up(bytes + room, step)};
}

// A block is found by where it begins and nowhere else, so that what is entered for one of gigabytes is two pages.
std::size_t reach_of(std::size_t bytes, std::size_t alignment) noexcept {
  return std::min(bytes, std::max(alignment, cache::page_map::page_bytes) + 1);
}

// Where a block of that alignment would begin in it, it could be found.
bool can_begin(const big_block& b, std::size_t alignment) noexcept {
  return base::round_up(b.base, alignment) - b.base < b.reach;
}

}  // namespace

reservoir::fit reservoir::fit_of(std::size_t bytes, std::size_t alignment) const noexcept {
  const native_sizes need = native_bytes(bytes, alignment, granularity_);
  return {need.least, fit_max(need.usual, options_.big_cache_fit)};
}

// --- big blocks -----------------------------------------------------------------------------------------------------

big_block* reservoir::new_big() {
  const std::lock_guard lock(mutex_);
  if (big_unused_.empty()) return &big_store_.emplace_back();
  big_block* b = big_unused_.back();
  big_unused_.pop_back();
  b->tickets = {};
  return b;
}

// With mutex_ held, or before anyone can find it.
void reservoir::begin_live(big_block& b, std::size_t bytes, std::size_t alignment, const stream_state& on,
                           core::life state) noexcept {
  b.home = on.index;
  b.begin = base::round_up(b.base, alignment);
  b.asked = bytes;
  b.tickets = {};
  b.sequence = ++sequence_;
  numbers_.big_live += b.bytes;
  numbers_.big_live_peak = std::max(numbers_.big_live_peak, numbers_.big_live);
  ++numbers_.big_live_count;
  b.state.store(state, std::memory_order_relaxed);
}

big_block* reservoir::take_kept(std::size_t bytes, std::size_t alignment, const stream_state& taker, core::life state,
                                bool* came_home) noexcept {
  const fit need = fit_of(bytes, alignment);
  const std::lock_guard lock(mutex_);
  order::readiness is_ready(order_, taker);
  big_block* b = kept_.find(need.bytes, need.bytes_max, [&](const big_block& kept) {
    return can_begin(kept, alignment) && is_ready(kept.tickets);
  });
  if (!b) return nullptr;
  kept_.remove(b);
  const auto is_own = [&](core::ticket t) { return t.stream == taker.index; };
  if (came_home) *came_home = b->home == taker.index && !b->tickets.all(is_own);
  begin_live(*b, bytes, alignment, taker, state);
  return b;
}

std::size_t reservoir::count_pending(std::size_t bytes, const stream_state& home) const noexcept {
  const fit need = fit_of(bytes, pool::alignment_default);
  std::size_t count = 0;
  const std::lock_guard lock(mutex_);
  for (const big_block* b : kept_.blocks())
    count += b->bytes >= need.bytes && b->bytes <= need.bytes_max && b->home == home.index &&
             !order_.is_ready(b->tickets, home);
  return count;
}

big_block* reservoir::claim_kept(std::size_t bytes, std::size_t alignment, const stream_state& taker) noexcept {
  const fit need = fit_of(bytes, alignment);
  const std::lock_guard lock(mutex_);
  // A block far too large would be pinned by what fits in its corner; given back, its chunks serve the same request.
  big_block* b = kept_.find(need.bytes, need.bytes_max, [&](const big_block& kept) {
    return can_begin(kept, alignment) && order_.can_wait(kept.tickets, &taker);
  });
  if (b) claim(b);
  return b;
}

// With mutex_ held: a kept block is in the hands of this call alone.
void reservoir::claim(big_block* b) noexcept {
  kept_.remove(b);
  numbers_.big_claimed += b->bytes;
}

void reservoir::give_back_claim(big_block* b) noexcept {
  const std::lock_guard lock(mutex_);
  numbers_.big_claimed -= b->bytes;
  kept_.insert(b);
}

void reservoir::publish_claim(big_block* b, std::size_t bytes, std::size_t alignment, const stream_state& on,
                              core::life state) noexcept {
  const std::lock_guard lock(mutex_);
  numbers_.big_claimed -= b->bytes;
  begin_live(*b, bytes, alignment, on, state);
}

void reservoir::look_at_fits(std::size_t bytes, const stream_state* caller) noexcept {
  core::ticket_set behind;
  const fit need = fit_of(bytes, pool::alignment_default);
  {
    const std::lock_guard lock(mutex_);
    (void)kept_.find(need.bytes, need.bytes_max, [&](const big_block& kept) {
      behind.add(kept.tickets);
      return false;
    });
  }
  order_.look(behind, caller, true);
}

void reservoir::keep_cached(std::span<const cache::large_block> blocks, const core::ticket_set& tickets) noexcept {
  const std::lock_guard lock(mutex_);
  for (const cache::large_block& b : blocks)
    if (b.big) keep_locked(b.big, tickets);
}

void reservoir::keep_locked(big_block* b, core::ticket_set tickets) noexcept {
  b->state.store(core::life_free, std::memory_order_relaxed);
  b->tickets = std::move(tickets);
  b->sequence = ++sequence_;
  numbers_.big_live -= b->bytes;
  --numbers_.big_live_count;
  kept_.insert(b);
}

result<big_block*> reservoir::grow_big(std::size_t bytes, std::size_t alignment, const stream_state* caller,
                                       urgency when) noexcept {
  const std::lock_guard growth(growth_);
  const native_sizes size = native_bytes(bytes, alignment, granularity_);
  auto native = allocate_native(size.usual, size.least, caller, when);
  if (!native) return std::move(native).error();
  big_block* b = new_big();
  b->pool = pool_id_;
  b->base = native->base;
  b->bytes = native->bytes;
  b->reach = reach_of(native->bytes, alignment);
  b->state.store(core::life_free, std::memory_order_relaxed);
  b->fresh = native->fresh;
  b->tickets = native->fresh;
  {
    const std::lock_guard lock(mutex_);
    extents_[b->base] = b;
    b->sequence = ++sequence_;  // it may be kept before anybody has it
    numbers_.big_claimed += b->bytes;
  }
  if (enter(*b)) return b;
  (void)free_native(*b, b->fresh, own_place());
  return error{.code = errc::out_of_memory, .bytes = bytes, .what = "host memory for the page map"};
}

// --- regions --------------------------------------------------------------------------------------------------------

region* reservoir::new_region(std::uint32_t granules) {
  const std::lock_guard lock(mutex_);
  const auto same = std::find_if(region_unused_.begin(), region_unused_.end(),
                                 [&](const region* r) { return r->granules == granules; });
  region* r;
  if (same != region_unused_.end()) {
    r = *same;
    region_unused_.erase(same);
  } else {
    r = &region_store_.emplace_back();
    r->make_table(granules, cache::page_map::page_bytes);
  }
  for (std::uint32_t g = 0; g < granules; ++g) r->table[g].store(nullptr, std::memory_order_relaxed);
  return r;
}

// Where a region of the usual size would grow the native pool, one that fits the free part of a touched chunk does not:
// nobody else could use that. But one that would be left an eighth empty by blocks of the size it is made for wastes
// more than it finds.
result<reservoir::native_range> reservoir::allocate_in_hole(std::size_t made_for, std::size_t usual,
                                                            const stream_state* caller) noexcept {
  const std::size_t least = std::max(made_for, slab_bytes_max) + core::granule_bytes;
  stream_state& on = *place_for(caller).on;
  if (!options_.order.recycle || missing_bytes(usual, on) == 0) return error{.code = errc::out_of_memory};
  std::size_t hole;
  {
    const std::lock_guard lock(mutex_);
    hole = shadow_.smallest_hole(std::max(least, hole_bytes_min));
  }
  // Whole MiB, so that descriptors are of few sizes and find another region.
  hole = std::min(base::round_down(hole, base::mib), usual);
  if (hole < least || hole % made_for > hole / 8) return error{.code = errc::out_of_memory};
  return call_native(hole, on);
}

// Regions grow with the heap they are for, so that a stream with little to hold does not keep a large one.
std::size_t reservoir::region_bytes_for(const stream_state* caller) const noexcept {
  if (!caller) return options_.region_bytes;
  std::size_t held;
  {
    const std::lock_guard lock(caller->mutex);
    held = caller->heap.bytes_held();
  }
  const std::size_t share = base::round_up(held / 4, 2 * base::mib);
  return std::min(std::max(share, options_.region_bytes_min), options_.region_bytes);
}

result<region*> reservoir::grow_region(std::size_t bytes, const stream_state* caller, urgency when) noexcept {
  const std::size_t usual = when == urgency::now ? region_bytes_for(caller) : options_.region_bytes;
  const std::lock_guard growth(growth_);
  const std::size_t chunk = shadow_.chunk_bytes();
  // Native ones begin at 512 bytes, granules at their own size: room for what that may cost, where the region would
  // else hold one block less of the size it is made for.
  const std::size_t slack = core::granule_bytes;
  const bool divides = usual % base::round_up(bytes, slack) == 0 && bytes > core::small_bytes_max;
  const std::size_t least = base::round_up(bytes + slack, chunk);
  const std::size_t want = std::max(usual + (divides ? slack : 0), base::round_up(bytes + slack, 2 * base::mib));
  result<native_range> native = error{.code = errc::out_of_memory};
  if (when == urgency::now) native = allocate_in_hole(bytes, want, caller);
  if (!native && native.error().code == errc::out_of_memory) native = allocate_native(want, want, caller, when);
  // Where there is no room for the usual size, the smallest that serves is better than none.
  if (!native && native.error().code == errc::out_of_memory && least < want)
    native = allocate_native(least, least, caller, when);
  if (!native) return std::move(native).error();
  const std::uintptr_t begin = base::round_up(native->base, core::granule_bytes);
  const std::uintptr_t end = base::round_down(native->base + native->bytes, core::granule_bytes);
  region* r = new_region(static_cast<std::uint32_t>((end - begin) / core::granule_bytes));
  r->pool = pool_id_;
  r->base = native->base;
  r->begin = begin;
  r->bytes = native->bytes;
  r->reach = native->bytes;
  r->fresh = native->fresh;
  {
    const std::lock_guard lock(mutex_);
    r->sequence = ++sequence_;
    extents_[r->base] = r;
  }
  if (enter(*r)) return r;
  (void)free_native(*r, r->fresh, own_place());
  return error{.code = errc::out_of_memory, .bytes = bytes, .what = "host memory for the page map"};
}

// A region that nobody could be made to wait for joins the heap of the stream it was made on, where adopt_region finds
// it.
void reservoir::shelve(region* r) noexcept {
  stream_state& on = streams_.at(r->fresh.stream);
  const std::lock_guard lock(on.mutex);
  on.heap.add_region(r, on.now().epoch);
}

result<region*> reservoir::adopt_region(std::size_t bytes, stream_state& taker, bool wait) noexcept {
  for (stream_state* s : streams_.all()) {
    if (s == &taker) continue;
    core::heap::emptied empty;
    {
      const std::lock_guard lock(s->mutex);
      empty = s->heap.remove_empty(wait ? order_.waitable(*s, &taker) : s->passed.load(std::memory_order_acquire));
    }
    if (!empty.where) continue;
    const bool is_large_enough = empty.where->granules * core::granule_bytes >= bytes;
    const core::ticket last{s->index, empty.last};
    auto ordered = is_large_enough ? order_.make_wait(taker, last, &taker) : result<bool>(false);
    if (ordered && *ordered) return empty.where;
    {
      const std::lock_guard lock(s->mutex);
      s->heap.add_region(empty.where, empty.last);
    }
    if (!ordered) return std::move(ordered).error();
  }
  return static_cast<region*>(nullptr);
}

}  // namespace weir::detail
