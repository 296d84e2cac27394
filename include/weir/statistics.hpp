// SPDX-License-Identifier: Apache-2.0
//
// What a pool has and has done, as one struct of numbers. Bytes unless the name says otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

// Allocations by what answered them; each is counted once, where it was served.
struct served_counts {
  std::uint64_t cache = 0;         // the thread's own, no lock, no native call: "cached"
  std::uint64_t heap = 0;          // this stream's heap
  std::uint64_t big_cache = 0;     // a kept block above 16 MiB
  std::uint64_t other_passed = 0;  // memory of another stream whose work had completed
  std::uint64_t native = 0;        // needed a native allocation: a miss
  std::uint64_t other_waited = 0;  // memory of another stream, this one made to wait
  std::uint64_t direct = 0;
};

// Calls of the backend, by what for.
struct native_counts {
  std::uint64_t allocate = 0;
  std::uint64_t deallocate = 0;
  std::uint64_t grow = 0;  // allocations after which more was reserved than before
  std::uint64_t trim = 0;
  std::uint64_t record = 0, query = 0, wait = 0, synchronize = 0;
};

struct stream_statistics {
  std::uint64_t id = 0;
  std::size_t held = 0;     // regions of its heap
  std::size_t free = 0;     // in its heap
  std::size_t pending = 0;  // come home with the ticket of another stream not yet passed
  std::size_t cached = 0;   // in threads' caches for it
  bool retired = false;
};

struct class_statistics {
  std::size_t bytes = 0;  // of one block
  std::uint64_t live_count = 0;
  std::uint64_t cached_count = 0;
};

// Consistent when no other thread works on the pool; otherwise each number is one that was true in passing.
struct statistics {
  std::size_t pools = 0;         // native pools behind it: 1, or their sum over weir::pools
  std::size_t allocated = 0;     // live: the user has, rounded to classes, direct ones too
  std::size_t free = 0;          // held and not live
  std::size_t held = 0;          // in native allocations
  std::size_t reserved = 0;      // the native pool has from the driver
  std::size_t direct = 0;        // live outside the native pool
  std::size_t cached = 0;        // of free: in caches of threads
  std::size_t cached_large = 0;  // of cached: above 1 MiB
  std::size_t pending = 0;       // of free: waits for a ticket
  std::size_t pinned = 0;        // of held: for CUDA graphs, live or not (weir/capture.hpp)
  std::size_t largest_free = 0;  // one free range
  // 1 - largest_free / free: 0 when all free memory is one range, or none is free.
  double fragmentation = 0;

  std::size_t allocated_peak = 0;  // exact as of the slow paths: sampled there
  std::size_t held_peak = 0;       // exact
  std::size_t reserved_peak = 0;   // exact

  std::uint64_t allocations = 0;
  std::uint64_t deallocations = 0;
  std::uint64_t failures = 0;
  std::uint64_t live_count = 0;

  served_counts served{};
  native_counts native{};
  std::uint64_t waits_inserted = 0;   // a user's stream made to wait for another user's stream
  std::uint64_t waits_fresh = 0;      // a user's stream made to wait for the reservoir's
  std::uint64_t splits = 0;           // free ranges of regions cut, because less was wanted
  std::uint64_t merges = 0;           // and joined with a free neighbour
  std::uint64_t pressure_events = 0;  // how often the out-of-memory chain began

  std::vector<stream_statistics> streams{};
  std::vector<class_statistics> classes{};

  // Shares of allocations, 0 when there were none: without a lock shared or a native call; without a native call.
  double cached_rate() const noexcept {
    return allocations ? static_cast<double>(served.cache) / static_cast<double>(allocations) : 0;
  }
  double hit_rate() const noexcept {
    return allocations ? 1 - static_cast<double>(served.native + served.direct) / static_cast<double>(allocations) : 0;
  }
};

// What a trim did, and why the rest stayed: the four add up to reserved_after.
struct trim_report {
  std::size_t reserved_before = 0;
  std::size_t reserved_after = 0;
  std::size_t kept_live = 0;     // native allocations with live blocks in them
  std::size_t kept_pending = 0;  // freed behind work that has not completed
  std::size_t kept_partial = 0;  // free, but in a chunk that something else is in
  std::size_t kept_free = 0;     // free, and within what was to be kept
};

struct defragment_report {
  double fragmentation_before = 0;
  double fragmentation_after = 0;
  std::size_t largest_free_before = 0;
  std::size_t largest_free_after = 0;
  std::size_t merged = 0;    // bytes brought from caches, slabs and pending lists into larger ranges
  std::size_t gathered = 0;  // bytes of whole regions and blocks given back to the native pool
};

enum class block_state : std::uint8_t { live, cached, free, pending };

// One range of a native allocation, from pool::walk().
struct block_info {
  const void* pointer = nullptr;
  std::size_t bytes = 0;
  block_state state = block_state::free;
  std::uint64_t stream_id = 0;  // of the heap it belongs to; 0 for blocks above 16 MiB and direct ones
  bool direct = false;
};

}  // namespace weir
