// SPDX-License-Identifier: Apache-2.0
//
// What stands behind weir::graph_memory: the arenas that captures allocated from, until the last share is given up.
//
// An arena is a stream_state without a stream: a heap, and a timeline that nothing is recorded on. It is in the table
// of streams, so that a free finds the way home by the index in its region, and `is_pinned`, so that nobody else looks
// there. Inside a capture one stream alone takes from it and gives to it, in the order of that stream, which is the
// graph's. What is freed elsewhere comes home with a ticket and waits until that has passed: a graph runs later than
// its capture, so what has passed then is past for it too. When the end comes the arena becomes what a retired stream
// is.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "pool/stream_state.hpp"
#include "weir/result.hpp"

namespace weir::detail {

class pool_impl;

class pinned_memory {
 public:
  explicit pinned_memory(pool_impl& pool) noexcept : pool_(&pool) {}
  pinned_memory(const pinned_memory&) = delete;
  pinned_memory& operator=(const pinned_memory&) = delete;

  void add_share() noexcept;
  // `after`: of the pool, in the very call that gave it; null: nothing is known.
  void drop_share(stream_state* after) noexcept;

  // The scope of a stream. errc::invalid_argument where one is open on it, or the memory is another pool's.
  result<void> open(stream_state&, const pool_impl&) noexcept;
  void close(stream_state&) noexcept;

  std::size_t bytes() const noexcept;
  // Null once the pool is gone. Whoever has a share and calls into it must not outlive the pool meanwhile, as any call.
  pool_impl* pool() const noexcept;
  // The pool goes.
  void forget_pool() noexcept;

 private:
  struct arena {
    stream_state* state;
    stream_state* user;  // of the scope that is open on it; null: none
    const stream_state* last_user;
  };
  void end(stream_state* after) noexcept;

  mutable std::mutex mutex_;  // before every lock of the pool
  pool_impl* pool_;
  std::vector<arena> arenas_;
  unsigned shares_ = 0;
  const stream_state* released_on_ = nullptr;  // the last that a share was given up on
  bool must_wait_ = false;                     // there was another before it
};

}  // namespace weir::detail
