// SPDX-License-Identifier: Apache-2.0
//
// What to keep of the memory that nobody uses. Policies run on the slow path of allocations, at pool::trim() and in the
// pool's background thread, never on a hit. Several compose: each says what it wants given back, and all of it goes.
//
//     weir::pool_options options{.trim = {weir::watermark(2ull << 30, 4ull << 30), weir::decay(500ms)}};
//
// None of them waits for the device, so what was freed behind running work stays until a later run; and what is live
// stays where it is.
#pragma once

#include <chrono>
#include <cstddef>

namespace weir {

struct trim_policy {
  enum class rule { retain, release_above, watermark, decay, idle, on_pressure, defragment_above };
  rule kind = rule::retain;
  std::size_t bytes = 0;            // release_above; of watermark the low one; of on_pressure device_free_below
  std::size_t bytes_high = 0;       // watermark
  std::chrono::nanoseconds time{};  // of decay the half life; idle
  double ratio = 0;                 // defragment_above

  friend bool operator==(const trim_policy&, const trim_policy&) = default;
};

// Keeps everything until memory is asked for elsewhere. The default.
inline trim_policy retain() noexcept { return {}; }

// Gives free native memory back to the driver while more than `bytes` are reserved.
inline trim_policy release_above(std::size_t bytes) noexcept {
  return {.kind = trim_policy::rule::release_above, .bytes = bytes};
}

// When more than `high` bytes are reserved, gives back until `low` are: rarely, and then enough for a while.
inline trim_policy watermark(std::size_t low, std::size_t high) noexcept {
  return {.kind = trim_policy::rule::watermark, .bytes = low, .bytes_high = high};
}

// What is reserved and free halves every `half_life`, rounded to chunks; what is freed meanwhile begins anew.
inline trim_policy decay(std::chrono::nanoseconds half_life) noexcept {
  return {.kind = trim_policy::rule::decay, .time = half_life};
}

// Wholly free regions, kept big blocks and free native memory that nobody used for `duration` go back, and what
// threads' caches hold goes home. Idle is what two runs at least that far apart found untouched, so a run that comes
// later than its time gives back late, never early.
inline trim_policy idle(std::chrono::nanoseconds duration) noexcept {
  return {.kind = trim_policy::rule::idle, .time = duration};
}

// When the device has less than `device_free_below` bytes free, whoever took them, gives back all that is free.
inline trim_policy on_pressure(std::size_t device_free_below) noexcept {
  return {.kind = trim_policy::rule::on_pressure, .bytes = device_free_below};
}

// Defragments when statistics().fragmentation exceeds `ratio` (0 to 1) and more than a chunk is free.
inline trim_policy defragment_above(double ratio) noexcept {
  return {.kind = trim_policy::rule::defragment_above, .ratio = ratio};
}

}  // namespace weir
