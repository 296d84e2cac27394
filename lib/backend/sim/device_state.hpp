// SPDX-License-Identifier: Apache-2.0
//
// What a simulated device and its backends share, behind one lock: time, streams, order, capacity, faults, counts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "backend/sim/address_windows.hpp"
#include "backend/sim/free_ranges.hpp"
#include "backend/sim/order_checker.hpp"
#include "backend/sim/virtual_streams.hpp"
#include "weir/sim.hpp"

namespace weir {

// The event of a simulated device. What it holds is the state at its last record.
struct backend_event {
  bool recorded = false;
  std::uint64_t complete_at_ns = 0;
  sim::stream_slot slot = 0;
  sim::vector_clock clock;
};

namespace sim {

// Which calls are to fail: after `after` that do not, `count` that do.
class fault_plan {
 public:
  void add(fault kind, unsigned count, unsigned after) { planned_[index(kind)] = {count, after}; }
  // Counts one call of that kind; true if it is to fail.
  bool strikes(fault kind) noexcept;

 private:
  struct plan {
    unsigned count = 0;
    unsigned after = 0;
  };
  static std::size_t index(fault kind) noexcept { return static_cast<std::size_t>(kind); }
  std::array<plan, static_cast<std::size_t>(fault::sticky) + 1> planned_{};
};

struct device_state {
  explicit device_state(options);
  ~device_state();

  // Bytes that neither pools, nor direct allocations, nor the neighbour have.
  std::size_t free_bytes() const noexcept;

  const options what;
  std::mutex mutex;  // guards all below
  address_window window;
  std::uint64_t now_ns = 0;
  order_checker order;
  // How far the host waited for each stream itself, which is what native pools see complete for a trim.
  vector_clock seen;
  void see(stream_slot slot, const vector_clock& upto) { seen.raise(slot, upto[slot]); }
  virtual_streams streams;
  fault_plan faults;
  bool lost = false;
  device::call_counts calls;

  std::size_t pools_reserved = 0;
  std::size_t direct_reserved = 0;
  std::size_t neighbour_bytes = 0;
  free_ranges direct_addresses{~std::uint64_t{0}};
  std::unordered_map<std::uint64_t, std::uint64_t> direct_live;  // address, bytes taken
};

// What is put on streams meanwhile is put there by the calling thread, where threads are apart. With the lock held.
class as_this_thread {
 public:
  explicit as_this_thread(device_state& device) : device_(device) {
    if (device.what.threads_apart) device.order.be_thread(this_thread());
  }
  ~as_this_thread() { device_.order.be_thread(0); }
  as_this_thread(const as_this_thread&) = delete;
  as_this_thread& operator=(const as_this_thread&) = delete;

 private:
  device_state& device_;
};

// Identity of a stream of another simulated device of this process, for the answer "wrong device".
result<stream_identity> identify_elsewhere(stream_handle) noexcept;
// Of a stream of `on`, whose lock is held. A capturing stream has none to tell.
result<stream_identity> identity_of(const virtual_streams::stream&, device_state& on) noexcept;

std::unique_ptr<backend> make_sim_backend(std::shared_ptr<device_state>, std::size_t pool_bytes_max);

}  // namespace sim
}  // namespace weir
