// SPDX-License-Identifier: Apache-2.0
//
// The way back. The address leads to a descriptor, the descriptor says what the block is and whether anything about it
// is unusual; an ordinary small block then goes to the calling thread's cache and that is all.
#include "base/assert.hpp"
#include "cache/page_map.hpp"
#include "pool/pool_impl.hpp"

namespace weir::detail {

using core::life;
using core::range;
using core::range_kind;

namespace {

void count(std::atomic<std::uint64_t>& counter) noexcept { counter.fetch_add(1, std::memory_order_relaxed); }

// Null before the first granule and past the last: an address may lie beside a region, in a page it has a part of.
range* range_at(const core::region& r, std::uintptr_t at) noexcept {
  const std::size_t granule = (at - r.begin) / core::granule_bytes;
  return at < r.begin || granule >= r.granules ? nullptr : r.table[granule].load(std::memory_order_relaxed);
}

// As an allocation of that many bytes would have been rounded, where it is small.
std::size_t class_rounded(std::size_t bytes) noexcept {
  return bytes == 0 || bytes > core::small_bytes_max ? bytes : core::class_bytes(core::class_of(bytes));
}

// With more alignment than usual asked for, a block is larger than its size says; then no more can be checked.
bool size_fits(std::size_t given, std::size_t has, std::size_t rounded, life state) noexcept {
  return given == 0 || ((state & core::life_aligned) ? given <= has : rounded == has);
}

}  // namespace

// Checked mode: the one free that finds the block live in the list goes on, with the bytes it was asked for with; so
// no two read its descriptor at once.
template <class Free>
result<void> pool_impl::once(void* p, std::size_t given, Free free) noexcept {
  if (!p) return {};
  if (!is_mine()) return error{.code = errc::forked};
  if (!options_.checked) [[likely]]
    return free(given);
  const std::uintptr_t at = base::address(p);
  {
    std::unique_lock lock(checked_mutex_);
    const auto asked = requested_.find(at);
    if (asked == requested_.end()) {
      lock.unlock();
      return free(given);  // it will say that the pointer is none of ours
    }
    if (!asked->second.is_live) return error{.code = errc::double_free};
    if (given && given != asked->second.bytes)
      return error{.code = errc::size_mismatch, .bytes = given, .limit = asked->second.bytes};
    asked->second.is_live = false;
    given = asked->second.bytes;
  }
  auto done = free(given);
  if (!done) {
    const std::lock_guard lock(checked_mutex_);
    requested_[at].is_live = true;
  }
  return done;
}

result<void> pool_impl::deallocate(void* p, std::size_t bytes, stream_state& s) noexcept {
  auto done = deallocate_late(p, bytes, s);
  if (done) order_.answer(s);
  return done;
}

// Touches no handle, and asks not whether the stream is still there: a free is arithmetic and a ticket.
result<void> pool_impl::deallocate_late(void* p, std::size_t bytes, stream_state& s) noexcept {
  return once(p, bytes, [&](std::size_t asked) { return deallocate_found(p, asked, s); });
}

result<void> pool_impl::deallocate_found(void* p, std::size_t bytes, stream_state& s) noexcept {
  const std::uintptr_t at = base::address(p);
  core::extent* e = cache::page_map::find(at);
  if (!e || e->pool != id_) {
    if (!reservoir_.has_direct(p)) return error{.code = errc::foreign_pointer};
    return free_direct(p, bytes);
  }
  return e->kind == core::extent_kind::region ? deallocate_block(*static_cast<core::region*>(e), at, bytes, s)
                                              : deallocate_big(*static_cast<core::big_block*>(e), at, bytes, s);
}

result<void> pool_impl::deallocate_block(core::region& r, std::uintptr_t at, std::size_t bytes,
                                         stream_state& s) noexcept {
  range* here = range_at(r, at);
  if (!here || here->home != &r) return error{.code = errc::foreign_pointer};
  switch (here->kind.load(std::memory_order_relaxed)) {
    case range_kind::slab: {
      const auto where = core::position_in(*here, at);
      if (!where.inside) return error{.code = errc::foreign_pointer};
      const life state = here->states[where.block].load(std::memory_order_relaxed);
      if (!core::is_live(state)) return error{.code = errc::double_free};
      const std::size_t has = core::class_bytes(here->index);
      if (!size_fits(bytes, has, class_rounded(bytes), state))
        return error{.code = errc::size_mismatch, .bytes = bytes, .limit = has};
      say_deallocated(at, bytes, has, &s, allocation_kind::pool);
      return free_small(*here, where.block, state, at, s);
    }
    case range_kind::medium: {
      if (r.at(here->first) != at) return error{.code = errc::foreign_pointer};
      const life state = here->states[0].load(std::memory_order_relaxed);
      if (!core::is_live(state)) return error{.code = errc::double_free};
      const std::size_t has = here->count * core::granule_bytes;
      if (!size_fits(bytes, has, base::round_up(bytes, core::granule_bytes), state))
        return error{.code = errc::size_mismatch, .bytes = bytes, .limit = has};
      say_deallocated(at, bytes, has, &s, allocation_kind::pool);
      return free_large({.bytes = has, .pointer = base::pointer(at), .medium = here}, state, at, s);
    }
    default: return error{.code = errc::double_free};
  }
}

// The tickets a block takes home: the stream it was freed on, and every one it was used on.
core::ticket_set pool_impl::tickets_of_free(std::uintptr_t at, life state, stream_state& freed_on) noexcept {
  core::ticket_set tickets;
  {
    const std::lock_guard lock(freed_on.mutex);
    tickets.add(freed_on.now());
  }
  if (!(state & core::life_used)) return tickets;
  std::vector<stream_state*> used;
  {
    const std::lock_guard lock(uses_mutex_);
    if (auto node = uses_.extract(at)) used = std::move(node.mapped());
  }
  for (stream_state* u : used) {
    const std::lock_guard lock(u->mutex);
    tickets.add(u->last_use());
  }
  return tickets;
}

result<void> pool_impl::free_small(range& slab, unsigned block, life state, std::uintptr_t at,
                                   stream_state& s) noexcept {
  const core::block b{base::pointer(at), &slab.states[block]};
  if (state & (core::life_used | core::life_pinned)) {
    // It waits for more than this stream, or is not for its cache. Whoever wins the exchange frees it.
    life expected = state;
    if (!b.state->compare_exchange_strong(expected, core::life_cached)) return error{.code = errc::double_free};
    {
      const std::lock_guard lock(s.mutex);
      ++s.counters.deallocations[slab.index];
    }
    stream_state& home = streams_.at(slab.home->heap);
    if (!(state & core::life_used) && s.arena.load(std::memory_order_acquire) == &home) {
      const std::lock_guard lock(home.mutex);
      home.heap.give_block(&slab, block, home.now().epoch);
    } else {
      return_pending(home, slab, block, tickets_of_free(at, state, s));
    }
    return {};
  }
  cache::spill spill;
  cache::block_cache* cache = cache_for(s);
  if (!cache || !cache->give_slow(slab.index, b, spill)) {
    b.state->store(core::life_cached, std::memory_order_relaxed);
    spill.add(&b, 1);
    const std::lock_guard lock(s.mutex);
    ++s.counters.deallocations[slab.index];
  }
  if (spill.count) return_blocks(s, {spill.blocks.data(), spill.count});
  return {};
}

// Blocks that were free on `from` go to the heaps their slabs belong to: its own at once, others' with its ticket.
// Until it is given, a block is ours alone, and so its slab and its region stay what they are.
void pool_impl::return_blocks(stream_state& from, std::span<const core::block> blocks) noexcept {
  struct guest {
    range* slab;
    unsigned block;
  };
  std::vector<guest> guests;
  core::ticket now;
  {
    const std::lock_guard lock(from.mutex);
    now = from.now();
    for (const core::block& b : blocks) {
      const std::uintptr_t at = base::address(b.pointer);
      range* slab = range_at(*static_cast<core::region*>(cache::page_map::find(at)), at);
      const unsigned block = core::position_in(*slab, at).block;
      if (slab->home->heap == from.index)
        from.heap.give_block(slab, block, now.epoch);
      else
        guests.push_back({slab, block});
    }
  }
  for (const guest& g : guests) return_pending(streams_.at(g.slab->home->heap), *g.slab, g.block, now);
}

void pool_impl::return_pending(stream_state& home, range& slab, unsigned block, core::ticket_set tickets) noexcept {
  const std::lock_guard lock(home.mutex);
  home.heap.give_block_pending(&slab, block, std::move(tickets));
}

// --- above 1 MiB ----------------------------------------------------------------------------------------------------

// The live block that begins there, if nothing about it is unusual and its size is right; none else.
cache::large_block pool_impl::find_large(std::uintptr_t at, std::size_t bytes) const noexcept {
  core::extent* e = cache::page_map::find(at);
  if (!e || e->pool != id_) return {};
  if (e->kind == core::extent_kind::big) {
    auto& b = static_cast<core::big_block&>(*e);
    const bool is_usual = b.begin == at && b.base == at && b.state.load(std::memory_order_relaxed) == core::life_live;
    if (!is_usual || (bytes != 0 && bytes != b.asked)) return {};
    return {.bytes = b.bytes, .pointer = base::pointer(at), .big = &b};
  }
  auto& home = static_cast<core::region&>(*e);
  range* r = range_at(home, at);
  const bool is_usual = r && r->home == &home && r->kind.load(std::memory_order_relaxed) == range_kind::medium &&
                        home.at(r->first) == at && r->states[0].load(std::memory_order_relaxed) == core::life_live;
  if (!is_usual) return {};
  const std::size_t has = r->count * core::granule_bytes;
  if (bytes != 0 && base::round_up(bytes, core::granule_bytes) != has) return {};
  return {.bytes = has, .pointer = base::pointer(at), .medium = r};
}

namespace {

// Whoever wins the exchange frees it: a read-modify-write, 5 ns, which small blocks do without.
bool win(const cache::large_block& b, life from, life to) noexcept {
  return (b.medium ? b.medium->states[0] : b.big->state).compare_exchange_strong(from, to);
}

}  // namespace

bool pool_impl::give_large_hit(cache::block_cache& cache, void* p, std::size_t bytes) const noexcept {
  if (!cache.has_large_room()) return false;
  const cache::large_block b = find_large(base::address(p), bytes);
  if (!b.pointer || !win(b, core::life_live, core::life_cached)) return false;
  if (cache.give_large(b)) return true;
  win(b, core::life_cached, core::life_live);  // a reclaimer is at the cache
  return false;
}

// A live block, in the state that was seen, comes back.
result<void> pool_impl::free_large(const cache::large_block& b, life state, std::uintptr_t at,
                                   stream_state& s) noexcept {
  if (!win(b, state, core::life_cached)) return error{.code = errc::double_free};
  const bool is_usual = state == core::life_live && (!b.big || b.big->base == at);
  cache::block_cache* cache = is_usual ? cache_for(s) : nullptr;
  cache::block_cache::large_spill spill;
  if (cache && cache->give_large_slow(b, spill)) {
    if (spill.count) return_large(s, {spill.blocks.data(), spill.count});
  } else {
    count(b.medium ? medium_deallocations_ : big_deallocations_);
    return_large(s, {&b, 1}, tickets_of_free(at, state, s));
  }
  return {};
}

void pool_impl::return_large(stream_state& from, std::span<const cache::large_block> blocks) noexcept {
  core::ticket now;
  {
    const std::lock_guard lock(from.mutex);
    now = from.now();
  }
  return_large(from, blocks, now);
}

// Medium blocks go to their heaps, its own at once where no other stream used them; big ones to the reservoir.
void pool_impl::return_large(stream_state& from, std::span<const cache::large_block> blocks,
                             const core::ticket_set& tickets) noexcept {
  const bool is_own = tickets.all([&](core::ticket t) { return t.stream == from.index; });
  std::size_t medium = 0;
  for (const cache::large_block& b : blocks) {
    if (!b.medium) continue;
    medium += b.bytes;
    stream_state& home = streams_.at(b.medium->home->heap);
    const std::lock_guard lock(home.mutex);  // before the state, so that no walk meets a block in between
    b.medium->states[0].store(core::life_free, std::memory_order_relaxed);
    if (is_own && (&home == &from || &home == from.arena.load(std::memory_order_acquire)))
      home.heap.give_range(b.medium, home.now().epoch);
    else
      home.heap.give_range_pending(b.medium, tickets);
  }
  medium_live_.fetch_sub(medium, std::memory_order_relaxed);
  reservoir_.keep_cached(blocks, tickets);
}

result<void> pool_impl::deallocate_big(core::big_block& b, std::uintptr_t at, std::size_t bytes,
                                       stream_state& s) noexcept {
  if (at != b.begin) return error{.code = errc::foreign_pointer};
  const life state = b.state.load(std::memory_order_relaxed);
  if (!core::is_live(state)) return error{.code = errc::double_free};
  if (bytes != 0 && bytes != b.asked) return error{.code = errc::size_mismatch, .bytes = bytes, .limit = b.asked};
  say_deallocated(at, bytes, b.bytes, &s, allocation_kind::pool);
  return free_large({.bytes = b.bytes, .pointer = base::pointer(at), .big = &b}, state, at, s);
}

result<void> pool_impl::record_use(void* p, stream_state& s) noexcept {
  if (!p) return {};
  if (!is_mine()) return error{.code = errc::forked};
  const std::uintptr_t at = base::address(p);
  core::extent* e = cache::page_map::find(at);
  if (!e || e->pool != id_) {
    // A direct block's free synchronises the device: nothing to remember.
    if (reservoir_.has_direct(p)) return {};
    return error{.code = errc::foreign_pointer};
  }
  std::atomic<life>* state = nullptr;
  if (e->kind == core::extent_kind::big) {
    auto* b = static_cast<core::big_block*>(e);
    if (b->begin == at) state = &b->state;
  } else {
    auto* home = static_cast<core::region*>(e);
    range* r = range_at(*home, at);
    if (r && r->kind.load(std::memory_order_relaxed) == range_kind::slab) {
      const auto where = core::position_in(*r, at);
      if (where.inside) state = &r->states[where.block];
    } else if (r && r->home->at(r->first) == at) {
      state = &r->states[0];
    }
  }
  if (!state || !core::is_live(state->load(std::memory_order_relaxed))) return error{.code = errc::foreign_pointer};
  {
    const std::lock_guard lock(uses_mutex_);
    uses_[at].push_back(&s);
  }
  state->fetch_or(core::life_used, std::memory_order_relaxed);
  if (options_.observer) options_.observer->on_use({.pointer = p, .stream_id = s.id, .device = device()});
  return {};
}

// --- direct ---------------------------------------------------------------------------------------------------------

result<void*> pool_impl::allocate_direct(std::size_t bytes) noexcept {
  auto p = direct_unobserved(bytes, pool::alignment_default);
  if (!p) say_failed(p.error());
  return p;
}

result<void*> pool_impl::direct_unobserved(std::size_t bytes, std::size_t alignment) noexcept {
  if (bytes == 0) return static_cast<void*>(nullptr);
  if (bytes > SIZE_MAX / 4) return error{.code = errc::invalid_size, .bytes = bytes, .limit = SIZE_MAX / 4};
  if (!is_mine()) return error{.code = errc::forked};
  if (reservoir_.would_pass_soft(bytes + alignment)) reclaim_large();  // what makes room for it then sees them
  auto p = reservoir_.allocate_direct(bytes, alignment);
  if (!p && p.error().code == errc::out_of_memory)
    p = under_pressure(bytes, nullptr, [&] { return reservoir_.allocate_direct(bytes, alignment); });
  if (!p) return p;
  count(direct_allocations_);
  count(served_direct_);
  say_allocated(*p, bytes, alignment, nullptr, allocation_kind::direct);
  run_policies();
  return p;
}

result<void> pool_impl::deallocate_direct(void* p) noexcept {
  return once(p, 0, [&](std::size_t asked) { return free_direct(p, asked); });
}

result<void> pool_impl::free_direct(void* p, std::size_t bytes) noexcept {
  const std::size_t has = reservoir_.direct_bytes_of(p);
  if (has == 0) return error{.code = errc::foreign_pointer};
  if (bytes != 0 && bytes != has) return error{.code = errc::size_mismatch, .bytes = bytes, .limit = has};
  say_deallocated(base::address(p), bytes, has, nullptr, allocation_kind::direct);
  if (auto freed = reservoir_.deallocate_direct(p); !freed) {
    // The observer was told before, since afterwards another thread may have the address; so it is live again.
    say_allocated(p, has, pool::alignment_default, nullptr, allocation_kind::direct);
    return std::move(freed).error();
  }
  count(direct_deallocations_);
  return {};
}

}  // namespace weir::detail
