// SPDX-License-Identifier: Apache-2.0
#include "pool/trim_plan.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace weir::detail {

namespace {

using rule = trim_policy::rule;

// Asking the device for its free memory costs 6.5 µs, so on the slow path it is asked this often.
constexpr std::uint64_t pressure_interval_ns = 10'000'000;
// What is in pieces because live blocks lie between stays so: tried again after this long at the earliest.
constexpr std::uint64_t defragment_interval_ns = 10'000'000;
// However short the times asked for, the slow path does not run policies more often.
constexpr std::uint64_t interval_ns_min = 100'000;
// Runs in one half life, or one duration: how late a thing may go.
constexpr std::uint64_t runs_per_time = 8;

std::uint64_t ns_of(const trim_policy& p) noexcept {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(p.time.count(), 1));
}

// The shortest half life halves the most.
std::uint64_t half_life_of(std::span<const trim_policy> policies) noexcept {
  std::uint64_t ns = 0;
  for (const trim_policy& p : policies)
    if (p.kind == rule::decay) ns = ns == 0 ? ns_of(p) : std::min(ns, ns_of(p));
  return ns;
}

// Bytes that decay wants given back. What is left follows the exponential exactly, however often this runs; only what
// is given back is rounded, to the nearest chunk, so that the last one goes too.
std::size_t decayed(const trim_numbers& n, std::uint64_t half_life_ns, trim_state::decaying& state) noexcept {
  if (!state.has_begun) {
    state = {true, static_cast<double>(n.free), n.free, n.now_ns};
    return 0;
  }
  const std::uint64_t elapsed_ns = n.now_ns - std::min(n.now_ns, state.at_ns);
  double left = state.left * std::exp2(-static_cast<double>(elapsed_ns) / static_cast<double>(half_life_ns));
  if (n.free > state.seen) left += static_cast<double>(n.free - state.seen);
  state = {true, left, n.free, n.now_ns};
  const double chunks = std::max(0.0, (static_cast<double>(n.free) - left) / static_cast<double>(n.chunk_bytes));
  return std::min(n.free, static_cast<std::size_t>(std::floor(chunks + 0.5)) * n.chunk_bytes);
}

bool wants_defragment(const trim_policy& p, const trim_numbers& n, const trim_state& state) noexcept {
  const bool is_soon =
      state.has_defragmented && n.now_ns - std::min(n.now_ns, state.defragmented_ns) < defragment_interval_ns;
  return !is_soon && n.fragmentation > p.ratio && n.free_outside_caches > n.chunk_bytes;
}

}  // namespace

trim_plan plan_trim(std::span<const trim_policy> policies, const trim_numbers& n, trim_state& state) noexcept {
  trim_plan plan;
  const auto keep_at_most = [&](std::size_t bytes) { plan.keep = std::min(plan.keep, bytes); };
  for (const trim_policy& p : policies) {
    switch (p.kind) {
      case rule::retain:
      case rule::decay: break;
      case rule::release_above: keep_at_most(p.bytes); break;
      case rule::watermark:
        if (n.reserved > p.bytes_high) keep_at_most(p.bytes);
        break;
      case rule::idle: plan.idle_ns = plan.idle_ns == 0 ? ns_of(p) : std::min(plan.idle_ns, ns_of(p)); break;
      case rule::on_pressure:
        if (n.device_free && *n.device_free < p.bytes) keep_at_most(0);
        break;
      case rule::defragment_above: plan.defragment |= wants_defragment(p, n, state); break;
    }
  }
  if (const std::uint64_t half_life = half_life_of(policies))
    if (const std::size_t bytes = decayed(n, half_life, state.decay))
      keep_at_most(n.reserved - std::min(n.reserved, bytes));
  if (plan.defragment) {
    state.has_defragmented = true;
    state.defragmented_ns = n.now_ns;
  }
  return plan;
}

// Rounding leaves half a chunk less than decay would, which stays in `left`, or each chunk would go half a chunk early.
// What is less than that was used again, or others gave it back.
void note_trimmed(trim_state& state, std::size_t free, std::size_t chunk_bytes) noexcept {
  state.decay.seen = free;
  state.decay.left = std::min(state.decay.left, static_cast<double>(free) + 0.5 * static_cast<double>(chunk_bytes));
}

trim_needs needs_of(std::span<const trim_policy> policies) noexcept {
  trim_needs needs;
  const auto every = [&](std::uint64_t ns) {
    needs.interval_ns = std::min(needs.interval_ns, std::max(ns, interval_ns_min));
  };
  for (const trim_policy& p : policies) {
    switch (p.kind) {
      case rule::retain: break;
      case rule::release_above:
      case rule::watermark: needs.on_change = true; break;
      case rule::decay:
      case rule::idle:
        needs.caches = true;
        every(ns_of(p) / runs_per_time);
        break;
      case rule::on_pressure:
        needs.device_free = true;
        every(pressure_interval_ns);
        break;
      case rule::defragment_above: needs.on_change = needs.fragmentation = needs.caches = true; break;
    }
  }
  return needs;
}

std::uint64_t sightings::see(std::uint64_t what, std::uint64_t mark, std::uint64_t now_ns) {
  const auto [at, is_new] = seen_.try_emplace(what, sighting{mark, now_ns, run_});
  sighting& s = at->second;
  s.run = run_;
  if (!is_new && s.mark != mark) s = {mark, now_ns, run_};
  return s.since_ns;
}

void sightings::end_run() {
  std::erase_if(seen_, [&](const auto& s) { return s.second.run != run_; });
  ++run_;
}

std::size_t low_water::unused_for(std::uint64_t duration_ns, std::size_t low, std::uint64_t now_ns) {
  // What was before the first call is not known.
  const std::uint64_t begin_ns = std::exchange(last_ns_, now_ns);
  if (!std::exchange(has_begun_, true)) return 0;
  if (!stretches_.empty() && now_ns - stretches_.back().begin_ns <= duration_ns / runs_per_time)
    stretches_.back() = {stretches_.back().begin_ns, now_ns, std::min(stretches_.back().low, low)};
  else
    stretches_.push_back({begin_ns, now_ns, low});
  if (now_ns - stretches_.front().begin_ns < duration_ns) return 0;
  const std::uint64_t since_ns = now_ns - duration_ns;
  while (stretches_.front().end_ns < since_ns) stretches_.pop_front();
  std::size_t unused = SIZE_MAX;
  for (const stretch& s : stretches_) unused = std::min(unused, s.low);
  for (stretch& s : stretches_) s.low -= unused;
  return unused;
}

}  // namespace weir::detail
