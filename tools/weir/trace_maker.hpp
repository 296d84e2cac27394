// SPDX-License-Identifier: Apache-2.0
//
// What a workload model writes its trace with: blocks, uses and hand-overs in, records out. It knows what each stream
// is ordered behind, so it records an event and a wait exactly where a correct program would need one.
//
//     trace_maker make(writer);
//     make.act_as(2);                               // thread 2 of the recording
//     const auto block = make.allocate(4096, 0);    // on stream 0
//     make.use(block, 1);                           // waits first
//     make.deallocate(block, 0);
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weir/trace/writer.hpp"

namespace weir::cli {

class trace_maker {
 public:
  struct block {
    std::uint64_t id = 0;
    std::uint64_t bytes = 0;
    std::uint32_t stream = 0;  // where it was last owned
    std::uint64_t tick = 0;    // of that stream, when its content was written
  };

  explicit trace_maker(trace::writer& out) : out_(out) {}

  // Before anything else: streams are numbered from 0.
  void add_streams(std::uint32_t count);
  void act_as(std::uint32_t thread) noexcept { thread_ = thread; }
  void let_pass(std::uint64_t ns) noexcept { now_ns_ += ns; }

  block allocate(std::uint64_t bytes, std::uint32_t stream, std::uint64_t alignment = 0);
  // A second stream uses the block; the allocator is told.
  void use(const block&, std::uint32_t stream);
  // `to` becomes the stream that owns it: work there comes after what was done with it so far.
  void hand_over(block&, std::uint32_t to);
  void deallocate(const block&, std::uint32_t stream);

  std::uint64_t live_bytes() const noexcept { return live_bytes_; }
  std::uint64_t peak_live_bytes() const noexcept { return peak_live_bytes_; }
  // Allocations, frees and uses so far.
  std::uint64_t events() const noexcept { return events_; }

 private:
  void write(trace::record);
  void come_after(const block&, std::uint32_t stream);
  std::uint64_t& clock(std::size_t of, std::size_t stream) noexcept { return clocks_[of * streams_ + stream]; }

  trace::writer& out_;
  std::uint32_t streams_ = 0;
  std::uint32_t thread_ = 0;
  std::uint64_t now_ns_ = 0;
  std::uint64_t next_id_ = 1;
  std::uint64_t live_bytes_ = 0;
  std::uint64_t peak_live_bytes_ = 0;
  std::uint64_t events_ = 0;
  std::vector<std::uint64_t> clocks_;  // a row a stream: how much of each other comes before its next work
};

}  // namespace weir::cli
