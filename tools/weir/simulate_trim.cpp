// SPDX-License-Identifier: Apache-2.0
//
// Trims by hand and by policy, and what they promise: no less than they must, no more than they may, and nobody waits.
#include <algorithm>
#include <cmath>
#include <set>

#include "simulate_run.hpp"

namespace weir::simulation {

namespace {

using rule = trim_policy::rule;

// Longer than all times of policies, so that what decays is gone after it, and what is idle was so for long enough.
constexpr std::uint64_t rest_ns = 3'000'000'000;

std::uint64_t ns_of(const trim_policy& p) { return static_cast<std::uint64_t>(p.time.count()); }

// The shortest time of the policies, where all are of that kind; 0: they are not.
std::uint64_t shortest_time(const std::vector<trim_policy>& all, rule kind) {
  std::uint64_t ns = 0;
  for (const trim_policy& p : all) {
    if (p.kind != kind) return 0;
    ns = ns == 0 ? ns_of(p) : std::min(ns, ns_of(p));
  }
  return ns;
}

// What may stay reserved by the policies that say it in bytes.
std::size_t keep_of(const std::vector<trim_policy>& all, std::size_t reserved) {
  std::size_t keep = SIZE_MAX;
  for (const trim_policy& p : all)
    if (p.kind == rule::release_above || (p.kind == rule::watermark && reserved > p.bytes_high))
      keep = std::min(keep, p.bytes);
  return keep;
}

}  // namespace

void run::trim(random_source& r) {
  const bool by_policies = r.chance(30);
  const std::size_t keep = r.chance(50) ? 0 : r.below(plan_.device_bytes);
  say([&] { return by_policies ? std::string("  as the policies say") : "  to " + std::to_string(keep); });
  const bool is_quiet = r.chance(25);
  if (is_quiet) make_quiet();
  if (by_policies) {
    trim_by_policies(is_quiet);
  } else if (const auto done = call_trim(keep)) {
    if (is_quiet) check_quiet_trim(*done, keep, false);
  }
}

// No work is left on the device, and nobody comes with more.
void run::make_quiet() {
  here_->watch.meanwhile_in = 0;
  device_->synchronize();
}

// Nothing: it failed.
std::optional<trim_report> run::call_trim(std::optional<std::size_t> keep) {
  if (journal_.is_on) journal_.mark(keep ? "trim " + std::to_string(*keep) : "trim");
  const std::uint64_t calls = here_->watch.calls, waits = here_->watch.waits;
  const layout before = look_at_layout();
  const auto done = keep ? here_->pool.trim(*keep) : here_->pool.trim();
  check_calls(calls, "trim");
  ++figures_.other_calls;
  if (!done) {
    check_error(done.error(), "trim");
    return std::nullopt;
  }
  note(done->reserved_after);
  say([&] {
    return "  of " + std::to_string(done->reserved_before) + " it keeps " + std::to_string(done->kept_live) +
           " live, " + std::to_string(done->kept_pending) + " pending, " + std::to_string(done->kept_partial) +
           " partial, " + std::to_string(done->kept_free) + " free";
  });
  if (here_->plan.options.soft_bytes_max == SIZE_MAX) {
    if (here_->watch.waits != waits) fail("a trim waits");
    if (keep) check_no_more(before, *keep, done->reserved_before);
  }
  check_trim(*done);
  return *done;
}

// The chunks that native allocations lie in, and a size that none of these passes.
run::layout run::look_at_layout() const {
  layout seen{.longest = here_->plan.options.region_bytes + chunk_bytes};
  here_->pool.walk([&](const block_info& b) {
    if (b.direct) return;
    const auto at = reinterpret_cast<std::uintptr_t>(b.pointer);
    for (std::uintptr_t chunk = at / chunk_bytes; chunk <= (at + b.bytes - 1) / chunk_bytes; ++chunk)
      seen.chunks.insert(chunk);
    seen.longest = std::max(seen.longest, b.bytes);
    seen.ranges[at] = b.bytes;
  });
  return seen;
}

void run::check_trim(const trim_report& t) {
  if (t.reserved_after > t.reserved_before) fail("a trim that grew");
  if (is_lost_) return;
  const statistics now = here_->pool.statistics();
  if (t.reserved_after != now.reserved)
    fail("a trim says that " + std::to_string(t.reserved_after) + " stay reserved, statistics " +
         std::to_string(now.reserved));
  if (t.kept_live + t.kept_pending > now.held) fail("a trim that kept more than is held");
  if (t.kept_live + t.kept_pending + t.kept_partial + t.kept_free != t.reserved_after)
    fail("what a trim kept is not what stays reserved");
}

// Native allocations went one by one, until the chunks that are left were few enough.
void run::check_no_more(const layout& before, std::size_t keep, std::size_t reserved) const {
  const layout after = look_at_layout();
  if (after.chunks.size() == before.chunks.size()) return;
  const std::size_t touched = after.chunks.size() * chunk_bytes;
  if (reserved <= keep || touched + before.longest + 2 * chunk_bytes < keep)
    fail("a trim of " + std::to_string(reserved) + " to " + std::to_string(keep) + " gives back all but " +
         std::to_string(touched));
}

// With no work left on the device more than was to be kept stays only where blocks are live. What streams left that are
// not asked, being captured, without a token, another thread's or gone, may be pending still.
void run::check_quiet_trim(const trim_report& t, std::size_t keep, bool is_by_policy) const {
  const bool may_ask =
      std::ranges::all_of(streams_, [&](const auto& s) { return s->is_special || (token_of(*s) && !s->is_capturing); });
  if (has_faults_ || has_lost_streams_ || !may_ask || threads_.size() > 1 || t.reserved_after <= keep) return;
  // A policy rounds to chunks what it gives back, and so may find less than one too little to look at.
  if (t.kept_pending > (is_by_policy ? chunk_bytes - 1 : 0))
    fail("a trim of a quiet device leaves " + std::to_string(t.kept_pending) + " pending");
  if (t.kept_free >= chunk_bytes)
    fail("a trim to " + std::to_string(keep) + " leaves " + std::to_string(t.reserved_after) + ", of it " +
         std::to_string(t.kept_free) + " free");
}

// --- policies -------------------------------------------------------------------------------------------------------

std::optional<trim_report> run::trim_by_policies(bool is_quiet) {
  const auto& policies = here_->plan.options.trim;
  const layout before = look_at_layout();
  const std::size_t keep = keep_of(policies, here_->pool.statistics().reserved);
  const auto done = call_trim(std::nullopt);
  if (!done || here_->plan.options.soft_bytes_max != SIZE_MAX) return done;
  if (is_quiet) check_quiet_trim(*done, keep, true);
  if (const std::uint64_t ns = shortest_time(policies, rule::idle)) check_not_idle(before, ns);
  return done;
}

// What somebody had less than that ago is not idle, and stays.
void run::check_not_idle(const layout& before, std::uint64_t ns) const {
  const layout after = look_at_layout();
  const auto covers = [](const layout& l, std::uintptr_t at) {
    const auto next = l.ranges.upper_bound(at);
    return next != l.ranges.begin() && std::prev(next)->first + std::prev(next)->second > at;
  };
  const std::uint64_t now_ns = device_->now_ns();
  for (const auto& f : here_->freed)
    if (f.time_ns + ns > now_ns && covers(before, f.at) && !covers(after, f.at))
      fail("what was freed " + std::to_string(now_ns - f.time_ns) + " ns ago is given back as idle for " +
           std::to_string(ns));
}

// Nobody does anything for long; then only what is live is left. What comes free after that is new again.
void run::rest(random_source& r) {
  const auto& policies = here_->plan.options.trim;
  if (policies.empty() || here_->plan.options.soft_bytes_max != SIZE_MAX) return;
  const std::uint64_t idle_ns = shortest_time(policies, rule::idle);
  const std::uint64_t half_life_ns = shortest_time(policies, rule::decay);
  // By idle a cache goes home in one run, what it held counts as free in the next, and its region is idle in the third.
  constexpr unsigned runs = 4;
  for (unsigned i = 1; i <= runs; ++i) {
    make_quiet();
    const auto done = trim_by_policies(true);
    if (!done) return;
    if (i == runs && (idle_ns != 0 || half_life_ns != 0)) check_quiet_trim(*done, 0, true);
    device_->advance(i < runs ? rest_ns : r.below(1'000'000));
  }
  if (half_life_ns != 0) check_new_decay(half_life_ns, r);
  if (idle_ns != 0) check_new_idle(idle_ns, r);
}

// Large blocks that are live at once and then free, and complete.
void run::use_some(random_source& r) {
  stream_model* s = pick_stream(r);
  std::vector<std::uintptr_t> blocks;
  while (blocks.size() < 6) {
    const block* b = allocate_on(*s, 17 * mib + r.below(40 * mib), 256, r);
    if (!b) break;
    blocks.push_back(b->at);
  }
  for (const std::uintptr_t at : blocks)
    if (block* b = here_->live.find(at); b && is_usable(*b)) free_block(*b, *s, r);
  make_quiet();
}

// Of what came free just now no more has decayed than since then. What was to go before and could not may go now.
void run::check_new_decay(std::uint64_t half_life_ns, random_source& r) {
  const statistics before = here_->pool.statistics();
  const std::size_t old = before.reserved - std::min(before.reserved, before.allocated - before.direct);
  const std::uint64_t begin_ns = device_->now_ns();
  use_some(r);
  const std::size_t free = here_->pool.statistics().free;
  const auto done = trim_by_policies(true);
  if (!done) return;
  const double half_lives = static_cast<double>(device_->now_ns() - begin_ns) / static_cast<double>(half_life_ns);
  const double most = static_cast<double>(old) + static_cast<double>(free) * (1 - std::exp2(-half_lives));
  const std::size_t given = done->reserved_before - done->reserved_after;
  if (static_cast<double>(given) > most + 2.0 * chunk_bytes)
    fail("after " + std::to_string(half_lives) + " half lives a trim by decay gives back " + std::to_string(given) +
         " of " + std::to_string(free));
}

// What was seen free and used again since is no more idle than what is free for the first time.
void run::check_new_idle(std::uint64_t idle_ns, random_source& r) {
  use_some(r);
  trim_by_policies(true);
  device_->advance(idle_ns * 3 / 5);
  if (r.chance(50)) {
    use_some(r);
    device_->advance(idle_ns * 3 / 5);
  }
  trim_by_policies(true);
}

}  // namespace weir::simulation
