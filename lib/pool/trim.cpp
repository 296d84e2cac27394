// SPDX-License-Identifier: Apache-2.0
//
// Giving memory back: on demand, by policy, and by bringing free memory together.
#include "pool/pool_impl.hpp"

namespace weir::detail {

// Free memory comes together: caches empty into heaps, passed tickets settle, and with that slabs dissolve and ranges
// merge.
void pool_impl::gather(const stream_state* caller) noexcept {
  reclaim_caches();
  for (stream_state* s : streams_.all()) {
    if (s->index != 0) order_.look(*s, caller);
    settle(*s, caller);
  }
}

result<trim_report> pool_impl::trim(std::size_t bytes_to_keep) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  trim_report r;
  r.reserved_before = reservoir_.read().reserved;
  if (r.reserved_before > bytes_to_keep) {
    gather(nullptr);
    (void)reservoir_.release_free(false, nullptr);
    // What was freed and not observed complete counts as outstanding for the driver: our own stream's frees too.
    order_.synchronize(streams_.at(0), &streams_.at(0));
    // The driver keeps at least what it is told; we promise at most.
    const std::size_t whole = base::round_down(bytes_to_keep, backend_->capabilities().chunk_bytes);
    if (auto done = reservoir_.trim_native(whole); !done) return std::move(done).error();
  }
  const auto after = reservoir_.read();
  // Of an empty region that is still here, some part was freed behind work not seen complete.
  r.kept_pending = read_statistics().pending;
  for (const stream_state* s : streams_.all()) {
    const std::lock_guard lock(s->mutex);
    r.kept_pending += s->heap.bytes_empty();
  }
  r.reserved_after = after.reserved;
  r.kept_partial = after.reserved - std::min(after.reserved, after.held);
  r.kept_live = after.held - std::min(after.held, r.kept_pending);
  return r;
}

result<trim_report> pool_impl::trim_by_policy() noexcept {
  std::size_t keep = SIZE_MAX;
  for (const trim_policy& p : options_.trim) {
    if (p.kind == trim_policy::rule::release_above) keep = std::min(keep, p.bytes);
    if (p.kind == trim_policy::rule::defragment_above && is_fragmented(p.ratio)) {
      auto done = defragment();
      if (!done) return std::move(done).error();
    }
  }
  return trim(keep);
}

// Worth acting on: past the ratio, and more free than the chunk that is the least that could come of it.
bool pool_impl::is_fragmented(double ratio) const noexcept {
  const statistics now = read_statistics();
  return now.fragmentation > ratio && now.free - now.cached > backend_->capabilities().chunk_bytes;
}

// On the slow path, one thread at a time, and only when something native has changed since the last time.
void pool_impl::run_policies() noexcept {
  if (options_.trim.empty() || is_running_policies_.exchange(true, std::memory_order_acquire)) return;
  const native_counts calls = reservoir_.calls();
  const std::uint64_t changes = calls.allocate + calls.deallocate;
  if (changes != policies_ran_at_) {
    (void)trim_by_policy().has_value();
    const native_counts after = reservoir_.calls();
    policies_ran_at_ = after.allocate + after.deallocate;
  }
  is_running_policies_.store(false, std::memory_order_release);
}

result<defragment_report> pool_impl::defragment() noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  defragment_report r;
  const statistics before = read_statistics();
  r.fragmentation_before = before.fragmentation;
  r.largest_free_before = before.largest_free;
  gather(nullptr);
  r.gathered = reservoir_.release_free(false, nullptr);
  const statistics after = read_statistics();
  r.merged = before.cached + before.pending - std::min(before.cached + before.pending, after.cached + after.pending);
  r.fragmentation_after = after.fragmentation;
  r.largest_free_after = after.largest_free;
  return r;
}

result<void> pool_impl::set_bytes_max(std::size_t bytes) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  for (const bool synchronize : {false, true}) {
    auto done = reservoir_.set_bytes_max(bytes);
    if (done || done.error().code != errc::limit_below_live) return done;
    relieve(synchronize, nullptr);
  }
  return reservoir_.set_bytes_max(bytes);
}

}  // namespace weir::detail
