// SPDX-License-Identifier: Apache-2.0
//
// Shows that a block is its user's alone: fills it with a pattern of its own and compares later, by kernels in stream
// order. Differences are counted on the device and read when asked for. On the simulated device, which touches no
// memory, the same calls are launches whose accesses its order checker looks at; each violation counts as a difference.
//
//     auto verifier = block_verifier::make(device);                    // a replay_device
//     verifier->fill({pointer, bytes, id}, stream, 3);                 // 3: what the stream is called
//     verifier->check({pointer, bytes, id}, other_stream, 4);          // ordered behind the fill by the program
//     device.synchronize(); auto found = verifier->take();
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "weir/result.hpp"
#include "weir/sim.hpp"
#include "weir/stream.hpp"

namespace weir::cli {

class replay_device;
struct verify_counters;
struct verify_work;

struct verified_block {
  void* pointer = nullptr;  // as an allocator gives it: a multiple of 256
  std::size_t bytes = 0;
  std::uint64_t id = 0;  // of this fill: decides the pattern, and is named where it is not found
};

struct verify_findings {
  std::uint64_t bytes = 0;           // compared
  std::uint64_t differences = 0;     // words of 4 bytes; of the simulated device: accesses out of order
  std::vector<std::string> first{};  // the first few in words
};

class block_verifier {
 public:
  // Of blocks above `bytes_max` only so much is filled and compared: their first and last 4 KiB and pages between,
  // evenly spread; 0: all of every block. errc::not_supported of a CUDA device where this build has no kernels.
  static result<std::unique_ptr<block_verifier>> make(const replay_device&, std::size_t bytes_max = 0);
  ~block_verifier();
  block_verifier(const block_verifier&) = delete;
  block_verifier& operator=(const block_verifier&) = delete;

  // From any thread; nothing of a null block. The host does not wait.
  result<void> fill(const verified_block&, stream_handle, unsigned stream) noexcept;
  result<void> check(const verified_block&, stream_handle, unsigned stream) noexcept;
  // For whoever doubts that it would be seen: changes the last byte behind everybody's back, on the simulated device by
  // work that nothing is ordered with.
  result<void> spoil(const verified_block&) noexcept;

  // What was found since the last time. Precondition: the device has done all checks, and none is launched meanwhile.
  result<verify_findings> take();

 private:
  block_verifier() = default;
  verify_work work_of(const verified_block&, unsigned stream) const noexcept;
  void take_violations(verify_findings&);

  std::shared_ptr<sim::device> sim_;
  int ordinal_ = 0;
  std::size_t bytes_max_ = 0;
  verify_counters* counters_ = nullptr;  // in device memory
  std::size_t violations_seen_ = 0;
  stream_handle stray_ = nullptr;  // of the simulated device, for spoil()
  std::atomic<std::uint64_t> bytes_checked_{0};
};

}  // namespace weir::cli
