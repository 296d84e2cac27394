// SPDX-License-Identifier: Apache-2.0
//
// Looking at a pool: statistics, walking its blocks, checking its invariants, finding what was not freed.
#include <algorithm>

#include "pool/pool_impl.hpp"

namespace weir::detail {

namespace {

using core::range;
using core::range_kind;

std::size_t bytes_of(const std::array<std::uint64_t, core::class_count>& counts) {
  std::size_t bytes = 0;
  for (unsigned i = 0; i < core::class_count; ++i) bytes += counts[i] * core::class_bytes(i);
  return bytes;
}

void add_cuts(statistics& to, const stream_state& s) {
  const std::lock_guard lock(s.mutex);
  to.splits += s.heap.splits();
  to.merges += s.heap.merges();
}

}  // namespace

// What caches hold and have done, by stream; and in all. Exact: no owner is inside while it is read.
struct pool_impl::cache_sums {
  cache::block_counters counters;
  cache::cached_blocks held;
  std::unordered_map<core::stream_index, std::size_t> bytes;
};

pool_impl::cache_sums pool_impl::sum_caches() const {
  cache_sums sums;
  const auto caches = all_caches();
  const auto doors = doors_of(caches);
  const cache::shut_gates shut(doors);
  for (const auto& c : caches) {
    cache::cached_blocks of;
    c->sum(sums.counters, of);
    sums.bytes[c->stream()] += bytes_of(of.small) + of.medium_bytes + of.big_bytes;
    for (unsigned i = 0; i < core::class_count; ++i) sums.held.small[i] += of.small[i];
    sums.held.medium_bytes += of.medium_bytes;
    sums.held.medium_count += of.medium_count;
    sums.held.big_bytes += of.big_bytes;
    sums.held.big_count += of.big_count;
    sums.held.large_largest = std::max(sums.held.large_largest, of.large_largest);
  }
  return sums;
}

// Frees are read before caches are, and those before allocations and the list of their streams: a block that another
// thread frees in between was counted as allocated, then, and never fewer than none are live.
statistics pool_impl::read_statistics() const {
  statistics out;
  const std::unique_lock alone(reclaim_mutex_);  // no cache comes to its end meanwhile, and counts once
  const std::uint64_t medium_deallocated = medium_deallocations_.load(std::memory_order_acquire);
  const std::uint64_t big_deallocated = big_deallocations_.load(std::memory_order_acquire);
  const std::uint64_t direct_deallocated = direct_deallocations_.load(std::memory_order_acquire);
  const auto before = past_counters();
  const cache_sums in = sum_caches();
  const auto after = past_counters();
  for (const stream_state* s : streams_.with_pinned()) {
    add_cuts(out, *s);
    if (s->index == 0) continue;
    stream_statistics of;
    of.id = s->id;
    if (const auto held = in.bytes.find(s->index); held != in.bytes.end()) of.cached = held->second;
    of.retired = !s->owner.load(std::memory_order_acquire);
    const std::lock_guard lock(s->mutex);
    of.held = s->heap.bytes_held();
    of.free = s->heap.bytes_free();
    of.pending = s->heap.bytes_pending();
    out.largest_free = std::max(out.largest_free, s->heap.bytes_largest());
    out.pending += of.pending;
    if (s->is_pinned.load(std::memory_order_relaxed)) out.pinned += of.held;
    out.cached += of.cached;
    out.streams.push_back(of);
  }
  const reservoir::numbers native = reservoir_.read();
  out.pools = 1;
  out.cached_large = in.held.medium_bytes + in.held.big_bytes;
  out.direct = native.direct;
  for (unsigned i = 0; i < core::class_count; ++i) {
    const std::uint64_t allocated = in.counters.allocations[i] + after.allocations[i];
    const std::uint64_t deallocated = in.counters.deallocations[i] + before.deallocations[i];
    const std::uint64_t live = allocated - std::min(allocated, deallocated);
    out.classes.push_back({core::class_bytes(i), live, in.held.small[i]});
    out.allocated += live * core::class_bytes(i);
    out.live_count += live;
    out.allocations += allocated;
    out.deallocations += deallocated;
  }
  const auto less = [](std::size_t whole, std::size_t part) { return whole - std::min(whole, part); };
  const std::size_t in_pool = out.allocated + less(medium_live_.load(std::memory_order_relaxed), in.held.medium_bytes) +
                              less(native.big_live, in.held.big_bytes);
  out.allocated = in_pool + native.direct;
  out.held = native.held;
  out.free = native.held - std::min(native.held, in_pool);
  out.reserved = native.reserved;
  out.pending += reservoir_.kept_pending();
  out.largest_free = std::max({out.largest_free, native.big_kept_largest, in.held.large_largest});
  // Slab blocks in heaps are free and in no range: where they are all there is, none is one range.
  if (out.free > 0)
    out.fragmentation = 1 - static_cast<double>(std::min(out.largest_free, out.free)) / static_cast<double>(out.free);
  out.held_peak = native.held_peak;
  out.reserved_peak = native.reserved_peak;
  out.allocated_peak = std::max(allocated_peak_.load(std::memory_order_relaxed), out.allocated);

  const auto read = [](const std::atomic<std::uint64_t>& c) { return c.load(std::memory_order_relaxed); };
  const std::uint64_t medium_allocated = read(medium_allocations_) + in.counters.medium_taken + after.medium_taken;
  const std::uint64_t medium_freed = medium_deallocated + in.counters.medium_given + before.medium_given;
  out.live_count +=
      less(medium_allocated, medium_freed) + less(native.big_live_count, in.held.big_count) + native.direct_live_count;
  out.allocations +=
      medium_allocated + read(big_allocations_) + in.counters.big_taken + after.big_taken + read(direct_allocations_);
  out.deallocations += medium_freed + big_deallocated + in.counters.big_given + before.big_given + direct_deallocated;
  out.failures = read(failures_);
  out.pressure_events = read(pressure_events_);
  out.served = {.cache = in.counters.hits + after.hits,
                .heap = read(served_heap_),
                .big_cache = read(served_big_),
                .other_passed = read(served_passed_),
                .native = read(served_native_),
                .other_waited = read(served_waited_),
                .direct = read(served_direct_)};
  out.native = reservoir_.calls();
  out.waits_inserted = read(order_.counters().waits_inserted);
  out.waits_fresh = read(order_.counters().waits_fresh);
  return out;
}

// What caches that are gone, and calls past any cache, have counted.
cache::block_counters pool_impl::past_counters() const {
  cache::block_counters sum;
  for (const stream_state* s : streams_.with_pinned()) {
    const std::lock_guard lock(s->mutex);
    for (unsigned i = 0; i < core::class_count; ++i) {
      sum.allocations[i] += s->counters.allocations[i];
      sum.deallocations[i] += s->counters.deallocations[i];
    }
    sum.hits += s->counters.hits;
    sum.medium_taken += s->counters.medium_taken;
    sum.medium_given += s->counters.medium_given;
    sum.big_taken += s->counters.big_taken;
    sum.big_given += s->counters.big_given;
  }
  return sum;
}

// Where the native pool grew, live bytes may be at a peak.
void pool_impl::sample_peak() noexcept {
  const std::size_t reserved = reservoir_.read().reserved;
  if (reserved <= sampled_at_reserved_.exchange(reserved, std::memory_order_relaxed)) return;
  const std::size_t live = read_statistics().allocated;
  std::size_t before = allocated_peak_.load(std::memory_order_relaxed);
  while (before < live && !allocated_peak_.compare_exchange_weak(before, live, std::memory_order_relaxed)) {}
}

namespace {

void visit_slab(const range& slab, std::uint64_t stream, const std::function<void(const block_info&)>& visit) {
  for (unsigned i = 0; i < slab.block_count; ++i) {
    const core::life state = slab.states[i].load(std::memory_order_relaxed);
    const bool in_heap = (slab.free_bits >> i) & 1;
    visit({.pointer = base::pointer(slab.home->at(slab.first) + i * core::class_bytes(slab.index)),
           .bytes = core::class_bytes(slab.index),
           .state = core::is_live(state)         ? block_state::live
                    : state == core::life_cached ? block_state::cached
                    : in_heap                    ? block_state::free
                                                 : block_state::pending,
           .stream_id = stream});
  }
}

block_state state_of(core::life medium) {
  return medium == core::life_cached ? block_state::cached : block_state::live;
}

void visit_region(const core::region& r, std::uint64_t stream, const std::function<void(const block_info&)>& visit) {
  for (std::uint32_t g = 0; g < r.granules;) {
    const range& here = *r.table[g].load(std::memory_order_relaxed);
    const auto kind = here.kind.load(std::memory_order_relaxed);
    if (kind == range_kind::slab) {
      visit_slab(here, stream, visit);
    } else {
      visit({.pointer = base::pointer(r.at(here.first)),
             .bytes = here.count * core::granule_bytes,
             .state = kind == range_kind::medium ? state_of(here.states[0].load(std::memory_order_relaxed))
                      : kind == range_kind::free ? block_state::free
                                                 : block_state::pending,
             .stream_id = stream});
    }
    g += here.count;
  }
}

}  // namespace

void pool_impl::walk(const std::function<void(const block_info&)>& visit) const {
  for (stream_state* s : streams_.with_pinned()) {
    const std::lock_guard lock(s->mutex);
    for (const core::region* r = s->heap.regions().front(); r; r = r->next) visit_region(*r, s->id, visit);
  }
  reservoir_.walk(visit);
}

std::vector<std::string> pool_impl::validate() const {
  std::vector<std::string> broken;
  const auto still = reservoir_.stand_still();
  std::unordered_map<const core::region*, std::size_t> regions;  // one that moves between heaps is counted once
  for (stream_state* s : streams_.with_pinned()) {
    const std::lock_guard lock(s->mutex);
    s->heap.check(broken);
    for (const core::region* r = s->heap.regions().front(); r; r = r->next) regions[r] = r->bytes;
    if (s->passed.load(std::memory_order_relaxed) >= s->current)
      broken.push_back("stream " + std::to_string(s->index) + ": an epoch passed before it was closed");
  }
  reservoir_.check(broken);
  std::size_t held = 0;
  for (const auto& [r, bytes] : regions) held += bytes;
  if (held > reservoir_.read().held) broken.push_back("heaps have more than is held");
  return broken;
}

void pool_impl::report_leaks() noexcept {
  leak_event found;
  found.device = device();
  reservoir_.leaks(found);
  walk([&](const block_info& b) {
    if (b.state != block_state::live || b.direct || b.stream_id == 0) return;
    ++found.count;
    found.bytes += b.bytes;
    if (found.oldest) return;
    found.oldest = b.pointer;
    found.oldest_bytes = b.bytes;
  });
  if (found.count && options_.observer) options_.observer->on_leak(found);
}

}  // namespace weir::detail
