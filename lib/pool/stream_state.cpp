// SPDX-License-Identifier: Apache-2.0
#include "pool/stream_state.hpp"

#include <algorithm>

namespace weir {
namespace detail {

namespace {

std::atomic<std::uint64_t> next_serial{1};
std::atomic<std::uint64_t> next_thread{1};

}  // namespace

std::uint64_t this_thread() noexcept {
  static thread_local const std::uint64_t mine = next_thread.fetch_add(1, std::memory_order_relaxed);
  return mine;
}

stream_state::stream_state(core::stream_index i, stream_handle h, const stream_identity& identity, pool_impl* pool,
                           std::uint64_t pool_id)
    : owner(pool),
      serial(next_serial.fetch_add(1, std::memory_order_relaxed)),
      index(i),
      id(identity.id),
      kind(identity.kind),
      thread(this_thread()),
      handle(h),
      home(pool ? std::make_shared<stream_home>(*pool, *this) : nullptr),
      heap(i, store, pool_id) {}

void stream_state::join(core::ticket point) noexcept {
  const auto same =
      std::find_if(joined.begin(), joined.end(), [&](core::ticket t) { return t.stream == point.stream; });
  if (same == joined.end())
    joined.push_back(point);
  else
    same->epoch = std::max(same->epoch, point.epoch);
}

bool stream_state::has_joined(core::ticket point) const noexcept {
  return std::any_of(joined.begin(), joined.end(),
                     [&](core::ticket t) { return t.stream == point.stream && t.epoch >= point.epoch; });
}

void stream_state::raise_passed(core::epoch upto) noexcept {
  core::epoch before = passed.load(std::memory_order_relaxed);
  while (before < upto && !passed.compare_exchange_weak(before, upto, std::memory_order_release)) {}
}

void retain(stream_state* s) noexcept { s->references.fetch_add(1, std::memory_order_relaxed); }

void release(stream_state* s) noexcept {
  if (s->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete s;
}

}  // namespace detail

stream_handle stream::handle() const noexcept { return state_->handle.load(std::memory_order_acquire); }

std::uint64_t stream::id() const noexcept { return state_->id; }

}  // namespace weir
