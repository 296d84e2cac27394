// SPDX-License-Identifier: Apache-2.0
//
// A trace made ready to be replayed: 16 bytes an operation, ids replaced by dense slots, so that neither reading nor
// looking up disturbs what is measured. Operations stand in the trace's order, which is the program's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "trace_input.hpp"

namespace weir::cli {

enum class replay_kind : std::uint8_t {
  allocate,
  deallocate,
  record_use,  // the block in `slot` is also used on `stream`
  wait,        // `stream` waits for what stream number `slot` has so far
};

struct replay_op {
  std::uint64_t bytes = 0;  // of the block; as requested
  std::uint32_t slot = 0;   // where its pointer is kept
  std::uint16_t stream = 0;
  replay_kind kind = replay_kind::allocate;
  std::uint8_t alignment_log2 : 7 = 8;
  std::uint8_t is_direct : 1 = 0;  // outside the pool (cudaMalloc)

  std::size_t alignment() const noexcept { return std::size_t{1} << alignment_log2; }
};
static_assert(sizeof(replay_op) == 16);

// From operation `begin` on, until the next turn, a thread of the recording acts.
struct replay_turn {
  std::size_t begin = 0;
  std::uint32_t thread = 0;  // numbered by first appearance
};

struct replay_script {
  std::string name;  // the file's, up to its first dot
  std::vector<replay_op> ops;
  std::vector<replay_op> left_over;  // frees of the blocks that the trace leaves live, in order of allocation
  std::size_t slot_count = 0;
  std::size_t stream_count = 0;      // numbered by first appearance
  std::vector<replay_turn> turns;    // one where the trace has one thread
  std::size_t thread_count = 0;      // 1024 at most: those beyond share the numbers of others
  std::uint64_t operations = 0;      // allocations and frees among ops
  std::size_t peak_live_bytes = 0;   // largest sum of requested bytes of what is replayed, if nothing fails
  std::uint64_t recorded_ns = 0;     // how long the recording took; 0: neither times nor facts of it say so
  std::uint64_t skipped_blocks = 0;  // blocks of managed and host memory, which no pool of a device serves
};

// Reads a whole trace. Waits are kept as orders between two streams: nothing runs on them in a replay, so that the
// moment an event was recorded at makes no difference. Failures, synchronisations and marks of the recording are left
// out. Throws bad_input, as trace_input does.
replay_script load_replay_script(const trace_input_options&);

}  // namespace weir::cli
