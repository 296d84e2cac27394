// SPDX-License-Identifier: Apache-2.0
//
// Giving memory back on demand, and bringing free memory together. By policy: policies.cpp.
#include <algorithm>

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

// Gives whole free chunks back to the driver until `keep` are reserved, without waiting for anybody's work.
result<void> pool_impl::trim_native(std::size_t keep) noexcept {
  // The driver keeps at least what it is told; we promise at most.
  return reservoir_.trim_native(base::round_down(keep, backend_->capabilities().chunk_bytes));
}

result<trim_report> pool_impl::trim(std::size_t bytes_to_keep, const stream_state* caller) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  const std::size_t reserved = reservoir_.read().reserved;
  if (reserved <= bytes_to_keep) {
    reclaim_large();  // so that they are reported free
  } else {
    gather(caller);
    (void)reservoir_.release_until(bytes_to_keep);
    if (auto done = trim_native(bytes_to_keep); !done) return std::move(done).error();
  }
  return report_trim(reserved);
}

// Caches first: what they hold gets its ticket before the wait, and has passed after it.
result<trim_report> pool_impl::synchronize_and_trim(std::size_t bytes_to_keep) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  reclaim_caches();
  if (auto done = order_.synchronize_device(); !done) return std::move(done).error();
  return trim(bytes_to_keep);
}

// Why what is reserved was not given back.
trim_report pool_impl::report_trim(std::size_t reserved_before) const {
  trim_report r;
  const auto after = reservoir_.read();
  const auto free = reservoir_.free_now();
  r.reserved_before = reserved_before;
  r.reserved_after = after.reserved;
  r.kept_pending = read_statistics().pending + free.empty_pending;
  r.kept_free = free.native + free.kept + free.empty;
  r.kept_partial = after.reserved - std::min(after.reserved, after.held + free.native);
  const std::size_t not_live = r.kept_pending + free.kept + free.empty;
  r.kept_live = after.held - std::min(after.held, not_live);
  return r;
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
