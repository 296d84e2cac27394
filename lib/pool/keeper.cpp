// SPDX-License-Identifier: Apache-2.0
//
// Native memory ahead of need. A cache of keys and values that outgrows its blocks asks for the next size once a layer,
// dozens of times in a row, and each time the native pool remaps chunks for it, 31 µs each. So from the second miss of
// a size on the pool's thread has one more block of it made, kept like one that was freed, while the program goes on.
//
// Within the footprint: only out of chunks that are free or come free by giving back what is kept; the pool does not
// grow for it, and no cache is reclaimed. What was prepared in vain is kept like any other block, and goes as they go.
#include "pool/pool_impl.hpp"

namespace weir::detail {

namespace {

// One miss of a size says nothing: most sizes never come again.
constexpr unsigned run_min = 2;

}  // namespace

// Missed, or served by what was made ahead: then the next may be asked for just as soon.
void pool_impl::note_run(std::size_t bytes) noexcept {
  if (!options_.keeper) return;
  {
    const std::lock_guard lock(misses_mutex_);
    const std::size_t rounded = reservoir_.fit_of(bytes, pool::alignment_default).bytes;
    if (misses_.bytes != rounded) misses_ = {.bytes = rounded};
    if (++misses_.count < run_min) return;
  }
  background_.wake();
}

void pool_impl::keep_ahead() noexcept {
  run_of_misses run;
  {
    const std::lock_guard lock(misses_mutex_);
    run = misses_;
    if (run.count >= run_min) misses_.count = run_min - 1;  // what is prepared now is for the next one
  }
  if (run.count < run_min || reservoir_.has_spare(run.bytes)) return;
  auto made = reservoir_.grow_big(run.bytes, pool::alignment_default, nullptr, reservoir::urgency::spare);
  if (!made) return;
  (*made)->is_ahead = true;
  reservoir_.give_back_claim(*made);
  stream_state& own = streams_.at(0);
  order_.look(own, &own);  // nearly always idle, and then the block is ready for anyone at once
}

}  // namespace weir::detail
