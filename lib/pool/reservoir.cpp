// SPDX-License-Identifier: Apache-2.0
//
// Native calls, and what is given back before more is asked for.
#include "pool/reservoir.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "cache/page_map.hpp"

namespace weir::detail {

using core::big_block;
using core::extent;
using core::region;

reservoir::reservoir(backend& b, const pool_options& options, stream_table& streams, order& o, std::uint64_t pool_id,
                     std::function<void(const stream_state*)> gather)
    : backend_(b),
      options_(options),
      streams_(streams),
      order_(o),
      pool_id_(pool_id),
      gather_(std::move(gather)),
      bytes_max_(options.bytes_max),
      granularity_(b.capabilities().granularity),
      native_max_(b.capabilities().pool_bytes_max),
      shadow_(b.capabilities().chunk_bytes) {}

reservoir::~reservoir() = default;

void reservoir::tell(native_call call, const void* pointer, std::size_t bytes) const noexcept {
  if (!options_.observer) return;
  options_.observer->on_native({.call = call,
                                .pointer = pointer,
                                .bytes = bytes,
                                .reserved = read().reserved,
                                .device = backend_.capabilities().device});
}

// --- native calls ---------------------------------------------------------------------------------------------------

// All with growth_ held.

void reservoir::read_reserved() noexcept {
  const auto bytes = backend_.pool_bytes();
  if (!bytes) return;
  const std::lock_guard lock(mutex_);
  numbers_.reserved = bytes->reserved;
  numbers_.reserved_peak = std::max(numbers_.reserved_peak, bytes->reserved);
  note_native_free();
  note_soft();
}

// What the native pool would have to grow by for a call on that stream, as far as whole chunks tell.
std::size_t reservoir::missing_bytes(std::size_t bytes, const stream_state& on) noexcept {
  const std::size_t elsewhere = frees_.unfinished_elsewhere(on);
  const std::lock_guard lock(mutex_);
  const std::size_t of_use = numbers_.reserved - std::min(numbers_.reserved, elsewhere);
  return shadow_.missing_chunks(bytes, of_use) * shadow_.chunk_bytes();
}

// Keeps the limit. What the shadow map foresees is sure only while the native pool's own limit stands behind it;
// elsewhere the worst case counts, which trimming makes smaller.
result<void> reservoir::make_room(std::size_t bytes, const stream_state& on) noexcept {
  const std::size_t limit = bytes_max();
  if (limit == SIZE_MAX) return {};
  const std::size_t worst = base::round_up(bytes, shadow_.chunk_bytes());
  const auto now = read();
  const bool is_protected = native_max_ != 0 && native_max_ <= limit && now.direct == 0;
  const auto fits = [&](const numbers& n, std::size_t growth) {
    const std::size_t taken = n.reserved + n.direct;
    return taken <= limit && growth <= limit - taken;
  };
  if (fits(now, is_protected ? missing_bytes(bytes, on) : worst)) return {};
  const auto trimmed = trim_locked(0);
  if (!trimmed && trimmed.error().code == errc::device_lost) return trimmed;  // no room is not the reason
  const auto then = read();
  if (fits(then, worst) || (is_protected && fits(then, missing_bytes(bytes, on)))) return {};
  const std::size_t taken = then.reserved + then.direct;
  return error{.code = errc::out_of_memory, .bytes = bytes, .limit = limit > taken ? limit - taken : 0};
}

// Where a call for `caller` is made as things stand: on its stream as long as that has something unfinished in the
// native pool, which may be just what it needs. Not where it has no handle (a capture's), or one that means another
// stream (a per-thread one, elsewhere).
reservoir::native_place reservoir::place_for(const stream_state* caller) noexcept {
  if (!caller || !options_.order.recycle_unfinished || !order_.may_touch(*caller, caller)) return own_place();
  stream_state& on = streams_.at(caller->index);
  if (!frees_.has_unfinished(on)) return own_place();
  order_.look(on, &on);
  return frees_.has_unfinished(on) ? native_place{&on, &on} : own_place();
}

// The same before something is given back, after a look at all streams.
reservoir::native_place reservoir::place_to_recycle(const stream_state* caller) noexcept {
  if (!caller || !options_.order.recycle_unfinished || !order_.may_touch(*caller, caller)) return own_place();
  stream_state& on = streams_.at(caller->index);
  return frees_.has_unfinished(on) || is_ahead_of_device(on) ? native_place{&on, &on} : own_place();
}

// Whether something could be given back if only its own work were done.
bool reservoir::is_ahead_of_device(const stream_state& caller) const noexcept {
  {
    const std::lock_guard lock(mutex_);
    for (const big_block* b : kept_.blocks())
      if (!has_passed(*b) && order_.is_ready(b->tickets, caller)) return true;
  }
  const std::lock_guard lock(caller.mutex);
  return caller.heap.empty_count() > 0 && caller.used > caller.passed.load(std::memory_order_acquire);
}

result<reservoir::native_range> reservoir::allocate_native(std::size_t usual, std::size_t least,
                                                           const stream_state* caller, urgency when) noexcept {
  native_place there = when == urgency::ahead ? own_place() : place_for(caller);
  const bool may_recycle = options_.order.recycle && !has_slack_for(usual, *there.on);
  const bool must = may_recycle || would_pass_soft(missing_bytes(usual, *there.on));
  if (when != urgency::ahead && must && (missing_bytes(usual, *there.on) != 0 || is_keeping_too_much(there))) {
    look_at_all(caller);
    there = place_to_recycle(caller);
    recycle_for(usual, there, caller);
  }
  return call_native(missing_bytes(usual, *there.on) == 0 ? usual : least, *there.on);
}

result<reservoir::native_range> reservoir::call_native(std::size_t bytes, stream_state& on) noexcept {
  if (auto room = make_room(bytes, on); !room) return std::move(room).error();
  const std::size_t reserved = read().reserved;
  auto p = backend_.allocate(bytes, on.handle.load(std::memory_order_acquire));
  if (!p) return std::move(p).error();
  read_reserved();
  calls_allocate_.fetch_add(1, std::memory_order_relaxed);
  const std::uintptr_t at = base::address(*p);
  bool has_grown;
  {
    const std::lock_guard lock(mutex_);
    has_grown = numbers_.reserved > reserved;
    if (has_grown) calls_grow_.fetch_add(1, std::memory_order_relaxed);
    shadow_.add(at, bytes);
    note_native_free();
    numbers_.held += bytes;
    numbers_.reserved = std::max(numbers_.reserved, numbers_.held);  // where a device just lost could not be asked
    numbers_.reserved_peak = std::max(numbers_.reserved_peak, numbers_.reserved);
    numbers_.held_peak = std::max(numbers_.held_peak, numbers_.held);
    numbers_.used_peak = std::max(numbers_.used_peak, numbers_.held - kept_.bytes());
  }
  if (!has_grown) frees_.took(on, bytes);
  tell(native_call::allocate, *p, bytes);
  const std::lock_guard lock(on.mutex);
  return native_range{at, bytes, on.now()};
}

// Gives one extent, which nobody can find any more, back to the native pool. False: it may not be, and is unchanged.
bool reservoir::free_native(extent& e, const core::ticket_set& tickets, const native_place& there) noexcept {
  const auto ordered = order_.make_wait(*there.on, tickets, there.behind);
  if (!ordered || !*ordered) return false;
  cache::page_map::clear(e);
  if (!backend_.deallocate(base::pointer(e.base), there.on->handle.load(std::memory_order_acquire))) {
    enter(e);
    return false;
  }
  calls_deallocate_.fetch_add(1, std::memory_order_relaxed);
  if (there.on->index == 0) {
    const std::lock_guard lock(there.on->mutex);
    there.on->unseen = there.on->now().epoch;
  } else {
    frees_.freed(*there.on, e.bytes);
    // That it has passed only an event can show that is recorded while this call may.
    if (!order_.may_touch(*there.on, nullptr)) there.on->is_asked.store(true, std::memory_order_relaxed);
  }
  {
    const std::lock_guard lock(mutex_);
    shadow_.remove(e.base);
    numbers_.held -= e.bytes;
    if (e.kind == core::extent_kind::big) numbers_.big_claimed -= e.bytes;
    extents_.erase(e.base);
  }
  tell(native_call::deallocate, base::pointer(e.base), e.bytes);
  forget(e);
  return true;
}

bool reservoir::enter(extent& e) noexcept {
  return cache::page_map::set(e, e.kind == core::extent_kind::region ? static_cast<region&>(e).table_of_zero() : 0);
}

void reservoir::forget(extent& e) noexcept {
  const std::lock_guard lock(mutex_);
  if (e.kind == core::extent_kind::region)
    region_unused_.push_back(static_cast<region*>(&e));
  else
    big_unused_.push_back(static_cast<big_block*>(&e));
}

result<void> reservoir::trim_native(std::size_t bytes_to_keep) noexcept {
  const std::lock_guard growth(growth_);
  return trim_locked(bytes_to_keep);
}

// The driver trims what it has seen complete, and of a free it sees that when something behind it is waited for: which
// takes no time where that has passed, nor on our own stream, but where that was made to wait.
void reservoir::show_frees() noexcept {
  stream_state& own = streams_.at(0);
  if (order_.has_unseen(own) && !order_.is_held_up(own)) order_.synchronize(own, &own);
  for (stream_state* s : frees_.streams()) order_.show(*s, nullptr);
}

result<void> reservoir::trim_locked(std::size_t bytes_to_keep) noexcept {
  show_frees();
  calls_trim_.fetch_add(1, std::memory_order_relaxed);
  auto done = backend_.trim(bytes_to_keep);
  read_reserved();
  tell(native_call::trim, nullptr, bytes_to_keep);
  return done;
}

// --- recycling ------------------------------------------------------------------------------------------------------

void reservoir::look_at_all(const stream_state* caller, bool will_record) noexcept {
  for (stream_state* s : streams_.all()) order_.look(*s, caller, will_record ? core::epoch_any : 0);
}

// The kept block to give back: the smallest that is enough by itself, else the largest; nothing else needs so few
// native calls for the same chunks.
bool reservoir::recycle_one_kept(std::size_t missing, const native_place& there) noexcept {
  big_block* victim = nullptr;
  {
    const std::lock_guard lock(mutex_);
    for (big_block* b : kept_.blocks()) {
      if (!may_go(*b, there)) continue;
      victim = b;
      if (b->bytes >= missing) break;
    }
    if (!victim) return false;
    claim(victim);
  }
  if (free_native(*victim, victim->tickets, there)) return true;
  give_back_claim(victim);
  return false;
}

// Whether the pool may grow for it and recycle later: the share of the peak of what was in use that options allow.
bool reservoir::has_slack_for(std::size_t bytes, const stream_state& on) noexcept {
  if (options_.slack <= 0) return false;
  const std::size_t missing = missing_bytes(bytes, on);
  const std::lock_guard lock(mutex_);
  const double allowed = (1 + options_.slack) * static_cast<double>(numbers_.used_peak);
  return static_cast<double>(numbers_.reserved + missing) <= allowed;
}

// Gives back exactly as much as the native pool lacks for `bytes`, while it can.
void reservoir::recycle_for(std::size_t bytes, const native_place& there, const stream_state* caller) noexcept {
  shrink_kept(there);
  bool is_gathered = false;
  for (std::size_t missing = missing_bytes(bytes, *there.on); missing != 0; missing = missing_bytes(bytes, *there.on)) {
    if (recycle_one_kept(missing, there) || release_one_region(there)) continue;
    // The pool will grow. Behind what could not be had now goes an event, so that it can be had once it has passed.
    if (is_gathered) {
      if (has_something_free()) look_at_all(caller, true);
      return;
    }
    gather_(caller);
    is_gathered = true;
  }
}

namespace {

// Of what may be kept, where the caller is ahead of the device: what is given back merges on its stream with what lies
// beside it, and nothing can be remapped there. ARCHITECTURE.md, "Ahead of the device".
constexpr double share_kept_ahead = 0.25;

}  // namespace

bool reservoir::is_keeping_too_much(const native_place& there) const noexcept {
  const std::lock_guard lock(mutex_);
  const double share = options_.big_cache_share * (there.behind ? share_kept_ahead : 1);
  const double bound = share * static_cast<double>(numbers_.big_live_peak);
  return static_cast<double>(kept_.bytes()) > bound;
}

// The bound on kept blocks: too many leave the native pool no contiguous memory, and every miss becomes a remap. The
// oldest go first.
void reservoir::shrink_kept(const native_place& there) noexcept {
  while (is_keeping_too_much(there) && release_oldest_kept(there)) {}
}

std::size_t reservoir::release_free(bool wait, const stream_state* caller) noexcept {
  const std::lock_guard growth(growth_);
  look_at_all(caller);
  const native_place there{&streams_.at(0), caller};
  std::size_t released = 0;
  std::vector<big_block*> kept;
  {
    const std::lock_guard lock(mutex_);
    for (big_block* b : kept_.blocks())
      if (wait || has_passed(*b)) kept.push_back(b);
    for (big_block* b : kept) claim(b);
  }
  for (big_block* b : kept) {
    const std::size_t bytes = b->bytes;
    if (free_native(*b, b->tickets, there))
      released += bytes;
    else
      give_back_claim(b);
  }
  for (stream_state* s : streams_.all()) {
    std::vector<core::heap::emptied> stuck;
    for (;;) {
      core::heap::emptied empty;
      {
        const std::lock_guard lock(s->mutex);
        empty = s->heap.remove_empty(wait ? order_.waitable(*s, caller) : s->passed.load(std::memory_order_acquire));
      }
      if (!empty.where) break;
      const std::size_t bytes = empty.where->bytes;
      if (free_native(*empty.where, core::ticket{s->index, empty.last}, there))
        released += bytes;
      else
        stuck.push_back(empty);
    }
    const std::lock_guard lock(s->mutex);
    for (const auto& [r, last] : stuck) s->heap.add_region(r, last);
  }
  return released;
}

}  // namespace weir::detail
