// SPDX-License-Identifier: Apache-2.0
//
// Proves that each use of device memory is ordered after the last one it conflicts with. Clocks have one component per
// stream; the host has a clock too, which takes in what it observes complete and hands itself on to every stream it
// puts work on. Host threads that are apart have a clock each besides, for what the program itself waited for; what one
// knows another learns at a lock that both held. Memory is a map of segments, each with its last write and the reads
// since; an access compares these with the clock of its stream. That work happens to be complete orders nothing.
//
// A segment exists from allocation to free, so an access outside of one is a violation too. Allocation writes a
// segment: the stream that allocated may use it at once, others when ordered after it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/sim/vector_clock.hpp"
#include "weir/sim.hpp"

namespace weir::sim {

class order_checker {
 public:
  enum class access { read, write };

  stream_slot add_stream(std::uint64_t id);
  // The slot serves another stream once the host has observed all of this one.
  void retire_stream(stream_slot);

  // Host puts something on a stream: the point it gets.
  std::uint64_t enqueue(stream_slot);
  // All of `earlier` so far comes before what follows on `later`.
  void follow(stream_slot later, stream_slot earlier);
  void follow(stream_slot later, const vector_clock& earlier);
  // The host saw that complete.
  void observe(const vector_clock&);
  void observe(stream_slot);
  void observe_all();

  // The calling thread of what follows; 0 is nobody's and knows nothing of its own.
  void be_thread(std::uint64_t thread);
  // As observe, for the calling thread alone.
  void observe_privately(stream_slot);
  void observe_all_privately();
  void hand_over(const void* lock);
  void take_over(const void* lock);

  const vector_clock& clock(stream_slot slot) const { return streams_[slot].clock; }
  stream_slot slots() const { return static_cast<stream_slot>(streams_.size()); }

  void allocate(std::uint64_t begin, std::uint64_t bytes, stream_slot);
  // By the host, for any stream.
  void allocate_direct(std::uint64_t begin, std::uint64_t bytes);
  // Checked as a write, then the segments are gone.
  void deallocate(std::uint64_t begin, std::uint64_t bytes, stream_slot);
  // Gone without a check.
  void forget(std::uint64_t begin, std::uint64_t end);
  void use(std::uint64_t begin, std::uint64_t bytes, stream_slot, access, const char* verb);

  void report(std::string text, std::uint64_t address);
  const std::vector<violation>& violations() const noexcept { return violations_; }

 private:
  struct stream_state {
    vector_clock clock;
    std::uint64_t id = 0;
    std::uint64_t tick = 0;
    std::uint64_t host_version = 0;
    std::uint64_t thread_version = 0;  // of the thread that put something on it last
  };
  // Versions are of all threads together, so one tells thread and state.
  struct host_thread {
    vector_clock clock;
    std::uint64_t version = 0;
  };
  struct epoch {
    stream_slot slot = 0;  // 0: the host, before everything
    std::uint64_t tick = 0;
  };
  struct segment {
    std::uint64_t end = 0;
    epoch write;
    std::vector<epoch> reads;
  };
  using segment_map = std::map<std::uint64_t, segment>;

  bool happened_before(const epoch& earlier, stream_slot later) const;
  void split(std::uint64_t address);
  void check(std::uint64_t begin, const segment&, stream_slot, access, const char* verb);
  void mark(segment&, stream_slot, access) const;
  std::string name(const epoch&) const;

  std::vector<stream_state> streams_ = std::vector<stream_state>(1);  // slot 0 is nobody's
  std::vector<stream_slot> retired_;
  vector_clock host_;
  std::uint64_t host_version_ = 0;
  std::map<std::uint64_t, host_thread> threads_;
  std::map<const void*, vector_clock> locks_;
  host_thread nobody_;
  host_thread* thread_ = &nobody_;
  std::uint64_t last_thread_version_ = 0;
  segment_map segments_;
  std::vector<violation> violations_;
};

}  // namespace weir::sim
