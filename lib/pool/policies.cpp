// SPDX-License-Identifier: Apache-2.0
//
// Trim policies: when they run, what they are told, and what they give back. What they want is trim_plan's.
//
// A run on the slow path is cheap when there is nothing to do: two atomics, and where a policy goes by time the clock.
// It runs when native calls were made since the last or the policies' interval has passed, on one thread, and reads no
// more than its policies ask for.
#include <algorithm>
#include <utility>

#include "pool/pool_impl.hpp"

namespace weir::detail {

namespace {

// Bringing caches together disturbs every thread, so a cheap run does it this often; and as often takes back the large
// blocks of other threads. As often the device is asked for its free memory.
constexpr std::uint64_t gather_interval_ns = 10'000'000;

constexpr std::uint64_t later(std::uint64_t now_ns, std::uint64_t interval_ns) noexcept {
  return interval_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + interval_ns;
}

// Whether what is done every gather_interval_ns at most may be done now, and then the next time is set.
bool begins(std::uint64_t& next_ns, std::uint64_t now_ns) noexcept {
  if (now_ns < next_ns) return false;
  next_ns = later(now_ns, gather_interval_ns);
  return true;
}

}  // namespace

result<trim_report> pool_impl::trim_by_policy() noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  const std::size_t reserved = reservoir_.read().reserved;
  {
    const std::lock_guard run(run_mutex_);
    run_policies(thoroughness::whole);
  }
  tell_soft_limit();
  return report_trim(reserved);
}

// On the slow path.
void pool_impl::run_policies() noexcept {
  tell_soft_limit();
  if (!are_policies_due()) return;
  const std::unique_lock run(run_mutex_, std::try_to_lock);
  if (run) run_policies(thoroughness::cheap);
}

void pool_impl::tick() noexcept {
  {
    const std::lock_guard run(run_mutex_);
    run_policies(thoroughness::periodic);
  }
  tell_soft_limit();
}

bool pool_impl::are_policies_due() noexcept {
  const bool by_change = needs_.on_change || reservoir_.past_soft() > 0;
  if (by_change && reservoir_.native_changes() != native_calls_seen_.load(std::memory_order_relaxed)) return true;
  if (needs_.interval_ns == UINT64_MAX) return false;
  return backend_->now_ns() >= next_run_ns_.load(std::memory_order_relaxed);
}

// With run_mutex_ held.
void pool_impl::run_policies(thoroughness how) noexcept {
  if (needs_.caches || how == thoroughness::whole) take_back_large(how);
  // What came home behind others' work, where nobody asks for it: else it would never be free for a policy to see.
  if (needs_.caches && how != thoroughness::cheap)
    for (stream_state* s : streams_.all()) settle(*s, nullptr);
  const trim_numbers n = numbers_for_policies(how);
  const trim_plan plan = plan_trim(options_.trim, n, trim_state_);
  carry_out(plan, n, how);
  note_trimmed(trim_state_, reservoir_.free_now().all(), n.chunk_bytes);
  native_calls_seen_.store(reservoir_.native_changes(), std::memory_order_relaxed);
  next_run_ns_.store(later(n.now_ns, needs_.interval_ns), std::memory_order_relaxed);
}

trim_numbers pool_impl::numbers_for_policies(thoroughness how) noexcept {
  trim_numbers n;
  n.now_ns = backend_->now_ns();
  n.chunk_bytes = backend_->capabilities().chunk_bytes;
  n.reserved = reservoir_.read().reserved;
  n.free = reservoir_.free_now().all();
  const bool is_due = n.now_ns >= next_look_at_device_ns_.load(std::memory_order_relaxed);
  if (needs_.device_free && (how == thoroughness::whole || is_due)) {
    if (const auto memory = backend_->memory()) n.device_free = memory->free;
    next_look_at_device_ns_.store(later(n.now_ns, gather_interval_ns), std::memory_order_relaxed);
  }
  if (!needs_.fragmentation) return n;
  const auto native = reservoir_.read();
  std::size_t largest = native.big_kept_largest, free = native.big_kept;
  for (const stream_state* s : streams_.all()) {
    const std::lock_guard lock(s->mutex);
    largest = std::max(largest, s->heap.bytes_largest());
    free += s->heap.bytes_free() + s->heap.bytes_pending();
  }
  n.free_outside_caches = free;
  if (free > 0) n.fragmentation = 1 - static_cast<double>(std::min(largest, free)) / static_cast<double>(free);
  return n;
}

void pool_impl::carry_out(const trim_plan& plan, const trim_numbers& n, thoroughness how) noexcept {
  if (plan.defragment) (void)defragment().has_value();
  if (plan.idle_ns != 0) give_back_idle(plan.idle_ns, n.now_ns);
  // Past the soft limit everything free goes.
  const std::size_t past = reservoir_.past_soft();
  const std::size_t keep = past ? std::min(plan.keep, n.reserved - std::min(n.reserved, past)) : plan.keep;
  if (keep < n.reserved) give_back(keep, how);
}

void pool_impl::give_back(std::size_t keep, thoroughness how) noexcept {
  const auto release = [&] {
    (void)reservoir_.release_until(keep);
    return reservoir_.read().touched <= keep;
  };
  if (how == thoroughness::whole) {
    gather(nullptr);
    release();
  } else if (!release()) {
    take_back_large(how);
    if (!release() && begins(next_gather_ns_, backend_->now_ns())) {
      gather(nullptr);
      release();
    }
  }
  if (reservoir_.native_free() > 0 && reservoir_.read().reserved > keep) (void)trim_native(keep).has_value();
}

// What is free above 1 MiB waits in caches, where no policy sees it. What a thread does with its own costs others
// nothing.
void pool_impl::take_back_large(thoroughness how) noexcept {
  if (how != thoroughness::cheap || begins(next_take_back_ns_, backend_->now_ns()))
    reclaim_large();
  else
    reclaim_own_large();
}

// --- idle -----------------------------------------------------------------------------------------------------------

void pool_impl::give_back_idle(std::uint64_t duration_ns, std::uint64_t now_ns) noexcept {
  take_back_idle_caches(duration_ns, now_ns);
  const std::size_t unused = unused_.unused_for(duration_ns, reservoir_.take_native_free_low(), now_ns);
  const std::size_t free_before = reservoir_.native_free();
  (void)reservoir_.release_picked([&](const core::extent& e, std::uint64_t mark) {
    return now_ns - sightings_.see(e.base, mark, now_ns) >= duration_ns;
  });
  sightings_.end_run();
  const std::size_t free = reservoir_.native_free();
  const std::size_t goes = std::min(free, free - std::min(free, free_before) + unused);
  if (goes == 0) return;
  const std::size_t reserved = reservoir_.read().reserved;
  (void)trim_native(reserved - std::min(reserved, goes)).has_value();
}

// The mark of a cache is how many blocks have gone through it. An idle one goes for good: its thread makes another when
// it comes again.
void pool_impl::take_back_idle_caches(std::uint64_t duration_ns, std::uint64_t now_ns) noexcept {
  const auto caches = all_caches();
  std::vector<std::uint64_t> through;
  {
    const std::lock_guard alone(reclaim_mutex_);
    const auto doors = doors_of(caches);
    const cache::shut_gates shut(doors);
    for (const auto& c : caches) through.push_back(c->activity());
  }
  std::vector<std::shared_ptr<cache::block_cache>> idle;
  for (std::size_t i = 0; i < caches.size(); ++i)
    if (now_ns - sightings_.see(caches[i]->number(), through[i], now_ns) >= duration_ns) idle.push_back(caches[i]);
  if (!idle.empty()) reclaim(idle, true);
}

// --- the soft limit -------------------------------------------------------------------------------------------------

// By the thread whose call passed it. What the handler does itself is not told again: it would be its own business.
void pool_impl::tell_soft_limit() noexcept {
  static thread_local const pool_impl* telling = nullptr;
  if (telling == this || !options_.on_soft_limit || !reservoir_.take_soft_crossing()) return;
  const pool_impl* const outer = std::exchange(telling, this);
  const auto now = reservoir_.read();
  try {
    options_.on_soft_limit(now.reserved + now.direct, options_.soft_bytes_max);
  } catch (...) {
    // Its trouble: the call that told it has succeeded.
  }
  (void)reservoir_.take_soft_crossing();
  telling = outer;
}

}  // namespace weir::detail
