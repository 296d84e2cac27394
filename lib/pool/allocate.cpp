// SPDX-License-Identifier: Apache-2.0
//
// The way of an allocation: cache, heap, other streams, the native pool, waiting, pressure.
#include <bit>
#include <utility>

#include "base/assert.hpp"
#include "cache/page_map.hpp"
#include "pool/pool_impl.hpp"

namespace weir::detail {

using core::life;
using core::size_class;

namespace {

void count(std::atomic<std::uint64_t>& counter) noexcept { counter.fetch_add(1, std::memory_order_relaxed); }

// Sizes above this could wrap when rounded, or when an alignment is added; no device comes near.
constexpr std::size_t bytes_askable_max = SIZE_MAX / 4;

}  // namespace

result<void*> pool_impl::allocate(std::size_t bytes, stream_state& s, std::size_t alignment) noexcept {
  const bool is_pinned = s.arena.load(std::memory_order_acquire) != nullptr;
  auto p = allocate_unobserved(bytes, s, alignment);
  if (!p)
    say_failed(p.error());
  else if (*p && (is_pinned || !options_.bypass))
    say_allocated(*p, bytes, alignment, &s, allocation_kind::pool);
  return p;
}

void pool_impl::say_failed(const error& why) noexcept {
  count(failures_);
  if (options_.observer) options_.observer->on_failure(why);
}

result<void*> pool_impl::allocate_unobserved(std::size_t bytes, stream_state& s, std::size_t alignment) noexcept {
  if (bytes == 0) return static_cast<void*>(nullptr);
  if (!std::has_single_bit(alignment) || alignment > pool::alignment_max)
    return error{.code = errc::invalid_alignment, .bytes = alignment, .limit = pool::alignment_max};
  if (bytes > bytes_askable_max) return error{.code = errc::invalid_size, .bytes = bytes, .limit = bytes_askable_max};
  if (stream_state* arena = s.arena.load(std::memory_order_acquire)) return allocate_pinned(bytes, *arena, alignment);
  if (options_.bypass) return direct_unobserved(bytes, alignment);
  if (options_.guard_capture) {
    // examine() refuses a capturing stream.
    const auto who = backend_->examine(s.handle.load(std::memory_order_acquire));
    if (!who) return who.error();
  }
  const bool is_aligned = alignment > core::unit_bytes;
  const life state = is_aligned ? core::life_live | core::life_aligned : core::life_live;
  // A multiple of the alignment has a class that is one too, and slabs begin at granules.
  const std::size_t padded = is_aligned ? base::round_up(bytes, alignment) : bytes;
  if (padded <= core::small_bytes_max && alignment <= core::granule_bytes) {
    const size_class index = core::class_of(padded);
    if (cache::block_cache* cache = cache_for(s))
      if (void* p = cache->take_slow(index, state)) return p;
    return allocate_from_heap(
        {.is_small = true, .index = index, .bytes = padded, .alignment = alignment, .state = state}, s);
  }
  if (!is_aligned)
    if (cache::block_cache* cache = cache_for(s)) {
      const reservoir::fit need = large_fit(bytes);
      if (void* p = cache->take_large_slow(need.bytes, need.bytes_max, bytes)) return p;
    }
  if (bytes <= core::medium_bytes_max && alignment <= core::medium_bytes_max)
    return allocate_from_heap({.is_small = false, .bytes = bytes, .alignment = alignment, .state = state}, s);
  return allocate_big(bytes, alignment, state, s);
}

// A medium block has the granules it needs and no more, so that the size of its free says as much as ever.
reservoir::fit pool_impl::large_fit(std::size_t bytes) const noexcept {
  if (bytes > core::medium_bytes_max) return reservoir_.fit_of(bytes, pool::alignment_default);
  const std::size_t rounded = base::round_up(bytes, core::granule_bytes);
  return {rounded, rounded};
}

void* pool_impl::take_large_hit(cache::block_cache& cache, std::size_t bytes) const noexcept {
  if (bytes - 1 >= bytes_askable_max) return nullptr;
  const reservoir::fit need = large_fit(bytes);
  return cache.take_large(need.bytes, need.bytes_max, bytes);
}

cache::block_cache* pool_impl::cache_for(stream_state& s) noexcept {
  cache::block_cache* mine = cache::thread_table::find(&s, s.serial);
  if (mine && !mine->is_dead.load(std::memory_order_acquire)) return mine;
  if (!is_mine() || s.owner.load(std::memory_order_acquire) != this) return nullptr;
  if (s.arena.load(std::memory_order_acquire)) return nullptr;
  auto fresh = std::make_shared<cache::block_cache>(options_.cache_bytes_max, s.index, this, is_watched());
  cache::block_cache* p = fresh.get();
  retain(&s);
  const std::shared_ptr<const void> alive(&s, [](stream_state* state) { release(state); });
  if (!cache::thread_table::add(&s, alive, fresh, s.home)) return nullptr;
  const std::lock_guard lock(s.mutex);
  s.caches.push_back(std::move(fresh));
  return p;
}

// --- small and medium -----------------------------------------------------------------------------------------------

result<void*> pool_impl::allocate_from_heap(const heap_request& r, stream_state& s) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  if (void* p = take(r, s, core::epoch_any, s)) {
    count(served_heap_);
    return p;
  }
  auto p = heap_miss(r, s);
  if (!p && p.error().code == errc::out_of_memory) {
    heap_request again = r;
    p = under_pressure(r.bytes, &s, [&, round = 0]() mutable {
      again.is_desperate = ++round > 1;
      return heap_miss(again, s);
    });
  }
  order_.answer(s);
  run_policies();
  return p;
}

// The order of DESIGN between a miss in the own heap and pressure.
result<void*> pool_impl::heap_miss(const heap_request& r, stream_state& s) noexcept {
  if (reclaim_own_large())
    if (void* p = take(r, s, core::epoch_any, s)) {
      count(served_heap_);
      return p;
    }
  if (settle(s, &s))
    if (void* p = take(r, s, core::epoch_any, s)) {
      count(served_heap_);
      grow_for_hand_over(r.bytes, s);
      return p;
    }
  if (options_.order.other_streams_passed) {
    auto p = from_others(r, s, false);
    if (!p || *p) return p;
  }
  if (options_.order.other_streams_wait && has_surplus(r, s)) {
    if (auto waited = settle_waiting(s); !waited) return std::move(waited).error();
    if (void* p = take(r, s, core::epoch_any, s)) {
      count(served_waited_);
      return p;
    }
  }
  auto fresh = grow(r, s);
  if (fresh || fresh.error().code != errc::out_of_memory) return fresh;
  if (auto waited = settle_waiting(s); !waited) return std::move(waited).error();
  heap_request tight = r;
  tight.is_tight = true;
  if (void* p = take(tight, s, core::epoch_any, s)) {
    count(served_heap_);
    return p;
  }
  if (options_.order.other_streams_wait) {
    auto p = from_others(tight, s, true);
    if (!p || *p) return p;
  }
  return fresh;
}

namespace {

// What a stream that hands its blocks over may have on the way home before it waits for them: so many, and at least so
// many bytes. Enough that a look at the other stream, or a wait, serves several allocations; and bounded.
constexpr std::size_t surplus_blocks = 16;
constexpr std::size_t surplus_bytes_min = 64 * base::mib;
// And what it may have got ahead of need, so that there are several to go round.
constexpr std::size_t ahead_bytes_max = 1024 * base::mib;
constexpr unsigned hand_overs_seen_min = 4;

}  // namespace

// So much of what this stream allocated and others freed is pending that it is better waited for than added to.
bool pool_impl::has_surplus(const heap_request& r, const stream_state& s) const noexcept {
  const std::lock_guard lock(s.mutex);
  return s.heap.bytes_pending() >= std::max(surplus_bytes_min, surplus_blocks * r.bytes);
}

// A block that was handed over came home just in time, at the price of a look at the stream that had it. Where that
// happens again and again with blocks of a size, a few more of them make one look do for several.
void pool_impl::grow_for_hand_over(std::size_t bytes, stream_state& s) noexcept {
  const bool is_big = bytes > core::medium_bytes_max;
  {
    const std::lock_guard lock(s.mutex);
    stream_state::handing_over& h = s.hand_over;
    if (h.bytes != bytes) h = {.bytes = bytes};
    if (++h.misses < hand_overs_seen_min) return;
    const std::size_t enough = is_big ? std::min((surplus_blocks - 1) * bytes, ahead_bytes_max)
                                      : std::min(options_.region_bytes, 64 * bytes) + surplus_blocks * bytes;
    const std::size_t has = is_big ? h.grown : std::max(h.grown, s.heap.bytes_held());
    if (has + bytes > enough) return;
    h.grown += is_big ? bytes : options_.region_bytes;
  }
  if (is_big) {
    if (auto b = reservoir_.grow_big(bytes, pool::alignment_default, &s, reservoir::urgency::ahead))
      reservoir_.give_back_claim(*b);
  } else if (auto region = reservoir_.grow_region(bytes, &s, reservoir::urgency::ahead)) {
    if (!order_fresh((*region)->fresh, s)) return reservoir_.shelve(*region);
    const std::lock_guard lock(s.mutex);
    s.heap.add_region(*region, s.now().epoch);
  }
}

// `joining` becomes the heap's under the same lock, so that no other thread of the stream is quicker.
void* pool_impl::take(const heap_request& r, stream_state& home, core::epoch last_max, stream_state& taker,
                      core::region* joining) noexcept {
  return r.is_small ? take_small(r, home, last_max, taker, joining) : take_medium(r, home, last_max, joining);
}

// One for the caller, the rest of the batch for its cache.
void* pool_impl::take_small(const heap_request& r, stream_state& home, core::epoch last_max, stream_state& taker,
                            core::region* joining) noexcept {
  cache::block_cache* cache = cache::thread_table::find(&taker, taker.serial);
  std::array<core::block, cache::block_cache::magazine_blocks_max / 2 + 1> batch;
  cache::spill spill;
  const unsigned want = cache ? std::min<unsigned>(cache->begin_refill(r.index, spill), batch.size()) : 1;
  size_class index = r.index;
  unsigned taken;
  {
    const std::lock_guard lock(home.mutex);
    if (joining) home.heap.add_region(joining, home.now().epoch);
    taken = home.heap.take_blocks(index, batch.data(), want, last_max, r.is_tight, cache ? cache->number() : 0);
    // Rather a free block of a larger class than none.
    while (taken == 0 && r.is_desperate && index + 1u < core::class_count)
      if (core::class_bytes(++index) % r.alignment == 0)
        taken = home.heap.take_blocks(index, batch.data(), 1, last_max, true);
  }
  if (taken == 0) {
    if (spill.count) return_blocks(taker, {spill.blocks.data(), spill.count});
    return nullptr;
  }
  // Of a larger class, the size a free may give says as little as that of an over-aligned block.
  const life state = index == r.index ? r.state : static_cast<life>(r.state | core::life_aligned);
  batch[0].state->store(state, std::memory_order_relaxed);
  if (!cache || !cache->end_refill(index, batch.data() + 1, taken - 1, spill)) {
    spill.add(batch.data() + 1, taken - 1);
    const std::lock_guard lock(taker.mutex);
    ++taker.counters.allocations[index];
  }
  if (spill.count) return_blocks(taker, {spill.blocks.data(), spill.count});
  return batch[0].pointer;
}

void* pool_impl::take_medium(const heap_request& r, stream_state& home, core::epoch last_max,
                             core::region* joining) noexcept {
  core::range* range;
  {
    const std::lock_guard lock(home.mutex);
    if (joining) home.heap.add_region(joining, home.now().epoch);
    range = home.heap.take_range(r.bytes, r.alignment, last_max);
    if (!range) return nullptr;
    range->states[0].store(r.state, std::memory_order_relaxed);
  }
  medium_live_.fetch_add(range->count * core::granule_bytes, std::memory_order_relaxed);
  count(medium_allocations_);
  return base::pointer(range->home->at(range->first));
}

// What came home with the tickets of others, and may be had now. True: something did.
bool pool_impl::settle(stream_state& s, const stream_state* caller) noexcept {
  core::ticket_set behind;
  {
    const std::lock_guard lock(s.mutex);
    s.heap.each_pending([&](const core::ticket_set& tickets) { behind.add(tickets); });
  }
  if (behind.is_empty()) return false;
  order_.look(behind, caller, true);
  return settle_known(s);
}

// The same without a look. What has passed is anybody's at once, however old; what this stream only waits for is
// others' when this stream has come so far, which of a retired one nobody would ever see.
bool pool_impl::settle_known(stream_state& s) noexcept {
  const std::lock_guard lock(s.mutex);
  return settle_locked(s) != 0;
}

std::size_t pool_impl::settle_locked(stream_state& s) noexcept {
  const auto passed = [&](core::ticket t) { return order_.has_passed(t); };
  const auto ready = [&](core::ticket t) { return order_.is_ready_locked(t, s); };
  const std::size_t bytes = s.heap.settle(passed, s.passed.load(std::memory_order_acquire));
  return bytes + s.heap.settle(ready, s.last_use().epoch);
}

// The same, after making the stream wait for all of them.
result<bool> pool_impl::settle_waiting(stream_state& s) noexcept {
  core::ticket_set behind;
  {
    const std::lock_guard lock(s.mutex);
    s.heap.each_pending([&](const core::ticket_set& tickets) { behind.add(tickets); });
  }
  if (behind.is_empty()) return false;
  for (core::ticket t : behind) {
    const core::ticket upto{t.stream, std::min(t.epoch, order_.waitable(t.stream, &s))};
    if (auto waited = order_.make_wait(s, upto, &s); !waited) return waited;
  }
  return settle_known(s);
}

result<void*> pool_impl::from_others(const heap_request& r, stream_state& taker, bool wait) noexcept {
  const auto others = streams_.all();
  for (stream_state* s : others)
    if (s != &taker && s->index != 0 && !wait) order_.look(*s, &taker);
  for (stream_state* s : others)
    if (s != &taker && !wait) settle_known(*s);
  auto region = reservoir_.adopt_region(r.bytes, taker, wait);
  if (!region) return std::move(region).error();
  if (*region)
    if (void* p = take(r, taker, core::epoch_any, taker, *region)) {
      count(wait ? served_waited_ : served_passed_);
      return p;
    }
  for (stream_state* s : others) {
    if (s == &taker || s->index == 0) continue;
    auto p = borrow(r, *s, taker, wait);
    if (!p) return p;
    if (!*p) continue;
    count(wait ? served_waited_ : served_passed_);
    return p;
  }
  return static_cast<void*>(nullptr);
}

// A block of another stream's heap, which stays its home: it comes back there with our ticket. With `wait`, our stream
// first waits for all that the other has freed, pending parts included.
result<void*> pool_impl::borrow(const heap_request& r, stream_state& home, stream_state& taker, bool wait) noexcept {
  core::epoch last_max = home.passed.load(std::memory_order_acquire);
  if (wait) {
    core::ticket_set behind;
    {
      const std::lock_guard lock(home.mutex);
      if (home.heap.bytes_free() + home.heap.bytes_pending() < r.bytes) return static_cast<void*>(nullptr);
      home.heap.each_pending([&](const core::ticket_set& tickets) { behind.add(tickets); });
    }
    order_.look(behind, &taker, true);
    core::ticket upto;
    {
      const std::lock_guard lock(home.mutex);
      settle_locked(home);  // under the same lock as the epoch: nothing settled is younger than what is waited for
      upto = {home.index, std::min(home.current, order_.waitable(home, &taker))};
    }
    auto waited = order_.make_wait(taker, upto, &taker);
    if (!waited) return std::move(waited).error();
    if (!*waited) return static_cast<void*>(nullptr);
    last_max = std::max(last_max, upto.epoch);
  }
  return take(r, home, last_max, taker);
}

result<void*> pool_impl::grow(const heap_request& r, stream_state& s) noexcept {
  const std::size_t align_room = r.alignment > core::granule_bytes ? r.alignment : 0;
  auto region = reservoir_.grow_region(r.bytes + align_room, &s);
  if (!region) return std::move(region).error();
  if (auto ordered = order_fresh((*region)->fresh, s); !ordered) {
    // It is the reservoir's, for whoever can be made to wait for it.
    reservoir_.shelve(*region);
    return std::move(ordered).error();
  }
  void* p = take(r, s, core::epoch_any, s, *region);
  WEIR_ASSERT(p);
  count(served_native_);
  sample_peak();
  return p;
}

// Makes what a native call gave usable on `s`: nothing to do where it was made there.
result<void> pool_impl::order_fresh(core::ticket fresh, stream_state& s) noexcept {
  if (fresh.stream == s.index) return {};
  stream_state& own = streams_.at(fresh.stream);
  order_.look(own, &own);
  auto waited = order_.make_wait(s, fresh, &own);
  if (!waited) return std::move(waited).error();
  if (!*waited) return error{.code = errc::not_supported, .what = "a per-thread stream, from another thread"};
  return {};
}

// --- big ------------------------------------------------------------------------------------------------------------

result<void*> pool_impl::allocate_big(std::size_t bytes, std::size_t alignment, life state, stream_state& s) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  if (core::big_block* b = reservoir_.take_kept(bytes, alignment, s, state)) {
    count(served_big_);
    count(big_allocations_);
    return base::pointer(b->begin);
  }
  auto p = big_miss(bytes, alignment, state, s);
  bool is_direct = false;
  if (!p && p.error().code == errc::out_of_memory)
    p = under_pressure(bytes, &s, [&, round = 0]() mutable {
      auto again = big_miss(bytes, alignment, state, s);
      if (again || again.error().code != errc::out_of_memory || ++round < 2) return again;
      void* const direct = past_native_pool(bytes, alignment);
      is_direct = direct != nullptr;
      return is_direct ? result<void*>(direct) : again;
    });
  if (p && !is_direct) count(big_allocations_);
  order_.answer(s);
  run_policies();
  return p;
}

// A native pool has addresses for twice the device, and where small extents lie all over them it has no room for a
// block of gigabytes though the device has: then that block is a direct one. Its free waits for the device.
void* pool_impl::past_native_pool(std::size_t bytes, std::size_t alignment) noexcept {
  const auto memory = backend_->memory();
  if (!memory || memory->free < bytes) return nullptr;
  auto p = reservoir_.allocate_direct(bytes, alignment);
  if (!p) return nullptr;
  count(direct_allocations_);
  count(served_direct_);
  return *p;
}

result<void*> pool_impl::big_miss(std::size_t bytes, std::size_t alignment, life state, stream_state& s) noexcept {
  bool came_home = false;
  if (reclaim_own_large())
    if (core::big_block* b = reservoir_.take_kept(bytes, alignment, s, state)) {
      count(served_big_);
      return base::pointer(b->begin);
    }
  if (options_.order.other_streams_passed) {
    reservoir_.look_at_fits(bytes, &s);
    if (core::big_block* b = reservoir_.take_kept(bytes, alignment, s, state, &came_home)) {
      count(served_passed_);
      if (came_home) grow_for_hand_over(bytes, s);
      return base::pointer(b->begin);
    }
  }
  if (options_.order.other_streams_wait && reservoir_.count_pending(bytes, s) >= surplus_blocks) {
    auto p = big_waiting(bytes, alignment, state, s);
    if (!p || *p) return p;
  }
  auto grown = reservoir_.grow_big(bytes, alignment, &s);
  if (grown) {
    if (auto ordered = order_fresh((*grown)->fresh, s); !ordered) {
      reservoir_.give_back_claim(*grown);
      return std::move(ordered).error();
    }
    reservoir_.publish_claim(*grown, bytes, alignment, s, state);
    count(served_native_);
    sample_peak();
    return base::pointer((*grown)->begin);
  }
  if (grown.error().code != errc::out_of_memory) return std::move(grown).error();
  if (options_.order.other_streams_wait) {
    auto p = big_waiting(bytes, alignment, state, s);
    if (!p || *p) return p;
  }
  return std::move(grown).error();
}

// A kept block that fits, this stream made to wait for those that used it.
result<void*> pool_impl::big_waiting(std::size_t bytes, std::size_t alignment, life state, stream_state& s) noexcept {
  core::big_block* b = reservoir_.claim_kept(bytes, alignment, s);
  if (!b) return static_cast<void*>(nullptr);
  auto waited = order_.make_wait(s, b->tickets, &s);
  if (!waited || !*waited) {
    reservoir_.give_back_claim(b);
    if (!waited) return std::move(waited).error();
    return static_cast<void*>(nullptr);
  }
  reservoir_.publish_claim(b, bytes, alignment, s, state);
  count(served_waited_);
  return base::pointer(b->begin);
}

}  // namespace weir::detail
