// SPDX-License-Identifier: Apache-2.0
//
// The two clocks of a native call. Virtual time passes by what the call costs on the modelled device; the calling
// thread's adjustment grows by that cost less the real time spent in the model, locks included.
#pragma once

#include <chrono>
#include <cstdint>

#include "backend/sim/device_state.hpp"

namespace weir::sim {

// Of the calling thread, over all simulated devices.
inline thread_local std::int64_t thread_adjustment_ns = 0;

class call_meter {
 public:
  call_meter() = default;
  ~call_meter() {
    const auto real = std::chrono::steady_clock::now() - began_;
    thread_adjustment_ns +=
        static_cast<std::int64_t>(modelled_ns_) - std::chrono::duration_cast<std::chrono::nanoseconds>(real).count();
  }
  call_meter(const call_meter&) = delete;
  call_meter& operator=(const call_meter&) = delete;

  // With the device's lock held.
  void pass(device_state& device, std::uint64_t ns) noexcept {
    device.now_ns += ns;
    modelled_ns_ += ns;
  }
  void pass_until(device_state& device, std::uint64_t at_ns) noexcept {
    if (at_ns > device.now_ns) pass(device, at_ns - device.now_ns);
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::uint64_t modelled_ns_ = 0;
};

}  // namespace weir::sim
