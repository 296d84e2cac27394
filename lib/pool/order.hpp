// SPDX-License-Identifier: Apache-2.0
//
// Which memory may be used where: tickets against what streams have done. The only maker of events.
//
// Nothing is recorded until a taker asks for memory that another stream freed. Then one event covers all that the
// stream freed so far. A stream's handle is touched only where it may be trusted: with a token, in the call that gave
// it, or when the options say so; a per-thread stream only in its thread. Elsewhere the stream is `asked`, and its own
// next call on a slow path records.
#pragma once

#include <atomic>
#include <mutex>
#include <span>
#include <vector>

#include "pool/stream_table.hpp"
#include "weir/pool_options.hpp"

namespace weir::detail {

// Calls of the backend that this file makes, for statistics.
struct order_counters {
  std::atomic<std::uint64_t> record{0}, query{0}, wait{0}, synchronize{0};
  std::atomic<std::uint64_t> waits_inserted{0}, waits_fresh{0};
};

class order {
 public:
  order(backend&, const stream_table&, bool trust_handles);
  ~order();

  // Whether `point` has passed, or is of the taker's own past.
  bool has_passed(core::ticket point) const noexcept;
  bool is_ready(core::ticket point, const stream_state& taker) const noexcept;  // takes the taker's lock if need be
  bool is_ready_locked(core::ticket point, const stream_state& taker) const noexcept;  // has the taker's lock
  bool is_ready(const core::ticket_set&, const stream_state& taker) const noexcept;

  // The same question of many sets of tickets: what was not ready once, and what is younger, is not asked about again.
  class readiness {
   public:
    readiness(const order& o, const stream_state& taker) noexcept : order_(o), taker_(taker) {}
    bool operator()(const core::ticket_set& points) noexcept {
      return points.all([&](core::ticket t) {
        if (t.stream == late_.stream && t.epoch >= late_.epoch) return false;
        if (order_.is_ready(t, taker_)) return true;
        late_ = t;
        return false;
      });
    }

   private:
    const order& order_;
    const stream_state& taker_;
    core::ticket late_{0, core::epoch_any};
  };

  // Looks how far a stream has come, without waiting: idle, or which events have completed. `caller` is the stream of
  // the call, whose handle is good while it lasts; null: none. `upto` puts an event behind that epoch if none is yet,
  // so that a later look can tell; `will_record` one behind each ticket.
  void look(stream_state&, const stream_state* caller, core::epoch upto = 0) noexcept;
  void look(const core::ticket_set&, const stream_state* caller, bool will_record = false) noexcept;

  // Makes `taker` (the stream of the call, or the reservoir's) wait for every ticket that is not ready. False: one can
  // neither be seen nor waited for from here. An error leaves the taker waiting for some, which is harmless.
  result<bool> make_wait(stream_state& taker, const core::ticket_set&, const stream_state* caller) noexcept;

  // The host waits: for the events behind all tickets, as far as they can be recorded; for everything on the device.
  void synchronize(stream_state&, const stream_state* caller) noexcept;
  // `pinned`: arenas that end with it.
  result<void> synchronize_device(std::span<stream_state* const> pinned = {}) noexcept;
  // What is in `s`, which has no stream, is of use behind the work that `after` has now.
  result<void> end_behind(stream_state& s, const stream_state& after) noexcept;

  // Lets the driver see that native frees on `s` have passed, where they have and it has not: it counts as free, for a
  // trim, what is behind something that was waited for, and a query is not enough. Where the stream is at work again it
  // is left to an event and a later look: nothing is waited for in truth.
  void show(stream_state& s, const stream_state* caller) noexcept;
  bool has_unseen(const stream_state&) const noexcept;
  // Whether work put on it now waits for other streams' that is not known complete.
  bool is_held_up(const stream_state&) const noexcept;

  // Records what was asked for, if it was: at the end of a slow call on `s`.
  void answer(stream_state& s) noexcept;
  // An event behind everything so far, however little was asked: before the handle goes.
  result<void> cover_all(stream_state& s, const stream_state* caller) noexcept;

  // Nothing is called any more, not to destroy the events either.
  void abandon() noexcept { is_abandoned_ = true; }

  bool may_touch(const stream_state&, const stream_state* caller) const noexcept;
  // With the stream's lock: the last of its epochs that somebody can be made to wait for. Of a stream that may not be
  // touched, what an event covers already.
  core::epoch waitable(const stream_state&, const stream_state* caller) const noexcept;
  core::epoch waitable(core::stream_index, const stream_state* caller) const noexcept;  // takes the lock
  // Whether `caller` could be made to wait for all of them now.
  bool can_wait(const core::ticket_set&, const stream_state* caller) const noexcept;
  const order_counters& counters() const noexcept { return counters_; }

 private:
  result<backend_event*> take_event() noexcept;
  void give_event(backend_event*) noexcept;
  result<backend_event*> cover(stream_state&, core::epoch needed, const stream_state* caller,
                               core::epoch* upto) noexcept;
  result<backend_event*> record_behind(stream_state&, core::epoch closed, const stream_state* caller) noexcept;
  result<void> record(const stream_state&, backend_event*) noexcept;
  void enter_event(stream_state&, core::epoch closed, backend_event*) noexcept;
  result<bool> is_idle(const stream_state&) noexcept;
  void poll(stream_state&) noexcept;
  bool wait_on_host(stream_state&, backend_event*, core::epoch upto) noexcept;

  backend& backend_;
  const stream_table& streams_;
  const bool trust_handles_;
  std::mutex events_mutex_;
  std::vector<backend_event*> events_;
  order_counters counters_;
  bool is_abandoned_ = false;
};

}  // namespace weir::detail
