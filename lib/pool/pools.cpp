// SPDX-License-Identifier: Apache-2.0
#include "weir/pools.hpp"

#include <mutex>
#include <vector>

namespace weir {

struct pools::state {
  pool_options options;
  backend_maker make;  // null: CUDA
  int count = -1;      // of devices of another kind
  mutable std::mutex mutex;
  std::vector<pool> made;  // by device; null until asked for. Sized once, so addresses stay.

  result<int> device_count() const noexcept { return make ? result<int>(count) : cuda_device_count(); }
  result<pool> make_pool(int device) const noexcept {
    if (!make) return pool::try_make(device, options);
    auto backend = make(device);
    if (!backend) return std::move(backend).error();
    return pool::try_make(std::move(*backend), options);
  }
};

pools::pools(pool_options options) : state_(std::make_unique<state>()) { state_->options = std::move(options); }

pools::pools(int device_count, backend_maker make, pool_options options) : pools(std::move(options)) {
  state_->make = std::move(make);
  state_->count = device_count;
}

pools::~pools() = default;

result<int> pools::device_count() const noexcept { return state_->device_count(); }

result<pool*> pools::on(int device) noexcept {
  const auto count = device_count();
  if (!count) return count.error();
  if (device < 0 || device >= *count)
    return error{.code = errc::no_such_device,
                 .bytes = static_cast<std::size_t>(device),
                 .limit = static_cast<std::size_t>(*count)};
  const std::lock_guard lock(state_->mutex);
  if (state_->made.empty()) state_->made.resize(static_cast<std::size_t>(*count));
  pool& here = state_->made[static_cast<std::size_t>(device)];
  if (!here) {
    auto fresh = state_->make_pool(device);
    if (!fresh) return std::move(fresh).error();
    here = std::move(*fresh);
  }
  return &here;
}

result<pool*> pools::on(raw_stream stream) noexcept {
  if (!state_->make) {
    const auto device = cuda_stream_device(stream.handle());
    if (!device) return device.error();
    return on(*device);
  }
  const auto count = device_count();
  for (int device = 0; device < *count; ++device) {
    auto here = on(device);
    if (!here) return here;
    const auto identity = (*here)->backend().examine(stream.handle());
    if (identity && identity->device == device) return here;
    if (!identity && identity.error().code == errc::stream_capturing) return identity.error();
  }
  return error{.code = errc::wrong_device, .what = "a stream of none of the devices"};
}

result<void> pools::allow_peers() noexcept {
  const auto count = device_count();
  if (!count) return count.error();
  result<void> first;
  for (int home = 0; home < *count; ++home) {
    const auto here = on(home);
    if (!here) {
      if (first) first = here.error();
      continue;
    }
    for (int peer = 0; peer < *count; ++peer) {
      auto done = peer == home ? result<void>() : (*here)->allow_peer(peer);
      if (!done && first) first = std::move(done);
    }
  }
  return first;
}

statistics pools::statistics() const {
  weir::statistics sum;
  const std::lock_guard lock(state_->mutex);
  for (const pool& p : state_->made) {
    if (!p) continue;
    const weir::statistics s = p.statistics();
    sum.pools += s.pools;
    sum.allocated += s.allocated;
    sum.free += s.free;
    sum.held += s.held;
    sum.reserved += s.reserved;
    sum.direct += s.direct;
    sum.cached += s.cached;
    sum.pending += s.pending;
    sum.pinned += s.pinned;
    sum.largest_free = std::max(sum.largest_free, s.largest_free);
    sum.allocated_peak += s.allocated_peak;
    sum.held_peak += s.held_peak;
    sum.reserved_peak += s.reserved_peak;
    sum.allocations += s.allocations;
    sum.deallocations += s.deallocations;
    sum.failures += s.failures;
    sum.live_count += s.live_count;
    sum.served.cache += s.served.cache;
    sum.served.heap += s.served.heap;
    sum.served.big_cache += s.served.big_cache;
    sum.served.other_passed += s.served.other_passed;
    sum.served.native += s.served.native;
    sum.served.other_waited += s.served.other_waited;
    sum.served.direct += s.served.direct;
    sum.native.allocate += s.native.allocate;
    sum.native.deallocate += s.native.deallocate;
    sum.native.grow += s.native.grow;
    sum.native.trim += s.native.trim;
    sum.native.record += s.native.record;
    sum.native.query += s.native.query;
    sum.native.wait += s.native.wait;
    sum.native.synchronize += s.native.synchronize;
    sum.waits_inserted += s.waits_inserted;
    sum.waits_fresh += s.waits_fresh;
    sum.splits += s.splits;
    sum.merges += s.merges;
    sum.pressure_events += s.pressure_events;
  }
  if (sum.free > 0)
    sum.fragmentation = 1 - static_cast<double>(std::min(sum.largest_free, sum.free)) / static_cast<double>(sum.free);
  return sum;
}

}  // namespace weir
