// SPDX-License-Identifier: Apache-2.0
#include "pool/order.hpp"

#include <algorithm>
#include <shared_mutex>

namespace weir::detail {

namespace {

void count(std::atomic<std::uint64_t>& counter) noexcept { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

order::order(backend& b, const stream_table& streams, bool trust_handles)
    : backend_(b), streams_(streams), trust_handles_(trust_handles) {}

order::~order() {
  if (is_abandoned_) return;
  for (backend_event* e : events_) backend_.destroy_event(e);
  for (stream_state* s : streams_.all())
    for (const auto& r : s->events) backend_.destroy_event(r.event);
}

// --- tickets --------------------------------------------------------------------------------------------------------

bool order::has_passed(core::ticket point) const noexcept {
  return point.epoch <= streams_.at(point.stream).passed.load(std::memory_order_acquire);
}

bool order::is_ready_locked(core::ticket point, const stream_state& taker) const noexcept {
  return point.stream == taker.index || has_passed(point) || taker.has_joined(point);
}

bool order::is_ready(core::ticket point, const stream_state& taker) const noexcept {
  if (point.stream == taker.index || has_passed(point)) return true;
  const std::lock_guard lock(taker.mutex);
  return taker.has_joined(point);
}

bool order::is_ready(const core::ticket_set& points, const stream_state& taker) const noexcept {
  return points.all([&](core::ticket t) { return is_ready(t, taker); });
}

bool order::may_touch(const stream_state& s, const stream_state* caller) const noexcept {
  if (!s.handle.load(std::memory_order_acquire)) return false;
  if (s.kind == stream_kind::per_thread_default) return s.thread == this_thread();
  return &s == caller || trust_handles_ || s.kind == stream_kind::legacy_default ||
         s.has_token.load(std::memory_order_acquire);
}

core::epoch order::waitable(const stream_state& s, const stream_state* caller) const noexcept {
  if (may_touch(s, caller)) return core::epoch_any;
  return std::max(s.covered, s.passed.load(std::memory_order_acquire));
}

core::epoch order::waitable(core::stream_index index, const stream_state* caller) const noexcept {
  const stream_state& s = streams_.at(index);
  const std::lock_guard lock(s.mutex);
  return waitable(s, caller);
}

bool order::can_wait(const core::ticket_set& points, const stream_state* caller) const noexcept {
  return points.all([&](core::ticket t) {
    if (caller && t.stream == caller->index) return true;
    return t.epoch <= waitable(t.stream, caller);
  });
}

// --- events ---------------------------------------------------------------------------------------------------------

result<backend_event*> order::take_event() noexcept {
  {
    const std::lock_guard lock(events_mutex_);
    if (!events_.empty()) {
      backend_event* e = events_.back();
      events_.pop_back();
      return e;
    }
  }
  return backend_.create_event();
}

void order::give_event(backend_event* e) noexcept {
  const std::lock_guard lock(events_mutex_);
  events_.push_back(e);
}

// An event that completes after every ticket of `s` up to `needed`; null when they have passed. `upto` is what the
// event covers. The order of the four steps matters: what is ticketed after the close is not covered, and nothing
// counts as covered before the record has succeeded.
result<backend_event*> order::cover(stream_state& s, core::epoch needed, const stream_state* caller,
                                    core::epoch* upto) noexcept {
  core::epoch closed;
  {
    const std::lock_guard lock(s.mutex);
    if (needed <= s.passed.load(std::memory_order_acquire)) return static_cast<backend_event*>(nullptr);
    for (const auto& r : s.events) {
      if (r.upto < needed) continue;
      *upto = r.upto;
      return r.event;
    }
    if (!may_touch(s, caller)) {
      s.is_asked.store(true, std::memory_order_relaxed);
      return error{.code = errc::not_supported, .what = "recording on a stream that this call may not touch"};
    }
    closed = s.close();
  }
  *upto = closed;
  return record_behind(s, closed, caller);
}

result<backend_event*> order::record_behind(stream_state& s, core::epoch closed, const stream_state* caller) noexcept {
  auto event = take_event();
  if (!event) return event;
  if (auto done = record(s, *event); !done) {
    give_event(*event);
    // That somebody else's stream is being captured is no reason for this call to fail.
    if (done.error().code == errc::stream_capturing && &s != caller)
      return error{.code = errc::not_supported, .what = "recording on another stream that is being captured"};
    return std::move(done).error();
  }
  enter_event(s, closed, *event);
  return *event;
}

void order::enter_event(stream_state& s, core::epoch closed, backend_event* event) noexcept {
  const std::lock_guard lock(s.mutex);
  const auto at = std::find_if(s.events.begin(), s.events.end(), [&](const auto& r) { return r.upto > closed; });
  s.events.insert(at, {closed, event});
  s.covered = std::max(s.covered, closed);
}

result<void> order::end_behind(stream_state& s, const stream_state& after) noexcept {
  auto event = take_event();
  if (!event) return std::move(event).error();
  if (auto done = record(after, *event); !done) {
    give_event(*event);
    return done;
  }
  core::epoch closed;
  {
    const std::lock_guard lock(s.mutex);
    closed = s.close();
  }
  enter_event(s, closed, *event);
  return {};
}

// Both with the handle, if it is still there.
result<void> order::record(const stream_state& s, backend_event* event) noexcept {
  const std::shared_lock hold(s.handle_mutex);
  stream_handle handle = s.handle.load(std::memory_order_acquire);
  if (!handle) return error{.code = errc::not_supported, .what = "recording on a stream that was retired"};
  count(counters_.record);
  return backend_.record(event, handle);
}

result<bool> order::is_idle(const stream_state& s) noexcept {
  const std::shared_lock hold(s.handle_mutex);
  stream_handle handle = s.handle.load(std::memory_order_acquire);
  if (!handle) return false;
  count(counters_.query);
  return backend_.is_idle(handle);
}

result<void> order::cover_all(stream_state& s, const stream_state* caller) noexcept {
  core::epoch needed;
  {
    const std::lock_guard lock(s.mutex);
    needed = s.current;
  }
  core::epoch upto = 0;
  auto event = cover(s, needed, caller, &upto);
  if (!event) return std::move(event).error();
  return {};
}

void order::answer(stream_state& s) noexcept {
  if (!s.is_asked.load(std::memory_order_relaxed)) return;
  if (!may_touch(s, &s)) return;
  s.is_asked.store(false, std::memory_order_relaxed);
  (void)cover_all(s, &s).has_value();  // on failure the taker asks again
}

// --- looking --------------------------------------------------------------------------------------------------------

// At most one query that says no, and none where it is known otherwise that all before it has passed: after a long
// kernel hundreds may be. One thread polls a stream at a time: an event that completed is used again, and must
// not be asked about in its next life.
void order::poll(stream_state& s) noexcept {
  std::unique_lock lock(s.mutex);
  if (s.is_polling) return;
  s.is_polling = true;
  while (!s.events.empty()) {
    const auto oldest = s.events.front();
    if (oldest.upto > s.passed.load(std::memory_order_acquire)) {
      lock.unlock();
      count(counters_.query);
      const auto done = backend_.query(oldest.event);
      lock.lock();
      if (!done || !*done) break;
      s.raise_passed(oldest.upto);
    }
    if (s.index != 0 && s.unseen != 0 && s.unseen <= oldest.upto) {
      lock.unlock();
      (void)wait_on_host(s, oldest.event, oldest.upto);
      lock.lock();
    }
    const auto at =
        std::find_if(s.events.begin(), s.events.end(), [&](const auto& r) { return r.event == oldest.event; });
    s.events.erase(at);
    lock.unlock();
    give_event(oldest.event);
    lock.lock();
  }
  s.is_polling = false;
}

void order::look(stream_state& s, const stream_state* caller, core::epoch upto) noexcept {
  core::epoch closed = 0, used;
  bool is_covered;
  {
    const std::lock_guard lock(s.mutex);
    // Nothing is of what is not known yet, and nobody waits for an event of it.
    if (std::max(s.used, s.covered) <= s.passed.load(std::memory_order_acquire)) return;
    used = s.used;
    is_covered = used <= s.covered;
    if (may_touch(s, caller)) closed = s.close();
  }
  if (closed) {
    const auto idle = is_idle(s);
    if (idle && *idle) {
      s.raise_passed(closed);
      if (!may_touch(s, nullptr)) show(s, caller);  // another time it can be done when it is needed
      return;
    }
  } else if (!is_covered) {
    s.is_asked.store(true, std::memory_order_relaxed);
  }
  poll(s);
  if (!upto || !closed || is_covered) return;
  core::epoch covered = 0;
  (void)cover(s, std::min(upto, used), caller, &covered).has_value();
}

void order::look(const core::ticket_set& points, const stream_state* caller, bool will_record) noexcept {
  for (core::ticket t : points)
    if (!has_passed(t)) look(streams_.at(t.stream), caller, will_record ? t.epoch : 0);
}

// --- waiting --------------------------------------------------------------------------------------------------------

result<bool> order::make_wait(stream_state& taker, const core::ticket_set& points,
                              const stream_state* caller) noexcept {
  for (core::ticket t : points) {
    if (is_ready(t, taker)) continue;
    // In another thread the handle means that thread's stream.
    if (taker.kind == stream_kind::per_thread_default && taker.thread != this_thread()) return false;
    core::epoch upto = 0;
    auto event = cover(streams_.at(t.stream), t.epoch, caller, &upto);
    if (!event) {
      if (event.error().code == errc::not_supported) return false;
      return std::move(event).error();
    }
    if (!*event) continue;
    count(counters_.wait);
    if (auto done = backend_.wait(taker.handle.load(std::memory_order_acquire), *event); !done)
      return std::move(done).error();
    // What the reservoir's own stream waits for delays nobody's work.
    if (taker.index != 0) count(t.stream == 0 ? counters_.waits_fresh : counters_.waits_inserted);
    const std::lock_guard lock(taker.mutex);
    taker.join({t.stream, upto});
  }
  return true;
}

void order::synchronize(stream_state& s, const stream_state* caller) noexcept {
  core::epoch needed, upto = 0;
  {
    const std::lock_guard lock(s.mutex);
    needed = s.current;
  }
  auto event = cover(s, needed, caller, &upto);
  if (!event || !*event) return;
  if (wait_on_host(s, *event, upto)) s.raise_passed(upto);
  poll(s);
}

bool order::wait_on_host(stream_state& s, backend_event* event, core::epoch upto) noexcept {
  count(counters_.synchronize);
  if (!backend_.synchronize(event)) return false;
  const std::lock_guard lock(s.mutex);
  if (s.unseen <= upto) s.unseen = 0;
  return true;
}

void order::show(stream_state& s, const stream_state* caller) noexcept {
  core::epoch closed;
  {
    const std::lock_guard lock(s.mutex);
    if (s.unseen == 0 || s.unseen > s.passed.load(std::memory_order_acquire)) return;
    if (!s.events.empty() || !may_touch(s, caller)) return;  // poll() will show it
    closed = s.close();
  }
  const auto idle = is_idle(s);
  auto event = record_behind(s, closed, caller);
  if (!event || !idle || !*idle) return;
  s.raise_passed(closed);
  poll(s);
}

bool order::has_unseen(const stream_state& s) const noexcept {
  const std::lock_guard lock(s.mutex);
  return s.unseen != 0;
}

bool order::is_held_up(const stream_state& s) const noexcept {
  std::vector<core::ticket> joined;
  {
    const std::lock_guard lock(s.mutex);
    joined = s.joined;
  }
  return std::any_of(joined.begin(), joined.end(), [&](core::ticket t) { return !has_passed(t); });
}

result<void> order::synchronize_device(std::span<stream_state* const> pinned) noexcept {
  struct mark {
    stream_state* stream;
    core::epoch closed;
  };
  std::vector<mark> marks;
  auto all = streams_.all();
  all.insert(all.end(), pinned.begin(), pinned.end());
  for (stream_state* s : all) {
    const std::lock_guard lock(s->mutex);
    marks.push_back({s, s->close()});
  }
  count(counters_.synchronize);
  if (auto done = backend_.synchronize_device(); !done) return done;
  for (const mark& m : marks) {
    m.stream->raise_passed(m.closed);
    poll(*m.stream);
  }
  return {};
}

}  // namespace weir::detail
