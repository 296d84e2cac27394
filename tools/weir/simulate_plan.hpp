// SPDX-License-Identifier: Apache-2.0
//
// What a seed chose for a whole run: a device, a pool's options, and how often each operation happens. Each seed turns
// some operations off and exaggerates others (swarm), for what is never freed or never trimmed finds other things than
// an even mix.
//
// The fault model. The device may refuse a native allocation, a free, a trim, an event, a record, a wait, a query, a
// synchronisation or a direct allocation, each at its own rate; the call then changes nothing and a later one may
// succeed. It may answer that work has not finished though it has, for a while or for ever, so that an event never
// completes for who only asks; who waits for it gets it. It may be lost for good, and then every call says so. A
// neighbour takes and gives back memory at any moment. Calls that succeed do what they say: the device never lies
// about order, sizes or addresses, and host memory never runs out.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "random_source.hpp"
#include "weir/pool_options.hpp"
#include "weir/sim.hpp"

namespace weir::simulation {

using cli::random_source;

inline constexpr std::size_t kib = std::size_t{1} << 10;
inline constexpr std::size_t mib = std::size_t{1} << 20;
inline constexpr std::size_t chunk_bytes = 32 * mib;

enum class operation : unsigned {
  allocate,
  burst,
  pairs,
  queue,
  deallocate,
  deallocate_many,
  write,
  share,
  create_stream,
  retire_stream,
  lose_stream,
  start_thread,
  end_thread,
  pass_on,
  advance,
  synchronize,
  stall,
  trim,
  defragment,
  set_limit,
  neighbour,
  direct,
  capture,
  relay,
  squeeze,
  replace,
  guest,
  rest,
  bad_call,
  count
};
inline constexpr std::size_t operation_count = static_cast<std::size_t>(operation::count);
const char* to_string(operation) noexcept;

// In how many of 1000 steps the next few calls of a kind begin to fail.
inline constexpr std::size_t fault_count = static_cast<std::size_t>(sim::fault::sticky) + 1;
using fault_rates = std::array<unsigned, fault_count>;
// none, or KIND=RATE,… with a rate in steps of 1000. Nothing where the text says anything else.
std::optional<fault_rates> parse_faults(std::string_view);
std::string to_text(const fault_rates&);

// A fault planted in the device, which the checkers have to find: for tests of the checkers.
enum class plant { none, wait, query, leak };
std::optional<plant> parse_plant(std::string_view);

inline constexpr unsigned steps_default = 160;
inline constexpr unsigned threads_most = 6;
inline constexpr unsigned streams_most = 8;
inline constexpr unsigned pools_most = 2;

// What is asked for: a seed, and what makes its run smaller.
struct request {
  std::uint64_t seed = 0;
  unsigned steps = steps_default;
  unsigned threads_max = threads_most;
  unsigned streams_max = streams_most;
  unsigned pools_max = pools_most;
  std::optional<fault_rates> faults{};  // else as the seed chose
  bool is_partial = false;              // only some steps are done:
  std::set<unsigned> only{};
  simulation::plant plant = simulation::plant::none;
};

// Of one of the run's pools, which stand side by side on its device.
struct pool_plan {
  bool has_observer = false;
  bool has_handler = false;       // of out of memory, which frees
  bool has_soft_handler = false;  // which trims
  bool is_backed = false;         // the native pool has the pool's limit too
  pool_options options{};
};

struct plan {
  explicit plan(const request&);

  std::size_t device_bytes;
  std::size_t size_max;
  unsigned check_every;
  unsigned launch_percent;     // of allocations that a kernel follows
  unsigned aligned_percent;    // of allocations with an alignment of their own
  unsigned interrupt_percent;  // of steps in which another thread frees while a call waits for the device
  unsigned threads_max;
  unsigned streams_max;
  fault_rates faults;
  std::vector<pool_plan> pools;
  std::array<unsigned, operation_count> weights;
};

}  // namespace weir::simulation
