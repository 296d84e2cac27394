// SPDX-License-Identifier: Apache-2.0
#include "pool/reservoir.hpp"

#include <algorithm>
#include <bit>

#include "base/assert.hpp"
#include "cache/page_map.hpp"

namespace weir::detail {

using core::big_block;
using core::extent;
using core::region;

namespace {

constexpr std::size_t fit_max(std::size_t bytes, double slack) noexcept {
  return bytes + static_cast<std::size_t>(static_cast<double>(bytes) * slack);
}

// The size of a native block for a request: room to move its begin where more alignment is asked for than native ones
// have, and rounded to a 32nd to a 64th of itself. That wastes 3 % at most, and lets blocks that grow a little at every
// step (key-value caches) meet the blocks that were freed: without it nearly every one of them costs a remap.
std::size_t native_bytes(std::size_t bytes, std::size_t alignment, std::size_t granularity) noexcept {
  const std::size_t room = alignment > granularity ? alignment - granularity : 0;
  const std::size_t step = std::max(std::bit_floor((bytes + room) / 32), granularity);
  return base::round_up(bytes + room, step);
}

}  // namespace

reservoir::reservoir(backend& b, const pool_options& options, stream_table& streams, order& o, std::uint64_t pool_id,
                     std::function<void(const stream_state*)> gather)
    : backend_(b),
      options_(options),
      streams_(streams),
      order_(o),
      pool_id_(pool_id),
      gather_(std::move(gather)),
      bytes_max_(options.bytes_max),
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

core::ticket reservoir::fresh() noexcept {
  stream_state& own = streams_.at(0);
  const std::lock_guard lock(own.mutex);
  return own.now();
}

// --- native calls ---------------------------------------------------------------------------------------------------

// All with growth_ held.

void reservoir::read_reserved() noexcept {
  const auto bytes = backend_.pool_bytes();
  if (!bytes) return;
  const std::lock_guard lock(mutex_);
  numbers_.reserved = bytes->reserved;
  numbers_.reserved_peak = std::max(numbers_.reserved_peak, bytes->reserved);
}

std::size_t reservoir::missing_bytes(std::size_t bytes) const noexcept {
  const std::lock_guard lock(mutex_);
  return shadow_.missing_chunks(bytes, numbers_.reserved) * shadow_.chunk_bytes();
}

// Keeps the limit. What the shadow map foresees is sure only while the native pool's own limit stands behind it;
// elsewhere the worst case counts, which trimming makes smaller.
result<void> reservoir::make_room(std::size_t bytes, const stream_state* caller) noexcept {
  const std::size_t limit = bytes_max();
  if (limit == SIZE_MAX) return {};
  const std::size_t worst = base::round_up(bytes, shadow_.chunk_bytes());
  const auto now = read();
  const bool is_protected = native_max_ != 0 && native_max_ <= limit && now.direct == 0;
  const auto fits = [&](const numbers& n, std::size_t growth) {
    const std::size_t taken = n.reserved + n.direct;
    return taken <= limit && growth <= limit - taken;
  };
  if (fits(now, is_protected ? missing_bytes(bytes) : worst)) return {};
  (void)trim_locked(0).has_value();
  (void)caller;
  const auto then = read();
  if (fits(then, worst) || (is_protected && fits(then, missing_bytes(bytes)))) return {};
  const std::size_t taken = then.reserved + then.direct;
  return error{.code = errc::out_of_memory, .bytes = bytes, .limit = limit > taken ? limit - taken : 0};
}

result<reservoir::native_range> reservoir::allocate_native(std::size_t bytes, const stream_state* caller) noexcept {
  if (options_.order.recycle) recycle_for(bytes, caller);
  if (auto room = make_room(bytes, caller); !room) return std::move(room).error();
  const std::size_t reserved = read().reserved;
  auto p = backend_.allocate(bytes, backend_.own_stream());
  if (!p) return std::move(p).error();
  read_reserved();
  calls_allocate_.fetch_add(1, std::memory_order_relaxed);
  const std::uintptr_t at = base::address(*p);
  {
    const std::lock_guard lock(mutex_);
    if (numbers_.reserved > reserved) calls_grow_.fetch_add(1, std::memory_order_relaxed);
    shadow_.add(at, bytes);
    numbers_.held += bytes;
    numbers_.held_peak = std::max(numbers_.held_peak, numbers_.held);
  }
  tell(native_call::allocate, *p, bytes);
  return native_range{at, bytes};
}

// Gives one extent, which nobody can find any more, back to the native pool. False: it may not be, and is unchanged.
bool reservoir::free_native(extent& e, const core::ticket_set& tickets, const stream_state* caller) noexcept {
  const auto ordered = order_.make_wait(streams_.at(0), tickets, caller);
  if (!ordered || !*ordered) return false;
  cache::page_map::clear(e);
  if (!backend_.deallocate(base::pointer(e.base), backend_.own_stream())) {
    cache::page_map::set(e);
    return false;
  }
  calls_deallocate_.fetch_add(1, std::memory_order_relaxed);
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

result<void> reservoir::trim_locked(std::size_t bytes_to_keep) noexcept {
  calls_trim_.fetch_add(1, std::memory_order_relaxed);
  auto done = backend_.trim(bytes_to_keep);
  read_reserved();
  tell(native_call::trim, nullptr, bytes_to_keep);
  return done;
}

// --- recycling ------------------------------------------------------------------------------------------------------

void reservoir::look_at_all(const stream_state* caller) noexcept {
  for (stream_state* s : streams_.all()) order_.look(*s, caller);
}

// The kept block to give back: the smallest that is enough by itself, else the largest; nothing else needs so few
// native calls for the same chunks.
bool reservoir::recycle_one_kept(std::size_t missing) noexcept {
  big_block* victim = nullptr;
  {
    const std::lock_guard lock(mutex_);
    for (big_block* b : kept_.blocks()) {
      if (!b->tickets.all([&](core::ticket t) { return order_.has_passed(t); })) continue;
      victim = b;
      if (b->bytes >= missing) break;
    }
    if (!victim) return false;
    claim(victim);
  }
  if (free_native(*victim, victim->tickets, nullptr)) return true;
  give_back_claim(victim);
  return false;
}

bool reservoir::recycle_one_region() noexcept {
  for (stream_state* s : streams_.all()) {
    core::heap::emptied empty;
    {
      const std::lock_guard lock(s->mutex);
      empty = s->heap.remove_empty(s->passed.load(std::memory_order_acquire));
    }
    if (!empty.where) continue;
    if (free_native(*empty.where, core::ticket{s->index, empty.last}, nullptr)) return true;
    const std::lock_guard lock(s->mutex);
    s->heap.add_region(empty.where, empty.last);
    return false;
  }
  return false;
}

// Gives back exactly as much as the native pool lacks for `bytes`, while it can.
void reservoir::recycle_for(std::size_t bytes, const stream_state* caller) noexcept {
  if (missing_bytes(bytes) == 0 && !is_keeping_too_much()) return;
  look_at_all(caller);
  shrink_kept();
  bool is_gathered = false;
  for (std::size_t missing = missing_bytes(bytes); missing != 0; missing = missing_bytes(bytes)) {
    if (recycle_one_kept(missing) || recycle_one_region()) continue;
    if (is_gathered) return;
    gather_(caller);
    is_gathered = true;
  }
}

bool reservoir::is_keeping_too_much() const noexcept {
  const std::lock_guard lock(mutex_);
  const double bound = options_.big_cache_share * static_cast<double>(numbers_.big_live_peak);
  return static_cast<double>(kept_.bytes()) > bound;
}

// The bound on kept blocks: too many leave the native pool no contiguous memory, and every miss becomes a remap. The
// oldest go first.
void reservoir::shrink_kept() noexcept {
  while (is_keeping_too_much()) {
    big_block* oldest = nullptr;
    {
      const std::lock_guard lock(mutex_);
      for (big_block* b : kept_.blocks())
        if ((!oldest || b->sequence < oldest->sequence) &&
            b->tickets.all([&](core::ticket t) { return order_.has_passed(t); }))
          oldest = b;
      if (!oldest) return;
      claim(oldest);
    }
    if (!free_native(*oldest, oldest->tickets, nullptr)) return give_back_claim(oldest);
  }
}

std::size_t reservoir::release_free(bool wait, const stream_state* caller) noexcept {
  const std::lock_guard growth(growth_);
  look_at_all(caller);
  std::size_t released = 0;
  std::vector<big_block*> kept;
  {
    const std::lock_guard lock(mutex_);
    for (big_block* b : kept_.blocks())
      if (wait || b->tickets.all([&](core::ticket t) { return order_.has_passed(t); })) kept.push_back(b);
    for (big_block* b : kept) claim(b);
  }
  for (big_block* b : kept) {
    const std::size_t bytes = b->bytes;
    if (free_native(*b, b->tickets, caller))
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
      if (free_native(*empty.where, core::ticket{s->index, empty.last}, caller))
        released += bytes;
      else
        stuck.push_back(empty);
    }
    const std::lock_guard lock(s->mutex);
    for (const auto& [r, last] : stuck) s->heap.add_region(r, last);
  }
  return released;
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
void reservoir::begin_live(big_block& b, std::size_t bytes, std::size_t alignment, core::life state) noexcept {
  b.begin = base::round_up(b.base, alignment);
  b.asked = bytes;
  b.tickets = {};
  b.sequence = ++sequence_;
  numbers_.big_live += b.bytes;
  numbers_.big_live_peak = std::max(numbers_.big_live_peak, numbers_.big_live);
  ++numbers_.big_live_count;
  b.state.store(state, std::memory_order_relaxed);
}

big_block* reservoir::take_kept(std::size_t bytes, std::size_t alignment, const stream_state& taker,
                                core::life state) noexcept {
  const std::size_t need = native_bytes(bytes, alignment, backend_.capabilities().granularity);
  const std::lock_guard lock(mutex_);
  big_block* b = kept_.find(need, fit_max(need, options_.big_cache_fit),
                            [&](const core::ticket_set& tickets) { return order_.is_ready(tickets, taker); });
  if (!b) return nullptr;
  kept_.remove(b);
  begin_live(*b, bytes, alignment, state);
  return b;
}

big_block* reservoir::claim_kept(std::size_t bytes, std::size_t alignment) noexcept {
  const std::size_t need = native_bytes(bytes, alignment, backend_.capabilities().granularity);
  const std::lock_guard lock(mutex_);
  // A block far too large would be pinned by what fits in its corner; given back, its chunks serve the same request.
  big_block* b = kept_.find(need, fit_max(need, options_.big_cache_fit), [](const core::ticket_set&) { return true; });
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

void reservoir::publish_claim(big_block* b, std::size_t bytes, std::size_t alignment, core::life state) noexcept {
  const std::lock_guard lock(mutex_);
  numbers_.big_claimed -= b->bytes;
  begin_live(*b, bytes, alignment, state);
}

void reservoir::look_at_fits(std::size_t bytes, const stream_state* caller) noexcept {
  core::ticket_set behind;
  {
    const std::lock_guard lock(mutex_);
    (void)kept_.find(bytes, fit_max(bytes, options_.big_cache_fit), [&](const core::ticket_set& tickets) {
      behind.add(tickets);
      return false;
    });
  }
  order_.look(behind, caller, true);
}

bool reservoir::keep(big_block* b, core::ticket_set tickets) noexcept {
  const std::lock_guard lock(mutex_);
  if (!core::is_live(b->state.load(std::memory_order_relaxed))) return false;
  b->state.store(core::life_free, std::memory_order_relaxed);
  b->tickets = std::move(tickets);
  b->sequence = ++sequence_;
  numbers_.big_live -= b->bytes;
  --numbers_.big_live_count;
  kept_.insert(b);
  return true;
}

result<big_block*> reservoir::grow_big(std::size_t bytes, std::size_t alignment, const stream_state* caller) noexcept {
  const std::lock_guard growth(growth_);
  auto native = allocate_native(native_bytes(bytes, alignment, backend_.capabilities().granularity), caller);
  if (!native) return std::move(native).error();
  big_block* b = new_big();
  b->pool = pool_id_;
  b->base = native->base;
  b->bytes = native->bytes;
  b->state.store(core::life_free, std::memory_order_relaxed);
  b->tickets = fresh();
  {
    const std::lock_guard lock(mutex_);
    extents_[b->base] = b;
    numbers_.big_claimed += b->bytes;
  }
  if (cache::page_map::set(*b)) return b;
  (void)free_native(*b, {}, caller);
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
    r->granules = granules;
    r->table = std::make_unique<std::atomic<core::range*>[]>(granules);
  }
  for (std::uint32_t g = 0; g < granules; ++g) r->table[g].store(nullptr, std::memory_order_relaxed);
  return r;
}

result<region*> reservoir::grow_region(std::size_t bytes, const stream_state* caller) noexcept {
  const std::lock_guard growth(growth_);
  const std::size_t chunk = shadow_.chunk_bytes();
  // Native ones begin at 512 bytes, granules at their own size: room for what that may cost, where the region would
  // else hold one block less of the size it is made for.
  const std::size_t slack = core::granule_bytes;
  const bool divides = options_.region_bytes % base::round_up(bytes, slack) == 0 && bytes > core::small_bytes_max;
  const std::size_t least = base::round_up(bytes + slack, chunk);
  const std::size_t want = std::max(options_.region_bytes + (divides ? slack : 0), least);
  auto native = allocate_native(want, caller);
  // Where there is no room for the usual size, the smallest that serves is better than none.
  if (!native && native.error().code == errc::out_of_memory && least < want) native = allocate_native(least, caller);
  if (!native) return std::move(native).error();
  const std::uintptr_t begin = base::round_up(native->base, core::granule_bytes);
  const std::uintptr_t end = base::round_down(native->base + native->bytes, core::granule_bytes);
  region* r = new_region(static_cast<std::uint32_t>((end - begin) / core::granule_bytes));
  r->pool = pool_id_;
  r->base = native->base;
  r->begin = begin;
  r->bytes = native->bytes;
  {
    const std::lock_guard lock(mutex_);
    r->sequence = ++sequence_;
    extents_[r->base] = r;
  }
  if (cache::page_map::set(*r)) return r;
  (void)free_native(*r, {}, caller);
  return error{.code = errc::out_of_memory, .bytes = bytes, .what = "host memory for the page map"};
}

// A region that nobody could be made to wait for joins the reservoir's own heap, where adopt_region finds it.
void reservoir::shelve(region* r) noexcept {
  stream_state& own = streams_.at(0);
  const std::lock_guard lock(own.mutex);
  own.heap.add_region(r, own.current);
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
    const bool live = core::is_live(b->state.load(std::memory_order_relaxed));
    const bool passed = b->tickets.all([&](core::ticket t) { return order_.has_passed(t); });
    // What an alignment cost in front of a live block is free, but nobody's.
    const std::uintptr_t begin = live ? b->begin : b->base;
    if (begin != b->base)
      visit({.pointer = base::pointer(b->base), .bytes = begin - b->base, .state = block_state::free});
    visit({.pointer = base::pointer(begin),
           .bytes = b->base + b->bytes - begin,
           .state = live     ? block_state::live
                    : passed ? block_state::free
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
    if (cache::page_map::find(e->base) != e || cache::page_map::find(e->base + e->bytes - 1) != e)
      broken.push_back("reservoir: an extent the page map does not lead to");
    if (e->kind != core::extent_kind::big) continue;
    const bool is_live = core::is_live(static_cast<const big_block*>(e)->state.load(std::memory_order_relaxed));
    (is_live ? live : kept) += e->bytes;
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
