// SPDX-License-Identifier: Apache-2.0
//
// Who a stream is: tokens, raw handles, retiring, and the caches of threads that exit.
#include "pool/pool_impl.hpp"

namespace weir::detail {

void stream_home::thread_exits(cache::block_cache& cache) noexcept {
  const std::lock_guard lock(mutex_);
  if (pool_) pool_->take_back(cache, *stream_, true);
}

void stream_home::detach() noexcept {
  const std::lock_guard lock(mutex_);
  pool_ = nullptr;
}

// The blocks of one cache go home. `is_last`: its thread is gone, its counts are kept and it is forgotten.
void pool_impl::take_back(cache::block_cache& cache, stream_state& s, bool is_last) noexcept {
  std::vector<core::block> blocks;
  cache.empty(blocks);
  return_blocks(s, blocks);
  if (!is_last) return;
  const std::lock_guard lock(s.mutex);
  std::array<std::uint64_t, core::class_count> held{};
  cache.sum(s.counters, held);
  std::erase_if(s.caches, [&](const auto& c) { return c.get() == &cache; });
}

void pool_impl::reclaim_caches() noexcept {
  for (stream_state* s : streams_.all()) reclaim_caches(*s);
}

void pool_impl::reclaim_caches(stream_state& s) noexcept {
  std::vector<std::shared_ptr<cache::block_cache>> caches;
  {
    const std::lock_guard lock(s.mutex);
    caches = s.caches;
  }
  for (const auto& c : caches) take_back(*c, s, false);
}

result<stream_state*> pool_impl::resolve(const weir::stream& token) const noexcept {
  stream_state* s = token.state();
  if (!s) return error{.code = errc::invalid_argument, .what = "an empty weir::stream"};
  const pool_impl* owner = s->owner.load(std::memory_order_acquire);
  if (owner == this) return s;
  if (!owner) return error{.code = errc::stream_retired};
  return error{.code = errc::wrong_device, .what = "a stream of another pool"};
}

result<stream_state*> pool_impl::resolve(raw_stream raw) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  const stream_handle handle = raw.handle();
  if (options_.trust_handles && handle != per_thread_stream()) {
    if (stream_state* known = streams_.by_handle(handle)) return known;
  } else {
    auto id = backend_->identify(handle);
    if (!id) return std::move(id).error();
    if (stream_state* known = streams_.by_id(*id)) {
      if (known->owner.load(std::memory_order_acquire) == this) return known;
      return error{.code = errc::stream_retired};
    }
  }
  auto identity = backend_->examine(handle);
  if (!identity) return std::move(identity).error();
  if (identity->device != device()) return error{.code = errc::wrong_device};
  stream_state& s = streams_.add(handle, *identity, this);
  // Its handle was forgotten when it was retired, so only its id tells.
  if (s.owner.load(std::memory_order_acquire) != this) return error{.code = errc::stream_retired};
  return &s;
}

result<weir::stream> pool_impl::token(raw_stream raw) noexcept {
  auto s = resolve(raw);
  if (!s) return std::move(s).error();
  (*s)->has_token.store(true, std::memory_order_release);
  return weir::stream(*s);
}

// From here on nobody may touch the handle, so one event is put behind all that was freed. Where that fails, the
// memory waits for a device synchronisation.
result<void> pool_impl::retire(stream_state& s) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  reclaim_caches(s);
  auto covered = order_.cover_all(s, &s);
  if (covered) {
    const std::lock_guard lock(s.mutex);
    s.end = s.covered;
  }
  s.owner.store(nullptr, std::memory_order_release);
  reclaim_caches(s);  // what a call in between brought back
  streams_.forget_handle(s);
  {
    const std::lock_guard alone(s.handle_mutex);
    s.handle.store(nullptr, std::memory_order_release);
  }
  if (!covered && covered.error().code == errc::not_supported) return {};
  return covered;
}

}  // namespace weir::detail
