// SPDX-License-Identifier: Apache-2.0
//
// Threads of a simulated program: they come and go, with full caches, each with a default stream of its own; and now
// and then one comes in between while a call of another is at the device.
#include <algorithm>
#include <thread>
#include <utility>

#include "simulate_run.hpp"

namespace weir::simulation {

void run::start_thread() {
  auto t = std::make_unique<thread_model>();
  t->number = next_thread_++;
  ++figures_.threads;
  say([&] { return "  thread " + std::to_string(t->number); });
  streams_.push_back(std::make_unique<stream_model>(
      stream_model{.number = next_stream_++, .handle = per_thread_stream(), .owner = t->number, .is_special = true}));
  ++streams_ever_;
  if (journal_.is_on) journal_.birth(streams_.back()->number, "default of thread " + std::to_string(t->number));
  has_raw_streams_ = has_raw_streams_ || !threads_.empty();
  crew_->start(t->number);
  threads_.push_back(std::move(t));
}

// The calling thread goes, with whatever its caches hold. What it has put on its default stream it hands on, as only it
// can; the stream is retired or just lost.
void run::end_thread(random_source& r) {
  if (threads_.size() < 2) return;
  stream_model& own = own_default();
  stream_model* heir = pick_shared(r, &own);
  if (!heir) return;
  hand_uses(own, *heir);
  if (own.has_token() || r.chance(50)) retire_everywhere(own, r);
  has_lost_streams_ = true;
  if (r.chance(50)) tell_all();
  if (journal_.is_on) journal_.retirement(own.number);
  say([&] { return "  thread " + std::to_string(me_->number); });
  ending_ = me_->number;
  std::erase_if(streams_, [&](const auto& s) { return s.get() == &own; });
  const thread_model* const gone = me_;
  me_ = nullptr;
  std::erase_if(threads_, [&](const auto& t) { return t.get() == gone; });
}

// What a thread has on its default stream becomes anybody's.
void run::pass_on(random_source& r) {
  stream_model& own = own_default();
  if (stream_model* heir = pick_shared(r, &own)) {
    say([&] { return "  to stream " + std::to_string(heir->number); });
    hand_uses(own, *heir);
  }
}

// What is allocated for another thread, with the token of its default stream, only that one can put work on; and does,
// when it is its turn.
void run::guest(random_source& r) {
  stream_model& own = own_default();
  if (!own.has_token()) {
    take_tokens(own);
  } else {
    for (auto& [at, b] : here_->live)
      if (b.uses.size() == 1 && b.uses.front().stream == own.number && !b.is_frozen) launch_write(b, own, r);
  }
  if (stream_model* theirs = pick_other_default(r)) allocate_for_other(*theirs, r.log_uniform(plan_.size_max));
}

stream_model* run::pick_other_default(random_source& r) {
  std::vector<stream_model*> others;
  for (const auto& s : streams_)
    if (!is_mine(*s) && token_of(*s)) others.push_back(s.get());
  return others.empty() ? nullptr : others[r.below(others.size())];
}

void run::allocate_for_other(stream_model& theirs, std::size_t bytes) {
  say([&] { return "  " + std::to_string(bytes) + " bytes for stream " + std::to_string(theirs.number); });
  const std::uint64_t before = here_->watch.calls;
  handler_stream_ = streams_.front().get();
  const auto got = here_->pool.try_allocate(bytes, token_of(theirs));
  check_calls(before, "allocate");
  if (!got) {
    ++figures_.refused;
    // What can neither be seen complete nor waited for from here.
    if (got.error().code != errc::not_supported) check_error(got.error(), "allocate", bytes);
    return;
  }
  ++figures_.allocations;
  ++here_->allocations;
  note(place(*got));
  const std::uintptr_t at = checked_place(*got, bytes, 256);
  if (journal_.is_on) journal_.allocate(at, bytes, 256, theirs.number, false);
  here_->live.add(
      {.at = at, .bytes = bytes, .is_direct = here_->watch.direct_bytes_at(at) != 0, .uses = {theirs.next_use()}});
}

// One of the next calls to the device is one that another thread uses.
void run::expect_others(random_source& r) {
  if (r.chance(plan_.interrupt_percent)) here_->watch.meanwhile_in = static_cast<unsigned>(1 + r.below(5));
}

// Another thread, which comes for this alone, frees while a call of the pool is at the device: what it frees is younger
// than whatever the call learns there.
void run::interrupt() {
  if (!handler_random_) return;
  random_source r(handler_random_->next());
  say([] { return std::string("  meanwhile"); });
  thread_model passing{.number = stream_model::of_all};
  thread_model* const interrupted = std::exchange(me_, &passing);
  stream_model* const handler_stream = handler_stream_;
  std::thread([&] {
    bugs_here_are(&bugs_);
    try {
      device_->take_over(this);
      for (std::size_t i = 1 + r.below(3); i > 0; --i) free_in_between(r);
    } catch (const failure& f) {
      found_ = f;
    }
  }).join();
  handler_stream_ = handler_stream;
  me_ = interrupted;
}

void run::free_in_between(random_source& r) {
  block* b = pick_block(r);
  if (!b || b->is_direct || b->at == busy_at_ || !is_usable(*b)) return;
  stream_model* s = b->uses.empty() ? nullptr : by_number(b->uses.front().stream);
  if (!s || !is_mine(*s)) s = pick_shared(r, nullptr);
  if (!s) return;
  if (!b->is_frozen && r.chance(70)) launch_write(*b, *s, r);
  free_block(*b, *s, r);
}

}  // namespace weir::simulation
