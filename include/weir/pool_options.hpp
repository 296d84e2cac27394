// SPDX-License-Identifier: Apache-2.0
//
// How a pool behaves. Every field has a default that is right for most; designated initialisers name the rest.
//
//     auto pool = weir::pool::make(0, {.bytes_max = 8ull << 30, .trim = {weir::release_above(1ull << 30)}});
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "weir/memory_report.hpp"
#include "weir/observer.hpp"
#include "weir/trim_policy.hpp"

namespace weir {

// Asked before an allocation fails, outside all locks, so it may free memory of the pool, trim it and allocate from it;
// an allocation of its own that fails is not asked about. `attempt` counts from 1. True: try again. An exception from
// it is taken as false.
using out_of_memory_handler = std::function<bool(std::size_t bytes, unsigned attempt, const memory_report&)>;

// Told when reserved plus direct bytes have passed soft_bytes_max: once, and again after they were at or below it. By
// the thread whose call did it, outside all locks, so it may allocate from the pool and free to it (what it does itself
// passes the limit without another word). An exception from it is dropped.
using soft_limit_handler = std::function<void(std::size_t bytes, std::size_t limit)>;

// The places memory may come from between a miss in this stream's own heap and the pressure chain, in this order.
// Each can be turned off; statistics().served counts them.
struct order_steps {
  bool other_streams_passed = true;  // what other streams freed, once their work is known complete
  bool recycle = true;               // give free native memory back to the native pool before it would grow
  // Recycling includes what this stream itself still works on, given back and taken again in its own order.
  bool recycle_unfinished = true;
  bool other_streams_wait = true;  // the same as the first, making this stream wait: concurrency given for memory
};

struct pool_options {
  // Upper bound on reserved plus direct bytes. Never passed, not even for a moment.
  std::size_t bytes_max = std::numeric_limits<std::size_t>::max();
  // Where the pool begins to be thrifty: above it everything free is given back before it grows, whatever `slack` and
  // `order` say, and what comes free goes back to the driver. It grows nevertheless, and on_soft_limit is told.
  std::size_t soft_bytes_max = std::numeric_limits<std::size_t>::max();
  std::vector<trim_policy> trim{};
  // A thread of the pool's own runs the policies this often: zero, and there is none.
  std::chrono::milliseconds background{0};

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
  soft_limit_handler on_soft_limit{};
  // Told of each operation; null: one predicted branch a call. Shared by the pool for its life.
  std::shared_ptr<weir::observer> observer{};

  // The largest native allocation that blocks up to 16 MiB are cut from; a power of two from 32 MiB to 1 GiB. 64 MiB,
  // two chunks of the native pool, held the reference traces most evenly tight on the device (ARCHITECTURE.md,
  // "Placement").
  std::size_t region_bytes = std::size_t{64} << 20;
  // The first that a stream gets; a power of two from 4 MiB. Further ones are a quarter of what the stream has, between
  // the two sizes: a stream with few small blocks holds little.
  std::size_t region_bytes_min = std::size_t{8} << 20;
  // Freed blocks above 16 MiB kept for reuse, as a share of the peak of live ones: 0.07 from the same comparison.
  double big_cache_share = 0.07;
  // A kept block serves requests down to its size divided by 1 + this.
  double big_cache_fit = 0.125;
  // What one thread may hold for one stream in blocks up to 1 MiB. Of larger ones it holds 16, whatever their size.
  std::size_t cache_bytes_max = std::size_t{256} << 20;

  // How much more than it needs the pool may reserve before it recycles, as a share of the peak of live bytes.
  double slack = 0;

  // Properties of the native pool: cudaMemAllocationHandleType bits for export to other processes.
  unsigned handle_types = 0;
};

}  // namespace weir
