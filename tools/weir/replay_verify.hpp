// SPDX-License-Identifier: Apache-2.0
//
// What a verified replay does around the allocator's calls: fills each block on its stream, checks it on second streams
// and where it is freed. It follows the order of the trace's waits with vector clocks over the streams; where a trace
// goes to another stream without one (its program synchronised, or was wrong) it makes the stream wait and counts that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "block_verifier.hpp"
#include "replay_script.hpp"
#include "replay_streams.hpp"

namespace weir::cli {

class replay_verify {
 public:
  // `spoil_every`: of so many blocks one is spoiled before its free; 0: none. `knows_uses`: the allocator is told of
  // uses on second streams and waits for them; for others the stream that frees is made to wait, as their users must.
  replay_verify(block_verifier&, replay_streams&, const replay_script&, bool knows_uses, std::uint64_t spoil_every = 0);

  // After the allocation `op` was served.
  result<void> filled(const replay_op&, void* block);
  // Before the allocator is told of the use.
  result<void> used(const replay_op&, void* block);
  // Before the free.
  result<void> released(const replay_op&, void* block);
  // The trace's own wait.
  result<void> order(std::size_t earlier, std::size_t later);

  std::uint64_t orders_added() const noexcept { return orders_added_; }

 private:
  struct access {
    std::uint16_t stream = 0;
    std::uint32_t tick = 0;
  };
  struct slot_state {
    std::uint64_t id = 0;
    access fill;
    std::vector<access> uses;
  };
  access tick(std::uint16_t stream) noexcept { return {stream, ++clock(stream, stream)}; }
  std::uint32_t& clock(std::size_t of, std::size_t stream) noexcept { return clocks_[of * stream_count_ + stream]; }
  result<void> come_after(const access& earlier, std::uint16_t stream);
  result<void> check(const replay_op&, void* block);

  block_verifier& verifier_;
  replay_streams& streams_;
  std::size_t stream_count_;
  bool knows_uses_;
  std::uint64_t spoil_every_;
  std::vector<std::uint32_t> clocks_;  // a row a stream
  std::vector<slot_state> slots_;
  std::uint64_t next_id_ = 1;
  std::uint64_t orders_added_ = 0;
};

}  // namespace weir::cli
