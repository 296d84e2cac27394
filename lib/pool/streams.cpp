// SPDX-License-Identifier: Apache-2.0
//
// Who a stream is: tokens, raw handles, retiring.
#include "pool/pool_impl.hpp"
#include "pool/raw_places.hpp"

namespace weir::detail {

result<stream_state*> pool_impl::resolve(const weir::stream& token) const noexcept {
  stream_state* s = token.state();
  if (!s) return error{.code = errc::invalid_argument, .what = "an empty weir::stream"};
  const pool_impl* owner = s->owner.load(std::memory_order_acquire);
  if (owner == this) return s;
  if (!owner) return error{.code = errc::stream_retired};
  return error{.code = errc::wrong_device, .what = "a stream of another pool"};
}

thread_local constinit std::array<raw_places::place, 8> raw_places::mine;

// CUDA's special handles are never another stream's: they mean this device's, or this thread's.
bool pool_impl::is_verified(stream_handle handle, const stream_state& s) const noexcept {
  if (s.kind != stream_kind::ordinary || options_.trust_handles) return true;
  const auto id = backend_->identify(handle);
  return id && *id == s.id;
}

result<stream_state*> pool_impl::resolve(raw_stream raw) noexcept {
  auto s = resolve_slowly(raw);
  if (s) raw_places::remember(raw.handle(), id_, **s);
  return s;
}

result<stream_state*> pool_impl::resolve_slowly(raw_stream raw) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  const stream_handle handle = raw.handle();
  if (options_.trust_handles && handle != per_thread_stream()) {
    if (stream_state* known = streams_.by_handle(handle)) return known;
  } else {
    auto id = backend_->identify(handle);
    if (!id) {
      if (id.error().code == errc::stream_capturing)
        if (stream_state* vouched = in_scope(handle)) return vouched;
      return std::move(id).error();
    }
    if (stream_state* known = streams_.by_id(*id)) {
      if (known->owner.load(std::memory_order_acquire) == this) return known;
      return error{.code = errc::stream_retired};
    }
  }
  auto identity = backend_->examine(handle);
  if (!identity) return std::move(identity).error();
  if (identity->device != device()) return error{.code = errc::wrong_device};
  stream_state* displaced = nullptr;
  stream_state& s = streams_.add(handle, *identity, this, displaced);
  if (displaced) reclaim_caches(*displaced, true);
  // Its handle was forgotten when it was retired, so only its id tells.
  if (s.owner.load(std::memory_order_acquire) != this) return error{.code = errc::stream_retired};
  return &s;
}

result<weir::stream> pool_impl::identify(raw_stream raw) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  const auto id = backend_->identify(raw.handle());
  if (!id) {
    stream_state* const vouched = id.error().code == errc::stream_capturing ? in_scope(raw.handle()) : nullptr;
    if (!vouched) return id.error();
    return weir::stream(vouched);
  }
  stream_state* s = raw_places::find(raw.handle(), id_);
  if (!s || s->id != *id || s->owner.load(std::memory_order_acquire) != this) {
    auto met = resolve(raw);
    if (!met) return std::move(met).error();
    s = *met;
  }
  order_.answer(*s);  // a hit with what we answer does not
  return weir::stream(s);
}

// A stream that is being captured tells no id; who opened a scope on it says that the handle is still that stream's.
stream_state* pool_impl::in_scope(stream_handle handle) const noexcept {
  stream_state* s = streams_.by_handle(handle);
  if (!s || !s->arena.load(std::memory_order_acquire)) return nullptr;
  return s->kind != stream_kind::per_thread_default || s->thread == this_thread() ? s : nullptr;
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
  reclaim_caches(s, true);  // what a call in between brought back
  streams_.forget_handle(s);
  {
    const std::lock_guard alone(s.handle_mutex);
    s.handle.store(nullptr, std::memory_order_release);
  }
  if (!covered && covered.error().code == errc::not_supported) return {};
  return covered;
}

}  // namespace weir::detail
