// SPDX-License-Identifier: Apache-2.0
//
// What one pass of one allocator over one trace came to: the numbers of the table and of the JSON.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weir::cli {

// Of one kind of call, in nanoseconds.
struct latency_figures {
  double p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0;
};

struct native_call_figures {
  std::uint64_t allocate = 0, deallocate = 0, grow = 0, trim = 0;
  std::uint64_t total() const noexcept { return allocate + deallocate + trim; }
};

// Names that stay and numbers that only grow, such as {"served_heap", 12}.
using counted = std::vector<std::pair<const char*, std::uint64_t>>;

struct verified_figures {
  std::uint64_t bytes = 0;
  std::uint64_t differences = 0;
  std::uint64_t orders_added = 0;    // waits between streams that the trace does not have
  std::vector<std::string> first{};  // of the differences, in words
};

struct replay_figures {
  std::string trace;
  std::string allocator;
  unsigned pass = 1;
  std::uint64_t operations = 0;     // calls made: allocations, failed ones too, and frees
  std::uint64_t failed = 0;         // allocations that were answered with an error
  std::size_t peak_live_bytes = 0;  // largest sum of requested bytes
  // The native pool's high mark in this pass, plus the peak of direct bytes; nothing where a plugin does not tell.
  std::optional<std::size_t> peak_reserved_bytes{};
  double host_ms = 0;                 // the sum of all calls, as measured or modelled
  std::array<double, 5> driver_ms{};  // of that in the driver: allocate, deallocate, trim, order, other
  double makespan_ms = 0;             // from the first event until the device had done all its work
  double background_cpu_ms = 0;       // processor time of the process's other threads meanwhile
  latency_figures allocate_ns{};
  latency_figures deallocate_ns{};
  double cached_rate = 0;
  double hit_rate = 0;
  bool is_modelled = false;
  native_call_figures native_calls{};
  counted counts{};                  // what else was counted, in the order told
  std::uint64_t waits_inserted = 0;  // for another of the trace's streams
  std::uint64_t waits_fresh = 0;     // for the reservoir's stream
  std::optional<verified_figures> verified{};

  std::optional<double> reserved_over_live() const noexcept {
    if (!peak_reserved_bytes) return std::nullopt;
    return peak_live_bytes ? static_cast<double>(*peak_reserved_bytes) / static_cast<double>(peak_live_bytes) : 0;
  }
};

}  // namespace weir::cli
