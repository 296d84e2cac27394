// SPDX-License-Identifier: Apache-2.0
//
// When there is no room: wait for tickets, reclaim the caches of other threads, give back what is free, trim,
// synchronise the device, ask the user; then say who has it.
#include <utility>

#include "pool/pool_impl.hpp"

namespace weir::detail {

// The first round takes what can be had by waiting on streams, the second what needs the host to wait.
void pool_impl::relieve(bool synchronize, const stream_state* caller) noexcept {
  reclaim_caches();
  if (synchronize) (void)order_.synchronize_device().has_value();
  for (stream_state* each : streams_.all()) settle(*each, caller);
  (void)reservoir_.release_free(true, caller);
  if (synchronize) (void)reservoir_.trim_native(0).has_value();
}

namespace {

constexpr unsigned rounds_max = 8;

}  // namespace

// A relief leaves nothing cached or pending. What is so after it was freed since, by threads that took what we were
// after: enough of it is worth another round.
bool pool_impl::has_freed_since(std::size_t bytes) const noexcept {
  const statistics now = read_statistics();
  return now.cached + now.pending >= bytes;
}

// Tries again after each relief there is, and after each time the handler says so. No lock is held in between, so
// threads under pressure at once share what the others set free.
result<void*> pool_impl::under_pressure(std::size_t bytes, const stream_state* caller,
                                        const attempt_again& again) noexcept {
  pressure_events_.fetch_add(1, std::memory_order_relaxed);
  unsigned asked = 0;
  for (;;) {
    result<void*> p = static_cast<void*>(nullptr);
    for (unsigned round = 0; round < rounds_max; ++round) {
      relieve(round > 0, caller);
      p = again();
      if (p || p.error().code != errc::out_of_memory) return p;
      if (round > 0 && !has_freed_since(bytes)) break;
    }
    if (ask_handler(bytes, asked)) continue;
    error why = std::move(p).error();
    why.bytes = bytes;
    why.report = std::make_shared<const memory_report>(report(bytes, asked));
    return why;
  }
}

// Not for an allocation that the handler itself makes: it would ask itself for ever.
bool pool_impl::ask_handler(std::size_t bytes, unsigned& asked) noexcept {
  static thread_local const pool_impl* asking = nullptr;
  if (!options_.on_out_of_memory || asking == this) return false;
  ++asked;
  const pool_impl* const outer = std::exchange(asking, this);
  bool again = false;
  try {
    again = options_.on_out_of_memory(bytes, asked, report(bytes, asked));
  } catch (...) {
    // As false.
  }
  asking = outer;
  return again;
}

memory_report pool_impl::report(std::size_t bytes, unsigned attempts) const noexcept {
  const statistics now = read_statistics();
  memory_report r;
  r.requested = bytes;
  r.live = now.allocated;
  r.direct = now.direct;
  r.held = now.held;
  r.cached = now.cached;
  r.pending = now.pending;
  const std::size_t rest = now.free - std::min(now.free, now.cached + now.pending);
  (now.largest_free < bytes ? r.too_small : r.other_stream) = rest;
  r.largest_free = now.largest_free;
  r.reserved = now.reserved;
  r.bytes_max = reservoir_.bytes_max();
  if (const auto memory = backend_->memory()) {
    r.device_free = memory->free;
    r.device_total = memory->total;
  }
  r.attempts = attempts;
  return r;
}

}  // namespace weir::detail
