// SPDX-License-Identifier: Apache-2.0
//
// A pool's birth and end.
#include "pool/pool_impl.hpp"

#include <new>
#include <pthread.h>

#include "base/assert.hpp"
#include "pool/options_check.hpp"

namespace weir::detail {

namespace {

std::atomic<std::uint64_t> next_pool_id{1};

// Counts forks above this process: a pool belongs to the process that made it. The child forgets its thread's caches,
// so that hits, too, come to where this is looked at.
std::atomic<unsigned> fork_generation{0};

void in_child() {
  fork_generation.fetch_add(1, std::memory_order_relaxed);
  cache::thread_table::forget();
}

unsigned this_generation() {
  static const int registered = pthread_atfork(nullptr, nullptr, in_child);
  (void)registered;
  return fork_generation.load(std::memory_order_relaxed);
}

}  // namespace

pool_impl::pool_impl(std::unique_ptr<backend> b, pool_options options, std::uint64_t id) noexcept
    : id_(id),
      fork_generation_(this_generation()),
      backend_(std::move(b)),
      options_(std::move(options)),
      streams_(id),
      order_(*backend_, streams_, options_.trust_handles),
      reservoir_(*backend_, options_, streams_, order_, id, [this](const stream_state* caller) { gather(caller); }),
      needs_(needs_of(options_.trim)) {}

result<std::unique_ptr<pool_impl>> pool_impl::make(std::unique_ptr<backend> b, pool_options options) noexcept {
  if (!b) return error{.code = errc::invalid_argument, .what = "a pool without a backend"};
  if (auto good = check(options, b->capabilities()); !good) return std::move(good).error();
  stream_handle own = b->own_stream();
  auto identity = b->examine(own);
  if (!identity) return std::move(identity).error();
  const std::uint64_t id = next_pool_id.fetch_add(1, std::memory_order_relaxed);
  std::unique_ptr<pool_impl> made;
  try {
    made.reset(new pool_impl(std::move(b), std::move(options), id));
  } catch (const std::bad_alloc&) {
    return error{.code = errc::internal, .what = "no host memory for a pool"};
  }
  stream_state* none = nullptr;
  stream_state& reservoir_stream = made->streams_.add(own, *identity, nullptr, none);
  WEIR_ASSERT(reservoir_stream.index == 0);
  reservoir_stream.has_token.store(true, std::memory_order_relaxed);
  if (auto started = made->start_background(); !started) return std::move(started).error();
  return made;
}

result<void> pool_impl::start_background() {
  std::vector<background::tick> ticks;
  if (!options_.trim.empty() || options_.soft_bytes_max != SIZE_MAX) ticks.emplace_back([this] { tick(); });
  return background_.start(options_.background, std::move(ticks));
}

// Nobody calls any more; threads may still exit. Then everything native goes, whatever it is.
pool_impl::~pool_impl() {
  background_.stop();
  for (const auto& each : pinned_)
    if (const auto memory = each.lock()) memory->forget_pool();
  if (!is_mine()) {
    abandon();
    (void)backend_.release();  // it is the parent's, and its end would make calls
    return;
  }
  const auto all = streams_.all();
  for (stream_state* s : all)
    if (s->home) s->home->detach();
  reclaim_caches();
  report_leaks();
  for (stream_state* s : all) {
    s->owner.store(nullptr, std::memory_order_release);
    reclaim_caches(*s, true);
  }
  if (const auto done = order_.synchronize_device(); !done && done.error().code == errc::driver_unloading) {
    abandon();
    return;
  }
  reservoir_.release_all();
}

// In a child after fork, or with the driver gone: forget, and call nothing.
void pool_impl::abandon() noexcept {
  order_.abandon();
  reservoir_.abandon();
}

bool pool_impl::is_mine() const noexcept { return fork_generation_ == fork_generation.load(std::memory_order_relaxed); }

void pool_impl::say_allocated(void* p, std::size_t bytes, std::size_t alignment, const stream_state* s,
                              allocation_kind kind) noexcept {
  if (options_.checked) {
    const std::lock_guard lock(checked_mutex_);
    requested_[base::address(p)] = {bytes, true};
  }
  if (!options_.observer) [[likely]]
    return;
  options_.observer->on_allocate({.pointer = p,
                                  .bytes = bytes,
                                  .alignment = alignment,
                                  .stream_id = s ? s->id : 0,
                                  .device = device(),
                                  .kind = kind});
}

void pool_impl::say_deallocated(std::uintptr_t at, std::size_t given, std::size_t has, const stream_state* s,
                                allocation_kind kind) noexcept {
  if (!options_.observer) [[likely]]
    return;
  options_.observer->on_deallocate({.pointer = base::pointer(at),
                                    .bytes = given ? given : has,
                                    .stream_id = s ? s->id : 0,
                                    .device = device(),
                                    .kind = kind});
}

}  // namespace weir::detail
