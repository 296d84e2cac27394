// SPDX-License-Identifier: Apache-2.0
//
// What a bench found: rows of the tables and of the JSON, by section. Times are host nanoseconds unless said.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace weir::cli {

// One allocation and its free on one stream.
struct pair_figures {
  std::string allocator;
  std::size_t bytes = 0;
  double ns_median = 0;                        // of loops of many pairs, a pair: the timer is not in it
  double ns_p50 = 0, ns_p99 = 0, ns_p999 = 0;  // of pairs timed one by one: the timer is
};

// 100 blocks allocated, then freed in an order; a pair.
struct batch_figures {
  std::string allocator;
  std::size_t bytes = 0;
  const char* order = "";  // lifo, fifo, random
  double ns_median = 0;
};

// Million operations a second of all threads together; an allocation is one, a free is one.
struct threads_figures {
  std::string allocator;
  unsigned threads = 0;
  double mops = 0;
};

// Blocks allocated on one stream and freed on another that waits for it; a pair of calls.
struct hand_over_figures {
  std::string allocator;
  std::size_t bytes = 0;
  unsigned depth = 0;                           // live at once
  const char* pattern = "";                     // one_way, one_way_kernel, ping_pong
  double ns_mean = 0;                           // less what the timer itself takes
  double ns_mean_timed = 0;                     // the timer included
  std::optional<std::size_t> reserved_bytes{};  // at the end
  std::optional<std::size_t> reserved_bytes_peak{};
};

// Device time of streams that allocate as they go, and of the same kernels on memory that was there before.
struct makespan_figures {
  std::string allocator;
  double ms = 0;
  double preallocated_ms = 0;
  double cold_ms = 0;  // of the first run, which grows
  std::optional<std::size_t> reserved_bytes_peak{};
  double ratio() const noexcept { return preallocated_ms > 0 ? ms / preallocated_ms : 0; }
};

// Blocks allocated from nothing until they are many, freed, trimmed.
struct growth_figures {
  std::string allocator;
  std::size_t bytes = 0;
  std::size_t blocks = 0;
  double ns_mean = 0, ns_max = 0;  // an allocation
  std::optional<std::size_t> reserved_bytes{};
  std::optional<double> trim_ms{};  // nothing where an allocator cannot
  std::optional<std::size_t> reserved_bytes_trimmed{};
};

// A measurement that could not be made.
struct bench_refusal {
  std::string allocator;
  std::string section;
  std::string why;
};

struct bench_figures {
  double floor_ns = 0;  // a pair of calls that do nothing
  std::vector<pair_figures> pair;
  std::vector<batch_figures> batch;
  std::vector<threads_figures> threads;        // each thread on its own stream
  std::vector<threads_figures> shared_stream;  // all on one
  std::vector<hand_over_figures> hand_over;
  std::vector<makespan_figures> makespan;
  std::vector<growth_figures> growth;
  std::vector<bench_refusal> refused;
};

}  // namespace weir::cli
