// SPDX-License-Identifier: Apache-2.0
//
// Streams of a simulated program: they come, are retired or lost, and hand on what is known of them.
#include <algorithm>

#include "simulate_run.hpp"

namespace weir::simulation {

// --- what is known --------------------------------------------------------------------------------------------------

stream_model* run::by_number(unsigned number) {
  for (const auto& s : streams_)
    if (s->number == number) return s.get();
  return nullptr;
}

stream_model& run::own_default() {
  return **std::ranges::find_if(streams_, [&](const auto& s) { return s->owner == me_->number; });
}

// A stream that this thread may put work on; the others' default streams are theirs alone.
stream_model* run::pick_stream(random_source& r) {
  std::vector<stream_model*> able;
  for (const auto& s : streams_)
    if (!s->is_capturing && is_mine(*s)) able.push_back(s.get());
  return able[r.below(able.size())];
}

stream_model* run::pick_shared(random_source& r, const stream_model* but) {
  std::vector<stream_model*> able;
  for (const auto& s : streams_)
    if (!s->is_capturing && s->owner == stream_model::of_all && s.get() != but) able.push_back(s.get());
  return able.empty() ? nullptr : able[r.below(able.size())];
}

block* run::pick_block(random_source& r) {
  return here_->live.empty() ? nullptr : &here_->live.nth(r.below(here_->live.size()));
}

bool run::knows(const use& u) const {
  const auto in = [&](const std::map<unsigned, std::uint64_t>& known) {
    const auto found = known.find(u.stream);
    return found != known.end() && found->second >= u.work;
  };
  return in(known_by_all_) || in(me_->known);
}

// Not where work that used it is being captured, or runs on another thread's default stream, which only that thread
// can record an event on.
bool run::is_usable(const block& b) {
  return std::ranges::none_of(b.uses, [&](const use& u) {
    const stream_model* s = by_number(u.stream);
    if (!s) return false;
    return s->is_capturing || (!is_mine(*s) && !knows(u));
  });
}

// This thread tells all others what it waited for: it unlocks what each of them locks before its next step.
void run::tell_all() {
  device_->hand_over(this);
  for (const auto& [stream, work] : me_->known) {
    std::uint64_t& known = known_by_all_[stream];
    known = std::max(known, work);
  }
  me_->known.clear();
  me_->told = ++told_;
}

void run::hear() {
  if (me_->told == told_) return;
  device_->take_over(this);
  me_->told = told_;
}

// --- streams --------------------------------------------------------------------------------------------------------

void run::create_stream(random_source& r) {
  const auto shared = std::ranges::count(streams_, stream_model::of_all, [](const auto& s) { return s->owner; });
  if (static_cast<unsigned>(shared) > plan_.streams_max) return;
  auto s = std::make_unique<stream_model>();
  s->number = next_stream_++;
  s->is_blocking = r.chance(20);
  s->handle = device_->create_stream(!s->is_blocking);
  if (r.chance(60))
    take_tokens(*s);
  else
    has_raw_streams_ = true;
  ++streams_ever_;
  note(place(s->handle));
  say([&] {
    return "  stream " + std::to_string(s->number) + (s->has_token() ? " with a token" : "") +
           (s->is_blocking ? ", blocking" : "");
  });
  if (journal_.is_on) journal_.birth(s->number, s->is_blocking ? "blocking" : "non-blocking");
  streams_.push_back(std::move(s));
}

void run::take_tokens(stream_model& s) {
  for (const auto& p : pools_) {
    auto token = p->pool.stream(raw(s));
    if (!token && !has_faults_) fail("no token: " + token.error().message());
    if (token) s.tokens[p->number] = *token;
  }
}

// Work on live blocks of `from` is handed to `to`, but for what was announced: that is the pool's affair.
void run::hand_uses(stream_model& from, stream_model& to) {
  device_->order(from.handle, to.handle);
  if (journal_.is_on) journal_.order(from.number, to.number);
  const use there = to.next_use();
  for (const auto& p : pools_)
    for (auto& [at, b] : p->live) {
      if (!b.is_used_on(from.number)) continue;
      if (b.is_announced(from.number)) {
        b.is_frozen = true;
      } else {
        std::erase_if(b.uses, [&](const use& u) { return u.stream == from.number; });
        b.add_use(there);
      }
    }
}

// Retired and destroyed, or, where nobody has a token, only destroyed.
void run::end_stream(random_source& r, bool retire) { end_one(*streams_[r.below(streams_.size())], r, retire); }

// False where that stream may not end.
bool run::end_one(stream_model& s, random_source& r, bool retire) {
  const bool is_everybodys = s.owner == stream_model::of_all;
  if (s.is_special || s.is_capturing || !is_everybodys || (!retire && s.has_token())) return false;
  stream_model* heir = pick_shared(r, &s);
  if (!heir) return false;
  say([&] { return "  stream " + std::to_string(s.number) + (retire ? " retired" : " lost"); });
  if (r.chance(20)) synchronize_with(s);
  hand_uses(s, *heir);
  if (!retire || !retire_everywhere(s, r)) has_lost_streams_ = true;
  if (journal_.is_on) journal_.retirement(s.number);
  device_->destroy_stream(s.handle);
  std::erase_if(streams_, [&](const auto& each) { return each.get() == &s; });
  return true;
}

// In every pool that may know it. False where one could not.
bool run::retire_everywhere(stream_model& s, random_source& r) {
  bool is_done = true;
  for (const auto& p : pools_) p->watch.meanwhile_in = 0;  // nobody may free on it any more
  for (const auto& p : pools_) {
    const weir::stream& token = s.tokens[p->number];
    const auto done = token && r.chance(70) ? p->pool.retire(token) : p->pool.retire(raw(s));
    ++figures_.other_calls;
    if (!done) check_error(done.error(), "retire");
    if (done && token && p->pool.try_allocate(64, token)) fail("a retired token still serves");
    is_done = is_done && done;
  }
  return is_done;
}

void run::synchronize_with(stream_model& s) {
  device_->synchronize(s.handle);
  me_->known[s.number] = s.work;
  if (journal_.is_on) journal_.synchronize(trace::sync_scope::stream, s.number);
}

void run::synchronize(random_source& r) {
  if (r.chance(50)) {
    device_->synchronize();
    for (const auto& s : streams_) me_->known[s->number] = s->work;
    if (journal_.is_on) journal_.synchronize(trace::sync_scope::device, 0);
  } else if (stream_model* s = pick_stream(r)) {
    synchronize_with(*s);
  }
  if (r.chance(50)) tell_all();
}

// One stream is captured while others work; no call on another stream may notice. The next such step ends it.
void run::capture(random_source& r) {
  for (const auto& s : streams_)
    if (s->is_capturing) {
      say([&] { return "  of stream " + std::to_string(s->number) + " ends"; });
      s->is_capturing = false;
      return device_->set_capturing(s->handle, false);
    }
  stream_model* s = pick_shared(r, nullptr);
  if (!s || s->is_special || s->is_blocking) return;
  say([&] { return "  of stream " + std::to_string(s->number); });
  if (journal_.is_on) journal_.mark("capture of stream " + std::to_string(s->number));
  device_->set_capturing(s->handle, true);
  s->is_capturing = true;
}

}  // namespace weir::simulation
