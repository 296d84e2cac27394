// SPDX-License-Identifier: Apache-2.0
//
// Streams and their work in virtual time. A stream is the time at which all put on it so far will be complete, so work
// needs no queue: it begins when its stream, and for the default stream and blocking ones the other side, is done.
// Handles are numbers and come back, last destroyed first, for later streams; ids never do.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "backend/sim/order_checker.hpp"
#include "weir/backend.hpp"

namespace weir::sim {

// A number for the calling thread that no other thread of the process ever has.
std::uint64_t this_thread();

class virtual_streams {
 public:
  struct stream {
    stream_handle handle = nullptr;
    std::uint64_t id = 0;
    stream_slot slot = 0;
    stream_kind kind = stream_kind::ordinary;
    bool non_blocking = true;
    bool capturing = false;
    bool alive = false;
    std::uint64_t ready_at_ns = 0;
    std::deque<std::uint64_t> launched{};  // when each unfinished launch will be complete, where they are bounded

    // When fewer than `launches_max` launches are unfinished: now, or later. What has finished by then is forgotten.
    std::uint64_t room_at(std::uint64_t now_ns, std::size_t launches_max);
  };

  // Handles lie in [first_handle, first_handle + handles_bytes).
  virtual_streams(std::uint64_t first_handle, order_checker&);
  static constexpr std::uint64_t handles_bytes = std::uint64_t{1} << 32;

  stream_handle create(bool non_blocking);
  // False where no such stream is alive; the special ones never die.
  bool destroy(stream_handle);
  // The stream behind a handle as the calling thread means it, or null.
  stream* find(stream_handle);
  // Also true of the legacy stream while a blocking stream is being captured: it takes no work then.
  bool is_capturing(const stream&);

  // Puts work on a stream; when it will be complete.
  std::uint64_t put(stream&, std::uint64_t now_ns, std::uint64_t duration_ns);
  // When all put on any stream so far will be complete, destroyed streams included.
  std::uint64_t all_complete_at() const;
  // The point after which a stream goes on.
  void hold_until(stream& s, std::uint64_t ns) { s.ready_at_ns = s.ready_at_ns < ns ? ns : s.ready_at_ns; }

 private:
  void begin(stream&, stream_handle, stream_kind, bool non_blocking);
  stream& per_thread();
  template <class Visit>
  void for_each_blocking(Visit);

  std::uint64_t first_handle_;
  order_checker& order_;
  stream legacy_;
  std::vector<stream> ordinary_;  // by handle
  std::vector<std::size_t> free_handles_;
  std::unordered_map<std::uint64_t, stream> per_thread_;  // by thread
  std::uint64_t dead_ready_at_ns_ = 0;                    // pending work of destroyed streams
  std::size_t blocking_count_ = 0;                        // alive, the default stream aside
};

}  // namespace weir::sim
