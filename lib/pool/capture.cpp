// SPDX-License-Identifier: Apache-2.0
//
// Memory for CUDA graphs: scopes, shares, and where allocations of a scope come from.
#include "weir/capture.hpp"

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "pool/pinned_memory.hpp"
#include "pool/pool_impl.hpp"

namespace weir {

// --- shares ---------------------------------------------------------------------------------------------------------

graph_memory::graph_memory(std::shared_ptr<detail::pinned_memory> memory) noexcept : memory_(std::move(memory)) {
  if (memory_) memory_->add_share();
}

graph_memory::graph_memory(const graph_memory& other) noexcept : graph_memory(other.memory_) {}
graph_memory::graph_memory(graph_memory&& other) noexcept : memory_(std::move(other.memory_)) {}

graph_memory& graph_memory::operator=(graph_memory other) noexcept {
  std::swap(memory_, other.memory_);
  return *this;
}

graph_memory::~graph_memory() {
  if (memory_) memory_->drop_share(nullptr);
}

std::size_t graph_memory::bytes() const noexcept { return memory_ ? memory_->bytes() : 0; }

namespace {

template <class Stream>
result<void> release_after(std::shared_ptr<detail::pinned_memory> memory, const Stream& after) noexcept {
  if (!memory) return {};
  detail::pool_impl* const pool = memory->pool();
  if (!pool) {
    memory->drop_share(nullptr);
    return {};
  }
  auto on = pool->resolve(after);
  memory->drop_share(on ? *on : nullptr);
  if (!on) return std::move(on).error();
  return {};
}

}  // namespace

result<void> graph_memory::release(const stream& after) noexcept {
  return release_after(std::exchange(memory_, nullptr), after);
}

result<void> graph_memory::release(raw_stream after) noexcept {
  return release_after(std::exchange(memory_, nullptr), after);
}

// --- scopes ---------------------------------------------------------------------------------------------------------

capture_scope::capture_scope(graph_memory memory, stream on) noexcept
    : memory_(std::move(memory)), on_(std::move(on)) {}
capture_scope::capture_scope(capture_scope&&) noexcept = default;

capture_scope& capture_scope::operator=(capture_scope&& other) noexcept {
  if (this == &other) return *this;
  end();
  memory_ = std::move(other.memory_);
  on_ = std::move(other.on_);
  return *this;
}

capture_scope::~capture_scope() { end(); }

void capture_scope::end() noexcept {
  if (!memory_) return;
  memory_.shared()->close(*on_.state());
  memory_ = {};
  on_ = {};
}

}  // namespace weir

namespace weir::detail {

// --- pinned_memory --------------------------------------------------------------------------------------------------

void pinned_memory::add_share() noexcept {
  const std::lock_guard lock(mutex_);
  ++shares_;
}

void pinned_memory::drop_share(stream_state* after) noexcept {
  const std::lock_guard lock(mutex_);
  if (after && released_on_ && released_on_ != after) must_wait_ = true;
  if (after) released_on_ = after;
  if (--shares_ == 0) end(after);
}

// One event is behind the work of one stream.
void pinned_memory::end(stream_state* after) noexcept {
  if (!pool_) return;
  if (must_wait_ || released_on_ != after) after = nullptr;
  std::vector<stream_state*> states;
  for (const arena& a : arenas_) states.push_back(a.state);
  arenas_.clear();
  pool_->unpin(states, after);
}

result<void> pinned_memory::open(stream_state& s, const pool_impl& pool) noexcept {
  const std::lock_guard lock(mutex_);
  if (pool_ != &pool) return error{.code = errc::invalid_argument, .what = "graph memory of another pool"};
  if (s.arena.load(std::memory_order_acquire))
    return error{.code = errc::invalid_argument, .what = "a capture scope is open on this stream"};
  // The one it had before, else any that no open scope has: what is free there was freed in an earlier capture.
  const auto idle = [](const arena& a) { return !a.user; };
  auto found =
      std::find_if(arenas_.begin(), arenas_.end(), [&](const arena& a) { return idle(a) && a.last_user == &s; });
  if (found == arenas_.end()) found = std::find_if(arenas_.begin(), arenas_.end(), idle);
  if (found == arenas_.end()) found = arenas_.insert(arenas_.end(), {&pool_->new_arena(s), nullptr, nullptr});
  found->user = &s;
  found->last_user = &s;
  pool_->enter_scope(s, *found->state);
  return {};
}

void pinned_memory::close(stream_state& s) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(arenas_.begin(), arenas_.end(), [&](const arena& a) { return a.user == &s; });
  if (found == arenas_.end()) return;  // the pool is gone
  found->user = nullptr;
  s.arena.store(nullptr, std::memory_order_release);
}

std::size_t pinned_memory::bytes() const noexcept {
  const std::lock_guard lock(mutex_);
  std::size_t sum = 0;
  for (const arena& a : arenas_) {
    const std::lock_guard heap_lock(a.state->mutex);
    sum += a.state->heap.bytes_held();
  }
  return sum;
}

pool_impl* pinned_memory::pool() const noexcept {
  const std::lock_guard lock(mutex_);
  return pool_;
}

void pinned_memory::forget_pool() noexcept {
  const std::lock_guard lock(mutex_);
  for (const arena& a : arenas_)
    if (a.user) a.user->arena.store(nullptr, std::memory_order_release);
  arenas_.clear();
  pool_ = nullptr;
}

// --- the pool's part ------------------------------------------------------------------------------------------------

result<capture_scope> pool_impl::capture(stream_state& s, const graph_memory& with) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  graph_memory memory = with;
  if (!memory) {
    auto made = std::make_shared<pinned_memory>(*this);
    const std::lock_guard lock(pinned_mutex_);
    std::erase_if(pinned_, [](const auto& each) { return each.expired(); });
    pinned_.push_back(made);
    memory = graph_memory(std::move(made));
  }
  if (auto opened = memory.shared()->open(s, *this); !opened) return std::move(opened).error();
  return capture_scope(std::move(memory), weir::stream(&s));
}

stream_state& pool_impl::new_arena(const stream_state& s) { return streams_.add_pinned(s.id); }

// From here on no thread has a cache for the stream, and none gets one.
void pool_impl::enter_scope(stream_state& s, stream_state& arena) noexcept {
  s.arena.store(&arena, std::memory_order_release);
  reclaim_caches(s, true);
}

// What is free in an arena is in the order of its own epochs, so one event behind the last launch, or a device that has
// nothing left to do, makes it anybody's; and what is live comes home later with the tickets of its free.
void pool_impl::unpin(const std::vector<stream_state*>& arenas, stream_state* after) noexcept {
  bool waited = false;
  for (stream_state* s : arenas) {
    if (after && order_.end_behind(*s, *after)) continue;
    if (!waited) (void)order_.synchronize_device(arenas).has_value();
    waited = true;
  }
  for (stream_state* s : arenas) {
    {
      const std::lock_guard lock(s->mutex);
      s->end = s->current - 1;
    }
    s->is_pinned.store(false, std::memory_order_release);
  }
}

result<void*> pool_impl::allocate_pinned(std::size_t bytes, stream_state& arena, std::size_t alignment) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  const bool is_aligned = alignment > core::unit_bytes;
  const std::size_t padded = is_aligned ? base::round_up(bytes, alignment) : bytes;
  constexpr std::size_t bytes_max = std::size_t{core::free_ranges::count_max} * core::granule_bytes;
  if (bytes > bytes_max || alignment > bytes_max - bytes)
    return error{.code = errc::invalid_size, .bytes = bytes, .limit = bytes_max};
  heap_request r;
  r.is_small = padded <= core::small_bytes_max && alignment <= core::granule_bytes;
  r.bytes = r.is_small ? padded : bytes;
  if (r.is_small) r.index = core::class_of(padded);
  r.alignment = alignment;
  r.state = core::life_live | core::life_pinned;
  if (is_aligned) r.state |= core::life_aligned;
  void* p = take(r, arena, core::epoch_any, arena);
  if (!p && settle(arena, nullptr)) p = take(r, arena, core::epoch_any, arena);
  if (p) {
    served_heap_.fetch_add(1, std::memory_order_relaxed);
    return p;
  }
  auto grown = grow_pinned(r, arena);
  if (!grown && grown.error().code == errc::out_of_memory)
    grown = under_pressure(bytes, nullptr, [&] { return grow_pinned(r, arena); });
  run_policies();
  return grown;
}

// A graph cannot be made to wait for what the pool did when it was captured, so the host waits now.
result<void*> pool_impl::grow_pinned(const heap_request& r, stream_state& arena) noexcept {
  const std::size_t align_room = r.alignment > core::granule_bytes ? r.alignment : 0;
  auto region = reservoir_.grow_region(r.bytes + align_room, &arena);
  if (!region) return std::move(region).error();
  const core::ticket fresh = (*region)->fresh;
  stream_state& own = streams_.at(fresh.stream);
  if (!order_.has_passed(fresh)) order_.look(own, &own);
  if (!order_.has_passed(fresh)) order_.synchronize(own, &own);
  if (!order_.has_passed(fresh)) {
    reservoir_.shelve(*region);
    return error{.code = errc::not_supported, .what = "waiting for memory that a capture needs"};
  }
  void* p = take(r, arena, core::epoch_any, arena, *region);
  WEIR_ASSERT(p);
  served_native_.fetch_add(1, std::memory_order_relaxed);
  sample_peak();
  return p;
}

}  // namespace weir::detail
