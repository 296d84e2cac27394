// SPDX-License-Identifier: Apache-2.0
//
// Looking at a pool: statistics, walking its blocks, checking its invariants, finding what was not freed.
#include "pool/pool_impl.hpp"

namespace weir::detail {

namespace {

using core::range;
using core::range_kind;

struct small_numbers {
  cache::block_counters counters;
  std::array<std::uint64_t, core::class_count> held{};  // in caches
};

small_numbers small_of(const stream_state& s) {
  small_numbers n;
  std::vector<std::shared_ptr<cache::block_cache>> caches;
  {
    const std::lock_guard lock(s.mutex);
    n.counters = s.counters;
    caches = s.caches;
  }
  for (const auto& c : caches) c->sum(n.counters, n.held);
  return n;
}

// Read before allocations are, and before the list of their streams: a block that another thread frees in between was
// counted as allocated, then, and never fewer than none are live.
std::array<std::uint64_t, core::class_count> deallocations_of(const std::vector<stream_state*>& streams) {
  std::array<std::uint64_t, core::class_count> all{};
  for (const stream_state* s : streams) {
    const small_numbers n = small_of(*s);
    for (unsigned i = 0; i < core::class_count; ++i) all[i] += n.counters.deallocations[i];
  }
  return all;
}

std::size_t bytes_of(const std::array<std::uint64_t, core::class_count>& counts) {
  std::size_t bytes = 0;
  for (unsigned i = 0; i < core::class_count; ++i) bytes += counts[i] * core::class_bytes(i);
  return bytes;
}

void add(std::array<std::uint64_t, core::class_count>& to, const std::array<std::uint64_t, core::class_count>& more) {
  for (unsigned i = 0; i < core::class_count; ++i) to[i] += more[i];
}

void add_cuts(statistics& to, const stream_state& s) {
  const std::lock_guard lock(s.mutex);
  to.splits += s.heap.splits();
  to.merges += s.heap.merges();
}

}  // namespace

statistics pool_impl::read_statistics() const {
  statistics out;
  small_numbers small;
  small.counters.deallocations = deallocations_of(streams_.all());
  const std::uint64_t others_deallocated = medium_deallocations_.load(std::memory_order_acquire) +
                                           big_deallocations_.load(std::memory_order_acquire) +
                                           direct_deallocations_.load(std::memory_order_acquire);
  const std::uint64_t medium_deallocated = medium_deallocations_.load(std::memory_order_acquire);
  for (const stream_state* s : streams_.all()) {
    const small_numbers n = small_of(*s);
    add(small.counters.allocations, n.counters.allocations);
    add(small.held, n.held);
    small.counters.hits += n.counters.hits;
    add_cuts(out, *s);
    if (s->index == 0) continue;
    stream_statistics of;
    of.id = s->id;
    of.cached = bytes_of(n.held);
    of.retired = !s->owner.load(std::memory_order_acquire);
    const std::lock_guard lock(s->mutex);
    of.held = s->heap.bytes_held();
    of.free = s->heap.bytes_free();
    of.pending = s->heap.bytes_pending();
    out.largest_free = std::max(out.largest_free, s->heap.bytes_largest());
    out.pending += of.pending;
    out.streams.push_back(of);
  }
  const reservoir::numbers native = reservoir_.read();
  out.pools = 1;
  out.cached = bytes_of(small.held);
  out.direct = native.direct;
  for (unsigned i = 0; i < core::class_count; ++i) {
    const std::uint64_t live = small.counters.allocations[i] - small.counters.deallocations[i];
    out.classes.push_back({core::class_bytes(i), live, small.held[i]});
    out.allocated += live * core::class_bytes(i);
    out.live_count += live;
    out.allocations += small.counters.allocations[i];
    out.deallocations += small.counters.deallocations[i];
  }
  const std::size_t in_pool = out.allocated + medium_live_.load(std::memory_order_relaxed) + native.big_live;
  out.allocated = in_pool + native.direct;
  out.held = native.held;
  out.free = native.held - std::min(native.held, in_pool);
  out.reserved = native.reserved;
  out.pending += reservoir_.kept_pending();
  out.largest_free = std::max(out.largest_free, native.big_kept_largest);
  // Slab blocks in heaps are free and in no range: where they are all there is, none is one range.
  if (out.free > 0)
    out.fragmentation = 1 - static_cast<double>(std::min(out.largest_free, out.free)) / static_cast<double>(out.free);
  out.held_peak = native.held_peak;
  out.reserved_peak = native.reserved_peak;
  out.allocated_peak = std::max(allocated_peak_.load(std::memory_order_relaxed), out.allocated);

  const auto read = [](const std::atomic<std::uint64_t>& c) { return c.load(std::memory_order_relaxed); };
  out.live_count += read(medium_allocations_) - medium_deallocated + native.big_live_count + native.direct_live_count;
  out.allocations += read(medium_allocations_) + read(big_allocations_) + read(direct_allocations_);
  out.deallocations += others_deallocated;
  out.failures = read(failures_);
  out.pressure_events = read(pressure_events_);
  out.served = {.cache = small.counters.hits,
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

// Where something native was needed, live bytes may be at a peak.
void pool_impl::sample_peak() noexcept {
  std::size_t live = medium_live_.load(std::memory_order_relaxed);
  const std::size_t deallocated = bytes_of(deallocations_of(streams_.all()));
  for (const stream_state* s : streams_.all()) live += bytes_of(small_of(*s).counters.allocations);
  live -= deallocated;
  const reservoir::numbers native = reservoir_.read();
  live += native.big_live + native.direct;
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

void visit_region(const core::region& r, std::uint64_t stream, const std::function<void(const block_info&)>& visit) {
  for (std::uint32_t g = 0; g < r.granules;) {
    const range& here = *r.table[g].load(std::memory_order_relaxed);
    const auto kind = here.kind.load(std::memory_order_relaxed);
    if (kind == range_kind::slab) {
      visit_slab(here, stream, visit);
    } else {
      visit({.pointer = base::pointer(r.at(here.first)),
             .bytes = here.count * core::granule_bytes,
             .state = kind == range_kind::medium ? block_state::live
                      : kind == range_kind::free ? block_state::free
                                                 : block_state::pending,
             .stream_id = stream});
    }
    g += here.count;
  }
}

}  // namespace

void pool_impl::walk(const std::function<void(const block_info&)>& visit) const {
  for (stream_state* s : streams_.all()) {
    const std::lock_guard lock(s->mutex);
    for (const core::region* r = s->heap.regions().front(); r; r = r->next) visit_region(*r, s->id, visit);
  }
  reservoir_.walk(visit);
}

std::vector<std::string> pool_impl::validate() const {
  std::vector<std::string> broken;
  const auto still = reservoir_.stand_still();
  std::unordered_map<const core::region*, std::size_t> regions;  // one that moves between heaps is counted once
  for (stream_state* s : streams_.all()) {
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
