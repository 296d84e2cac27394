// SPDX-License-Identifier: Apache-2.0
//
// What is done to a simulated pool as a whole, and what becomes of it when all is over.
#include <algorithm>

#include "simulate_run.hpp"

namespace weir::simulation {

void run::set_limit(random_source& r) {
  const std::size_t wanted = r.chance(20) ? SIZE_MAX : chunk_bytes + r.below(plan_.device_bytes);
  const auto done = here_->pool.set_bytes_max(wanted);
  ++figures_.other_calls;
  say([&] { return "  to " + std::to_string(wanted) + (done ? "" : ": " + done.error().message()); });
  if (journal_.is_on) journal_.mark("limit " + std::to_string(wanted));
  if (done)
    here_->limit = wanted;
  else if (done.error().code != errc::limit_below_live)
    check_error(done.error(), "set_bytes_max", wanted);
  here_->watch.reserved_most = here_->heard->reserved_most = 0;
}

void run::neighbour(random_source& r) {
  neighbour_ = r.chance(50) ? 0 : r.below(plan_.device_bytes / 2);
  say([&] { return "  takes " + std::to_string(neighbour_); });
  if (journal_.is_on) journal_.mark("neighbour " + std::to_string(neighbour_));
  device_->set_neighbour_bytes(neighbour_);
}

// A kernel that runs for a very long time: nothing behind it completes for who only asks.
void run::stall(random_source& r) {
  stream_model* s = pick_stream(r);
  if (!s) return;
  say([&] { return "  stream " + std::to_string(s->number); });
  device_->launch(s->handle, std::uint64_t{3'600'000'000'000}, {});
  ++s->work;
}

// Within a call that found no room. Frees some, as a framework's own cache would.
bool run::asked_for_memory(std::size_t, unsigned attempt) {
  ++handler_calls_;
  if (!handler_random_ || attempt > 3 || here_->live.empty()) return false;
  random_source r(handler_random_->next());
  say([&] { return "  asked for memory, attempt " + std::to_string(attempt); });
  try {
    bool has_freed = false;
    for (std::size_t i = 1 + r.below(8); i > 0; --i) {
      block* b = pick_block(r);
      if (!b || !is_usable(*b)) continue;
      free_block(*b, *handler_stream_, r);
      has_freed = true;
    }
    return has_freed;
  } catch (const failure& f) {
    found_ = f;
    return false;
  }
}

// Within a call that passed the soft limit.
void run::told_of_soft_limit() {
  ++handler_calls_;
  if (!handler_random_) return;
  random_source r(handler_random_->next());
  if (r.chance(50) && !here_->pool.trim(0) && !has_faults_) found_ = {"a trim by the soft limit's handler", step_};
}

// All is freed, every stream ends, and then nothing is left.
void run::finish(random_source& r) {
  say([] { return std::string("finish"); });
  handler_random_ = nullptr;
  here_->watch.calls_end = ~std::uint64_t{0};
  for (std::size_t i = 0; i < fault_count; ++i) device_->inject(static_cast<sim::fault>(i), 0);
  for (const auto& s : streams_)
    if (s->is_capturing) {
      device_->set_capturing(s->handle, false);
      s->is_capturing = false;
    }
  device_->synchronize();
  for (const auto& s : streams_) me_->known[s->number] = s->work;
  tell_all();
  for (const auto& p : pools_) {
    be_at(*p);
    check_all();
  }
  if (r.chance(20)) return;  // a pool may go with blocks live, and says so
  for (const auto& p : pools_) {
    be_at(*p);
    if (is_lost_) finish_lost(r);
    while (!is_lost_ && !p->live.empty()) free_block(p->live.begin()->second, *pick_stream(r), r);
  }
  if (is_lost_) return;
  finish_streams(r);
  for (const auto& p : pools_) {
    be_at(*p);
    finish_live(r);
  }
}

// Nothing can be given back, but nothing may break either.
void run::finish_lost(random_source& r) {
  for (std::size_t i = here_->live.size(); i-- > 0;) free_block(here_->live.nth(i), *pick_stream(r), r);
  if (here_->pool.statistics().live_count != here_->live.size()) fail("what was freed is not what is live no more");
  check_sound();
}

void run::finish_streams(random_source& r) {
  const bool early = r.chance(50);
  for (std::size_t i = streams_.size(); i-- > 0;) {
    stream_model& s = *streams_[i];
    if (s.is_special) continue;
    for (const auto& p : pools_)
      if (!p->pool.retire(raw(s))) fail("a stream could not be retired");
    if (!early) continue;
    device_->destroy_stream(s.handle);
    streams_.erase(streams_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  device_->synchronize();
}

void run::finish_live(random_source& r) {
  if (has_lost_streams_ || threads_.size() > 1) {
    // What they left needs the pool itself to wait for the device, which running out does, and lowering the limit
    // where it must.
    if (r.chance(50) && here_->pool.try_allocate(SIZE_MAX / 8, raw(*streams_[0]))) fail("more than there is");
    if (const auto lower = here_->pool.set_bytes_max(chunk_bytes); !lower)
      fail("nothing is live, and the limit cannot be one chunk: " + lower.error().message());
    here_->limit = chunk_bytes;
    here_->watch.reserved_most = here_->heard->reserved_most = 0;
    if (here_->pool.try_allocate(SIZE_MAX / 8, raw(*streams_[0]))) fail("more than there is");
  }
  const auto done = here_->pool.trim(0);
  if (!done) fail("the last trim: " + done.error().message());
  check_all();
  if (done->reserved_after != 0)
    fail("left at the end: " + std::to_string(done->reserved_after) + ", of it live " +
         std::to_string(done->kept_live) + ", pending " + std::to_string(done->kept_pending) + ", partial " +
         std::to_string(done->kept_partial) + ", free " + std::to_string(done->kept_free));
  if (here_->watch.allocations_live != 0)
    fail("native allocations left: " + std::to_string(here_->watch.allocations_live));
  if (here_->plan.has_observer && here_->heard->live != 0) fail("the observer counts otherwise");
}

}  // namespace weir::simulation
