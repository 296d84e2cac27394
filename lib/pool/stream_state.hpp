// SPDX-License-Identifier: Apache-2.0
//
// What a pool knows of one stream: who it is, its heap, and its timeline.
//
// The timeline turns tickets into events. `current` is the epoch that tickets are given now; closing it (`close`)
// makes everything ticketed so far older than what follows. An event recorded after a close covers every epoch up to
// the closed one; once the event has completed they have passed.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "cache/thread_table.hpp"
#include "core/heap.hpp"
#include "weir/backend.hpp"
#include "weir/stream.hpp"

namespace weir::detail {

class pool_impl;
class stream_state;

// A number for the calling thread that no other thread of the process ever has: ids of std::thread come back.
std::uint64_t this_thread() noexcept;

// By which an exiting thread finds the pool of a cache, if that is still there.
class stream_home final : public cache::cache_home {
 public:
  stream_home(pool_impl& pool, stream_state& stream) : pool_(&pool), stream_(&stream) {}
  void thread_exits(cache::block_cache&) noexcept override;
  // Returns when no thread is at it any more.
  void detach() noexcept;

 private:
  std::mutex mutex_;
  pool_impl* pool_;
  stream_state* stream_;
};

class stream_state {
 public:
  stream_state(core::stream_index index, stream_handle handle, const stream_identity& identity, pool_impl* owner,
               std::uint64_t pool);
  stream_state(const stream_state&) = delete;
  stream_state& operator=(const stream_state&) = delete;

  // What a hit reads. The pool, while calls may use this stream in it: null once retired, lost or the pool is gone.
  std::atomic<pool_impl*> owner;
  const std::uint64_t serial;  // unique in the process
  const core::stream_index index;
  const std::uint64_t id;
  const stream_kind kind;
  const std::uint64_t thread;  // that met it first: the owner of a per-thread stream

  // Null once it must not be touched: retired, or found to be another stream's.
  std::atomic<stream_handle> handle;
  // Shared by every call of the backend with the handle that another stream's call makes, for as long as that takes;
  // retire() takes it alone to null the handle. So no call is under way with it when retire() returns and the program
  // destroys the stream, whose handle may come back at once. Beside the growth lock the only one held over such calls.
  mutable std::shared_mutex handle_mutex;
  // Somebody holds a token, and with it the promise that the handle is good until retire().
  std::atomic<bool> has_token{false};
  // A taker wanted an event that only a call on this stream may record.
  std::atomic<bool> is_asked{false};
  // While a capture scope is open on it, where its allocations come from.
  std::atomic<stream_state*> arena{nullptr};
  // It is such an arena, and nobody else's business.
  std::atomic<bool> is_pinned{false};
  // Every epoch up to this has passed; only grows.
  std::atomic<core::epoch> passed{0};
  std::atomic<unsigned> references{1};
  std::shared_ptr<stream_home> home;  // null for the reservoir's own stream

  // A short lock, never held over a backend call. Guards what follows.
  mutable std::mutex mutex;
  core::range_store store;
  core::heap heap;
  core::epoch current = 1;
  core::epoch used = 0;     // the last that a ticket, or something free in a heap, is of
  core::epoch covered = 0;  // by an event recorded
  core::epoch unseen = 0;   // of the last native free on it, while the driver was not shown that complete (order::show)
  core::epoch end = 0;      // of a retired stream: the epoch of its last work, 0 where no event is behind that
  struct recorded {
    core::epoch upto;
    backend_event* event;
  };
  std::deque<recorded> events;  // not known to have completed, oldest first
  bool is_polling = false;
  // Blocks of one size that this stream allocates and others free, met on misses.
  struct handing_over {
    std::size_t bytes = 0;
    unsigned misses = 0;
    std::size_t grown = 0;  // bytes got for them ahead of need
  };
  handing_over hand_over;
  std::vector<core::ticket> joined;  // points of other streams that this one waits for before anything new
  std::vector<std::shared_ptr<cache::block_cache>> caches;
  cache::block_counters counters;  // of caches that are gone, and of calls past any cache

  // All with the lock held.
  core::ticket now() noexcept {
    used = current;
    return {index, current};
  }
  // After all that was put on it so far, by a program that puts nothing on it once it is retired.
  core::ticket last_use() noexcept { return end ? core::ticket{index, end} : now(); }
  core::epoch close() noexcept { return current++; }
  void join(core::ticket) noexcept;
  bool has_joined(core::ticket) const noexcept;

  void raise_passed(core::epoch upto) noexcept;
};

}  // namespace weir::detail
