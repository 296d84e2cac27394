// SPDX-License-Identifier: Apache-2.0
//
// How a pool behaves. Every field has a default that is right for most; designated initialisers name the rest.
//
//     auto pool = weir::pool::make(0, {.bytes_max = 8ull << 30, .trim = {weir::release_above(1ull << 30)}});
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "weir/memory_report.hpp"
#include "weir/observer.hpp"

namespace weir {

// What to keep. Policies run on the slow path of allocations and at pool::trim(), never on a hit; several compose.
struct trim_policy {
  enum class rule { retain, release_above, defragment_above };
  rule kind = rule::retain;
  std::size_t bytes = 0;  // release_above
  double ratio = 0;       // defragment_above
};

// Keeps everything until memory is asked for elsewhere. The default.
inline trim_policy retain() noexcept { return {}; }
// Gives free native memory back to the driver while more than `bytes` are reserved.
inline trim_policy release_above(std::size_t bytes) noexcept { return {trim_policy::rule::release_above, bytes, 0}; }
// Defragments when statistics().fragmentation exceeds `ratio` (0 to 1) and more than a chunk is free.
inline trim_policy defragment_above(double ratio) noexcept { return {trim_policy::rule::defragment_above, 0, ratio}; }

// Asked before an allocation fails, outside all locks, so it may free memory of the pool. `attempt` counts from 1.
// True: try again. An exception from it is taken as false.
using out_of_memory_handler = std::function<bool(std::size_t bytes, unsigned attempt, const memory_report&)>;

// The places memory may come from between a miss in this stream's own heap and the pressure chain, in this order.
// Each can be turned off; statistics().served counts them.
struct order_steps {
  bool other_streams_passed = true;  // what other streams freed, once their work is known complete
  bool recycle = true;               // give free native memory back to the native pool before it would grow
  bool other_streams_wait = true;    // the same as the first, making this stream wait: concurrency given for memory
};

struct pool_options {
  // Upper bound on reserved plus direct bytes. Never passed, not even for a moment.
  std::size_t bytes_max = std::numeric_limits<std::size_t>::max();
  std::vector<trim_policy> trim{};

  // Raw handles are not verified by cudaStreamGetId at each call: for programs that never destroy a stream.
  bool trust_handles = false;
  // Looks at each allocation whether the stream is being captured and answers with errc::stream_capturing.
  bool guard_capture = false;
  // Remembers every block's requested size: exact size checks, and double frees found under races too.
  bool checked = false;
  // Every allocation is a direct one, for debugging with tools that know cudaMalloc.
  bool bypass = false;

  order_steps order{};
  out_of_memory_handler on_out_of_memory{};
  // Told of each operation; null: one predicted branch a call. Shared by the pool for its life.
  std::shared_ptr<weir::observer> observer{};

  // One native allocation that blocks up to 16 MiB are cut from; a power of two from 32 MiB to 1 GiB. 64 MiB, two
  // chunks of the native pool, held the reference traces most evenly tight on the device (ARCHITECTURE.md,
  // "Placement").
  std::size_t region_bytes = std::size_t{64} << 20;
  // Freed blocks above 16 MiB kept for reuse, as a share of the peak of live ones: 0.07 from the same comparison.
  double big_cache_share = 0.07;
  // A kept block serves requests down to its size divided by 1 + this.
  double big_cache_fit = 0.125;
  // What one thread may hold for one stream.
  std::size_t cache_bytes_max = std::size_t{128} << 20;

  // Properties of the native pool: cudaMemAllocationHandleType bits for export to other processes.
  unsigned handle_types = 0;
};

}  // namespace weir
