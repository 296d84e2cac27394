// SPDX-License-Identifier: Apache-2.0
#include "simulate_run.hpp"

#include <algorithm>
#include <exception>
#include <numeric>
#include <utility>

namespace weir::simulation {

namespace {

// Where a bug that the library tells of in this thread goes.
thread_local std::vector<std::string>* bugs_here = nullptr;

void note_bug(const error& e) noexcept {
  if (bugs_here) bugs_here->push_back(e.message());
}

}  // namespace

void bugs_here_are(std::vector<std::string>* bugs) noexcept { bugs_here = bugs; }

namespace {

random_source numbers_of(std::uint64_t seed, std::uint64_t what) { return random_source(seed * 1'000'003 + what); }

constexpr std::uint64_t of_birth = 1'000'001, of_end = 1'000'002;  // beyond any step

// Many more than any operation needs, so that one that calls for ever ends.
constexpr std::uint64_t calls_of_a_step_max = 2'000'000;

}  // namespace

void figures::add(const figures& other) {
  hash = hash * 1'099'511'628'211u ^ other.hash;
  steps += other.steps;
  allocations += other.allocations;
  deallocations += other.deallocations;
  refused += other.refused;
  launches += other.launches;
  other_calls += other.other_calls;
  hand_overs += other.hand_overs;
  threads += other.threads;
  native_calls += other.native_calls;
  calls_most = std::max(calls_most, other.calls_most);
}

run::run(const request& asked, bool with_journal)
    : asked_(asked),
      plan_(asked),
      device_(sim::device::make({.bytes_total = plan_.device_bytes, .threads_apart = true})) {
  journal_.is_on = with_journal;
  set_bug_handler(note_bug);
  bugs_here_are(&bugs_);
  random_source r = numbers_of(asked_.seed, of_birth);
  for (const pool_plan& each : plan_.pools) make_pool(each);
  be_at(*pools_.front());
  streams_.push_back(std::make_unique<stream_model>(
      stream_model{.number = next_stream_++, .handle = legacy_stream(), .is_special = true}));
  if (journal_.is_on) journal_.birth(0, "legacy");
  crew_ = std::make_unique<crew>([this](unsigned me) { return take_turn(me); });
  start_thread();
  be(0);
  create_stream(r);
  create_stream(r);
}

void run::make_pool(const pool_plan& what) {
  auto made = std::make_unique<tested_pool>();
  tested_pool& p = *made;
  p.number = pools_.size();
  p.plan = what;
  p.watch.meanwhile = [this] { interrupt(); };
  pools_.push_back(std::move(made));
  pool_options options = what.options;
  if (what.has_observer) options.observer = p.heard;
  if (what.has_handler)
    options.on_out_of_memory = [this](std::size_t bytes, unsigned attempt, const memory_report&) {
      return asked_for_memory(bytes, attempt);
    };
  if (what.has_soft_handler) options.on_soft_limit = [this](std::size_t, std::size_t) { told_of_soft_limit(); };
  // Half of the limited pools have a native pool with the same limit behind them.
  p.limit = options.bytes_max;
  const bool is_backed = p.limit != SIZE_MAX && what.is_backed;
  if (is_backed) p.native_limit = p.limit;
  p.pool = pool::make(
      std::make_unique<watched_backend>(device_->make_backend(is_backed ? p.limit : 0), p.watch, asked_.plant),
      options);
}

run::~run() { bugs_here_are(nullptr); }

std::optional<failure> run::go() {
  crew_->run(0);
  figures_.hand_overs = crew_->hand_overs();
  bugs_here_are(&bugs_);
  const bool is_pool_first = numbers_of(asked_.seed, of_end).chance(50);
  if (!is_pool_first) {
    crew_->end_all();
    for (const auto& p : pools_)
      if (!found_ && p->pool.statistics().cached != 0) found_ = {"caches of threads that have ended", step_};
  }
  for (const auto& p : pools_) p->pool = {};
  crew_->end_all();
  note(device_->now_ns());
  for (const auto& p : pools_) {
    figures_.native_calls += p->watch.calls;
    note(p->watch.calls);
  }
  if (found_) return found_;
  try {
    for (const auto& p : pools_)
      if (p->plan.has_observer && p->heard->leaked != p->live.size())
        fail("live at the end: " + std::to_string(p->live.size()) + ", the observer was told " +
             std::to_string(p->heard->leaked));
    check_step();
  } catch (const failure& f) {
    found_ = f;
  }
  return found_;
}

unsigned run::thread_of(unsigned step) const {
  if (threads_.size() == 1) return threads_.front()->number;
  random_source r(asked_.seed * 7'919 + step / 3);
  return threads_[r.below(threads_.size())]->number;
}

std::size_t run::pool_of(unsigned step) const {
  return pools_.size() == 1 ? 0 : random_source(asked_.seed * 104'729 + step / 2).below(pools_.size());
}

bool run::is_left_out(unsigned step) const { return asked_.is_partial && !asked_.only.contains(step); }

void run::be(unsigned thread) {
  for (const auto& t : threads_)
    if (t->number == thread) me_ = t.get();
  bugs_here_are(&bugs_);
  journal_.thread = thread;
}

// Until a step belongs to another thread.
unsigned run::take_turn(unsigned me) {
  try {
    if (ending_ != crew::nobody) crew_->end(std::exchange(ending_, crew::nobody));
    be(me);
    hear();
    for (;;) {
      while (step_ < asked_.steps && is_left_out(step_)) ++step_;
      if (step_ == asked_.steps) break;
      const unsigned next = thread_of(step_);
      if (next != me) return next;
      do_step(step_++);
    }
    if (ending_ == me) return threads_.front()->number;
    random_source r = numbers_of(asked_.seed, of_end);
    finish(r);
  } catch (const failure& f) {
    found_ = f;
  } catch (const std::exception& e) {
    found_ = {std::string("an exception: ") + e.what(), step_};
  }
  return crew::nobody;
}

void run::do_step(unsigned step) {
  random_source r = numbers_of(asked_.seed, step);
  const unsigned total = std::accumulate(plan_.weights.begin(), plan_.weights.end(), 0u);
  auto at = static_cast<unsigned>(r.below(total));
  std::size_t kind = 0;
  while (at >= plan_.weights[kind]) at -= plan_.weights[kind++];
  const auto what = static_cast<operation>(kind);
  if (journal_.is_on) journal_.now_ns = device_->now_ns();
  say([&] { return std::to_string(step) + " " + to_string(what) + ", thread " + std::to_string(me_->number); });
  handler_random_ = &r;
  be_at(*pools_[pool_of(step)]);
  for (const auto& p : pools_) {
    p->watch.calls_end = p->watch.calls + calls_of_a_step_max;
    p->watch.allocations_most = p->watch.allocations_live;
  }
  arm_faults(r);
  expect_others(r);
  perform(what, r);
  here_->watch.meanwhile_in = 0;
  ++figures_.steps;
  note(device_->now_ns());
  check_step();
  if (step % plan_.check_every != 0) return;
  for (const auto& p : pools_) {
    be_at(*p);
    check_all();
  }
}

// By rate, in steps of 1000: the next few calls of the kind fail, after a few that do not.
void run::arm_faults(random_source& r) {
  for (std::size_t i = 0; i < fault_count; ++i) {
    if (plan_.faults[i] == 0 || r.below(1000) >= plan_.faults[i]) continue;
    const auto kind = static_cast<sim::fault>(i);
    const bool is_endless = kind == sim::fault::unfinished && r.chance(30);
    const auto count = is_endless ? ~0u : static_cast<unsigned>(1 + r.below(6));
    arm_fault(kind, count, static_cast<unsigned>(r.below(6)));
  }
}

void run::arm_fault(sim::fault kind, unsigned count, unsigned after) {
  fault_rates one{};
  one[static_cast<std::size_t>(kind)] = 1;
  const std::string name = to_text(one).substr(0, to_text(one).find('='));
  say([&] { return "  fault: " + name + ", " + std::to_string(count) + " after " + std::to_string(after); });
  if (journal_.is_on) journal_.mark("fault " + name);
  device_->inject(kind, count, after);
  has_faults_ = true;
  is_lost_ |= kind == sim::fault::sticky;
}

void run::perform(operation what, random_source& r) {
  switch (what) {
    case operation::allocate: return allocate(r);
    case operation::burst: return burst(r);
    case operation::pairs: return pairs(r);
    case operation::queue: return queue(r);
    case operation::deallocate: return deallocate_one(r);
    case operation::deallocate_many: return deallocate_many(r);
    case operation::write: return write(r);
    case operation::share: return share(r);
    case operation::create_stream: return create_stream(r);
    case operation::retire_stream: return end_stream(r, true);
    case operation::lose_stream: return end_stream(r, false);
    case operation::start_thread: return threads_.size() < plan_.threads_max ? start_thread() : void();
    case operation::end_thread: return end_thread(r);
    case operation::pass_on: return pass_on(r);
    case operation::advance: return device_->advance(r.log_uniform(20'000'000));
    case operation::synchronize: return synchronize(r);
    case operation::stall: return stall(r);
    case operation::trim: return trim(r);
    case operation::defragment: {
      const std::uint64_t waits = here_->watch.waits;
      const auto done = here_->pool.defragment();
      if (here_->watch.waits != waits) fail("a defragmentation waits");
      ++figures_.other_calls;
      if (journal_.is_on) journal_.mark("defragment");
      if (!done) return check_error(done.error(), "defragment");
      note(done->merged);
      return note(done->gathered);
    }
    case operation::set_limit: return set_limit(r);
    case operation::neighbour: return neighbour(r);
    case operation::direct: return allocate_direct(r);
    case operation::capture: return capture(r);
    case operation::relay: return relay(r);
    case operation::squeeze: return squeeze(r);
    case operation::replace: return replace_stream(r);
    case operation::guest: return guest(r);
    case operation::rest: return rest(r);
    case operation::bad_call: return bad_call(r);
    case operation::count: break;
  }
}

}  // namespace weir::simulation
