// SPDX-License-Identifier: Apache-2.0
//
// Trim policies as arithmetic: from a few numbers and the time to what should be given back. No clock, no lock, no
// device; trim.cpp reads the numbers and carries out the plan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <span>
#include <unordered_map>

#include "weir/trim_policy.hpp"

namespace weir::detail {

// A pool at one moment. Bytes.
struct trim_numbers {
  std::uint64_t now_ns = 0;
  std::size_t reserved = 0;
  std::size_t free = 0;                      // of reserved: what could be given back, if all of it had passed
  std::size_t chunk_bytes = 1;               // what is given back comes in these
  std::optional<std::size_t> device_free{};  // nothing where nobody asked
  double fragmentation = 0;                  // of what is free outside caches
  std::size_t free_outside_caches = 0;
};

// What a list of policies remembers from one run to the next.
struct trim_state {
  struct decaying {
    bool has_begun = false;
    double left = 0;       // of what was free, what has not decayed
    std::size_t seen = 0;  // free, after the run
    std::uint64_t at_ns = 0;
  } decay;
  bool has_defragmented = false;
  std::uint64_t defragmented_ns = 0;
};

struct trim_plan {
  std::size_t keep = std::numeric_limits<std::size_t>::max();  // this much may stay reserved
  std::uint64_t idle_ns = 0;                                   // what is idle for so long goes; 0: nothing does
  bool defragment = false;

  bool gives_back(std::size_t reserved) const noexcept { return keep < reserved; }
};

// What all policies together want: of each number the one that gives back most.
trim_plan plan_trim(std::span<const trim_policy>, const trim_numbers&, trim_state&) noexcept;
// After the plan was carried out: what is free now. What comes free from here on begins to decay anew.
void note_trimmed(trim_state&, std::size_t free, std::size_t chunk_bytes) noexcept;

// When a run on the slow path may find something to do, and what it has to know for that.
struct trim_needs {
  bool on_change = false;                                                 // when native calls were made since the last
  std::uint64_t interval_ns = std::numeric_limits<std::uint64_t>::max();  // when so much time has passed since
  bool device_free = false;
  bool fragmentation = false;
  bool caches = false;  // whatever it finds: what is free in threads' caches counts
};
trim_needs needs_of(std::span<const trim_policy>) noexcept;

// Since when things have been left alone. Each is seen, at each run, with a mark that changes when it is used.
// An extent is known by its base, a cache by its number.
class sightings {
 public:
  // Since when it has had this mark, as far as runs can tell.
  std::uint64_t see(std::uint64_t what, std::uint64_t mark, std::uint64_t now_ns);
  // At the end of a run: what it did not see is gone.
  void end_run();
  std::size_t count() const noexcept { return seen_.size(); }

 private:
  struct sighting {
    std::uint64_t mark;
    std::uint64_t since_ns;
    std::uint64_t run;
  };
  std::unordered_map<std::uint64_t, sighting> seen_;
  std::uint64_t run_ = 0;
};

// How much of a changing amount nobody touched for a while: its least over that time, to an eighth of it.
class low_water {
 public:
  // `low`: the least since the last call. What was there for all of the last `duration`; it counts as gone then.
  std::size_t unused_for(std::uint64_t duration_ns, std::size_t low, std::uint64_t now_ns);

 private:
  struct stretch {
    std::uint64_t begin_ns;
    std::uint64_t end_ns;
    std::size_t low;
  };
  bool has_begun_ = false;
  std::uint64_t last_ns_ = 0;
  std::deque<stretch> stretches_;  // without a gap, oldest first
};

}  // namespace weir::detail
