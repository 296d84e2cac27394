// SPDX-License-Identifier: Apache-2.0
//
// Direct allocations, the limit, and what a reservoir tells of itself.
#include <algorithm>

#include "cache/page_map.hpp"
#include "pool/reservoir.hpp"

namespace weir::detail {

using core::big_block;

// --- direct ---------------------------------------------------------------------------------------------------------

result<void*> reservoir::allocate_direct(std::size_t bytes, std::size_t alignment) noexcept {
  // What comes from the driver is aligned as every block is; for more there must be room to move the begin.
  const std::size_t taken = bytes + (alignment > core::unit_bytes ? alignment - core::unit_bytes : 0);
  const std::lock_guard growth(growth_);
  const std::size_t limit = bytes_max();
  const auto fits = [&] {
    const auto n = read();
    const std::size_t used = n.reserved + n.direct;
    return used <= limit && taken <= limit - used;
  };
  if (!fits()) (void)trim_locked(0).has_value();
  if (would_pass_soft(taken)) make_soft_room(taken);
  if (!fits()) {
    const auto n = read();
    const std::size_t used = n.reserved + n.direct;
    return error{.code = errc::out_of_memory, .bytes = bytes, .limit = limit > used ? limit - used : 0};
  }
  auto p = backend_.allocate_direct(taken);
  if (!p) return p;
  void* const begin = base::pointer(base::round_up(base::address(*p), alignment));
  {
    const std::lock_guard lock(mutex_);
    direct_[base::address(begin)] = {bytes, ++sequence_, *p, taken};
    numbers_.direct += taken;
    ++numbers_.direct_live_count;
    note_soft();
  }
  tell(native_call::direct_allocate, *p, taken);
  return begin;
}

bool reservoir::has_direct(const void* p) const noexcept {
  const std::lock_guard lock(mutex_);
  return direct_.contains(base::address(p));
}

std::size_t reservoir::direct_bytes_of(const void* p) const noexcept {
  const std::lock_guard lock(mutex_);
  const auto at = direct_.find(base::address(p));
  return at == direct_.end() ? 0 : at->second.bytes;
}

// It leaves the table first, so that two frees cannot both reach the backend; and comes back if that refuses.
result<std::size_t> reservoir::deallocate_direct(void* p) noexcept {
  direct_block was;
  {
    const std::lock_guard lock(mutex_);
    const auto at = direct_.find(base::address(p));
    if (at == direct_.end()) return error{.code = errc::foreign_pointer};
    was = at->second;
    direct_.erase(at);
  }
  if (auto done = backend_.deallocate_direct(was.native); !done) {
    const std::lock_guard lock(mutex_);
    direct_[base::address(p)] = was;
    return std::move(done).error();
  }
  {
    const std::lock_guard lock(mutex_);
    numbers_.direct -= was.taken;
    --numbers_.direct_live_count;
    note_soft();
  }
  tell(native_call::direct_deallocate, was.native, was.taken);
  return was.bytes;
}

// --- limit, numbers -------------------------------------------------------------------------------------------------

result<void> reservoir::set_bytes_max(std::size_t limit) noexcept {
  if (limit < shadow_.chunk_bytes())
    return error{.code = errc::invalid_argument, .bytes = limit, .what = "bytes_max, below one chunk"};
  const auto fits = [&] {
    const auto n = read();
    return n.reserved + n.direct <= limit;
  };
  const std::lock_guard growth(growth_);
  if (!fits()) (void)trim_locked(0).has_value();
  if (!fits()) {
    const auto n = read();
    return error{.code = errc::limit_below_live, .bytes = limit, .limit = n.reserved + n.direct};
  }
  bytes_max_.store(limit, std::memory_order_relaxed);
  return {};
}

reservoir::numbers reservoir::read() const noexcept {
  const std::lock_guard lock(mutex_);
  numbers n = numbers_;
  n.big_kept = kept_.bytes();
  n.big_kept_largest = kept_.bytes_largest();
  n.touched = shadow_.touched_chunks() * shadow_.chunk_bytes();
  return n;
}

std::size_t reservoir::kept_pending() const noexcept {
  const std::lock_guard lock(mutex_);
  std::size_t bytes = 0;
  for (const big_block* b : kept_.blocks())
    if (!b->tickets.all([&](core::ticket t) { return order_.has_passed(t); })) bytes += b->bytes;
  return bytes;
}

native_counts reservoir::calls() const noexcept {
  native_counts c;
  c.allocate = calls_allocate_.load(std::memory_order_relaxed);
  c.deallocate = calls_deallocate_.load(std::memory_order_relaxed);
  c.grow = calls_grow_.load(std::memory_order_relaxed);
  c.trim = calls_trim_.load(std::memory_order_relaxed);
  const order_counters& o = order_.counters();
  c.record = o.record.load(std::memory_order_relaxed);
  c.query = o.query.load(std::memory_order_relaxed);
  c.wait = o.wait.load(std::memory_order_relaxed);
  c.synchronize = o.synchronize.load(std::memory_order_relaxed);
  return c;
}

void reservoir::walk(const std::function<void(const block_info&)>& visit) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [at, e] : extents_) {
    if (e->kind != core::extent_kind::big) continue;
    const auto* b = static_cast<const big_block*>(e);
    const core::life state = b->state.load(std::memory_order_relaxed);
    const bool live = core::is_live(state);
    const bool passed = b->tickets.all([&](core::ticket t) { return order_.has_passed(t); });
    // What an alignment cost in front of a live block is free, but nobody's.
    const std::uintptr_t begin = live ? b->begin : b->base;
    if (begin != b->base)
      visit({.pointer = base::pointer(b->base), .bytes = begin - b->base, .state = block_state::free});
    visit({.pointer = base::pointer(begin),
           .bytes = b->base + b->bytes - begin,
           .state = live                         ? block_state::live
                    : state == core::life_cached ? block_state::cached
                    : passed                     ? block_state::free
                                                 : block_state::pending});
  }
  for (const auto& [at, d] : direct_)
    visit({.pointer = base::pointer(at), .bytes = d.bytes, .state = block_state::live, .direct = true});
}

void reservoir::check(std::vector<std::string>& broken) const {
  const std::lock_guard lock(mutex_);
  std::size_t held = 0, live = 0, kept = 0;
  for (const auto& [at, e] : extents_) {
    held += e->bytes;
    if (e->pool != pool_id_ || e->base != at) broken.push_back("reservoir: an extent under a wrong name");
    if (cache::page_map::find(e->base) != e || cache::page_map::find(e->base + e->reach - 1) != e)
      broken.push_back("reservoir: an extent the page map does not lead to");
    if (e->kind != core::extent_kind::big) continue;
    const bool is_out = static_cast<const big_block*>(e)->state.load(std::memory_order_relaxed) != core::life_free;
    (is_out ? live : kept) += e->bytes;
  }
  if (held != numbers_.held) broken.push_back("reservoir: held is not the sum of native allocations");
  if (live != numbers_.big_live) broken.push_back("reservoir: big_live is not the sum of live big blocks");
  if (kept != kept_.bytes() + numbers_.big_claimed) broken.push_back("reservoir: a big block is neither live nor kept");
  if (shadow_.count() != extents_.size()) broken.push_back("reservoir: the shadow map misses an allocation");
  if (held > numbers_.reserved) broken.push_back("reservoir: more held than reserved");
  if (numbers_.reserved + numbers_.direct > bytes_max()) broken.push_back("reservoir: the limit is passed");
}

void reservoir::leaks(leak_event& found) const noexcept {
  std::uint64_t oldest = UINT64_MAX;
  const auto add = [&](std::uintptr_t at, std::size_t bytes, std::uint64_t sequence) {
    ++found.count;
    found.bytes += bytes;
    if (sequence > oldest) return;
    oldest = sequence;
    found.oldest = base::pointer(at);
    found.oldest_bytes = bytes;
  };
  const std::lock_guard lock(mutex_);
  for (const auto& [at, e] : extents_) {
    const auto* b = e->kind == core::extent_kind::big ? static_cast<const big_block*>(e) : nullptr;
    if (b && core::is_live(b->state.load(std::memory_order_relaxed))) add(b->begin, b->bytes, b->sequence);
  }
  for (const auto& [at, d] : direct_) add(at, d.bytes, d.sequence);
}

void reservoir::release_all() noexcept {
  const std::lock_guard growth(growth_);
  for (const auto& [at, e] : extents_) {
    cache::page_map::clear(*e);
    (void)backend_.deallocate(base::pointer(at), backend_.own_stream()).has_value();
  }
  extents_.clear();
  for (const auto& [at, d] : direct_) (void)backend_.deallocate_direct(d.native).has_value();
  direct_.clear();
}

void reservoir::abandon() noexcept {
  for (const auto& [at, e] : extents_) cache::page_map::clear(*e);
}

}  // namespace weir::detail
