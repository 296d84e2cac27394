// SPDX-License-Identifier: Apache-2.0
//
// Keeps a stream busy for a given time, on a CUDA device with a kernel of one thread that looks at the clock, on the
// simulated device with work of that duration. What a replay or a benchmark runs beside its allocations.
//
//     auto kernel = busy_kernel::make(device);            // a replay_device
//     auto done = kernel->launch(stream, 20'000);         // 20 µs, in stream order; the host does not wait
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "weir/result.hpp"
#include "weir/sim.hpp"
#include "weir/stream.hpp"

namespace weir::cli {

class replay_device;

class busy_kernel {
 public:
  // Loads the kernel, so that no launch has to. errc::not_supported of a CUDA device where this build has no kernels.
  static result<busy_kernel> make(const replay_device&);

  // From any thread. A launch returns at once unless a thousand others wait on the stream. `writes` is what the order
  // checker of the simulated device takes the work to write; nothing is written on a CUDA device.
  result<void> launch(stream_handle, std::uint64_t duration_ns, std::span<const sim::range> writes = {}) const noexcept;

 private:
  busy_kernel() = default;

  std::shared_ptr<sim::device> sim_;
  int ordinal_ = 0;
};

}  // namespace weir::cli
