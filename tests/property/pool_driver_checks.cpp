// SPDX-License-Identifier: Apache-2.0
//
// What must be true of a pool after each step.
#include <algorithm>

#include "base/bits.hpp"
#include "core/extent.hpp"
#include "core/size_class.hpp"
#include "property/pool_driver.hpp"

namespace weir::test {

using base::mib;
using base::round_up;

// A free after which the same error may be had again is none; only running out is, and what a fault caused.
void pool_driver::check_result(const error& e, const char* verb, std::size_t bytes, std::size_t alignment) {
  if (has_faults_) return;
  if (e.code == errc::out_of_memory) return check_no_room(bytes, alignment);
  fail(std::string(verb) + " answers: " + e.message());
}

// After it said no, a pool holds what live blocks pin and little else. Then a request that the rest of the device, or
// of the limit, could hold in whole chunks must not have been refused.
void pool_driver::check_no_room(std::size_t bytes, std::size_t alignment) {
  if (!plan_.options.order.other_streams_passed || !plan_.options.order.other_streams_wait) return;
  const std::size_t chunk = 32 * mib;
  std::size_t pinned = 0;
  std::set<std::uintptr_t> regions;
  for (const auto& [at, b] : live_) {
    if (b.is_direct)
      pinned += round_up(b.bytes, 2 * mib);
    else if (b.bytes > core::medium_bytes_max || b.alignment > core::medium_bytes_max)
      pinned += round_up((b.bytes + b.alignment) * 2, chunk) + chunk;  // big_cache_fit is 1 at most
    else
      regions.insert(at / chunk);
  }
  pinned += regions.size() * (plan_.options.region_bytes + chunk);
  const std::size_t worst = round_up(bytes + alignment + 4 * mib, chunk);
  const std::size_t room = std::min({limit_, native_limit_, plan_.device_bytes - neighbour_});
  if (pinned + worst <= room)
    fail("refused " + std::to_string(bytes) + " bytes; live blocks pin at most " + std::to_string(pinned) + " of " +
         std::to_string(room));
}

std::size_t pool_driver::rounded(const block& b) const {
  if (b.is_direct) return b.bytes;
  const bool is_aligned = b.alignment > core::unit_bytes;
  const std::size_t padded = is_aligned ? round_up(b.bytes, b.alignment) : b.bytes;
  if (padded <= core::small_bytes_max && b.alignment <= core::granule_bytes)
    return core::class_bytes(core::class_of(padded));
  if (b.bytes <= core::medium_bytes_max && b.alignment <= core::medium_bytes_max)
    return round_up(b.bytes, core::granule_bytes);
  return 0;
}

void pool_driver::check_walk(const statistics& now) {
  struct seen {
    std::size_t bytes;
    block_state state;
  };
  std::map<std::uintptr_t, seen> all;
  std::size_t live = 0, cached = 0, pooled = 0;
  pool_.walk([&](const block_info& b) {
    all[reinterpret_cast<std::uintptr_t>(b.pointer)] = {b.bytes, b.state};
    if (b.state == block_state::live) live += b.bytes;
    if (b.state == block_state::cached) cached += b.bytes;
    if (!b.direct) pooled += b.bytes;
  });
  // An aligned block above 16 MiB counts with what lies before it, and is shown from its begin on.
  const bool has_aligned = std::ranges::any_of(
      live_, [&](const auto& one) { return one.second.alignment > 256 && rounded(one.second) == 0; });
  if (has_aligned ? live > now.allocated : live != now.allocated) fail("walk finds other live bytes than statistics");
  if (cached != now.cached) fail("walk finds other cached bytes than statistics");
  if (pooled > now.held) fail("walk finds more than is held");
  for (const auto& [at, b] : live_) {
    const auto found = all.find(at);
    if (found == all.end() || found->second.state != block_state::live) fail("walk does not find a live block");
    if (found->second.bytes < b.bytes) fail("a block smaller than was asked for");
  }
  const auto count = std::ranges::count_if(all, [](const auto& s) { return s.second.state == block_state::live; });
  if (static_cast<std::size_t>(count) != live_.size()) fail("walk finds other live blocks");
}

void pool_driver::check_all() {
  if (const auto broken = pool_.validate(); !broken.empty()) fail("validate: " + broken.front());
  const statistics now = pool_.statistics();
  std::size_t requested = 0, exact = 0, big = 0, direct = 0;
  for (const auto& [at, b] : live_) {
    requested += b.bytes;
    if (b.is_direct) direct += b.bytes;
    if (const std::size_t n = rounded(b))
      exact += n;
    else
      big += b.bytes;
  }
  if (now.allocated < requested) fail("fewer live bytes than were asked for");
  // In need a block of a larger class serves, and above 16 MiB more than one answer is right.
  const bool is_exact = big == 0 && now.pressure_events == 0;
  if (is_exact ? now.allocated != exact : now.allocated < exact + big) fail("live bytes are not the sum of the blocks");
  if (now.live_count != live_.size()) fail("live_count is " + std::to_string(now.live_count));
  if (now.allocations - now.deallocations != live_.size()) fail("allocations less deallocations are not live_count");
  if (now.direct != direct) fail("direct is " + std::to_string(now.direct));
  if (now.held > now.reserved) fail("more held than reserved");
  if (now.held != now.allocated - now.direct + now.free) fail("held is not live and free");
  if (now.reserved > limit_ || now.direct > limit_ - now.reserved) fail("the limit is passed");
  if (now.reserved + neighbour_ > plan_.device_bytes && neighbour_ == 0) fail("more reserved than there is");
  if (now.fragmentation < 0 || now.fragmentation > 1) fail("fragmentation is no ratio");
  if (now.allocated_peak < now.allocated || now.held_peak < now.held || now.reserved_peak < now.reserved)
    fail("a peak below what is");
  const auto& s = now.served;
  if (s.cache + s.heap + s.big_cache + s.other_passed + s.native + s.other_waited + s.direct != now.allocations)
    fail("what served allocations is not all of them");
  std::uint64_t in_classes = 0;
  for (const class_statistics& c : now.classes) in_classes += c.live_count;
  if (in_classes > now.live_count) fail("classes have more live blocks than there are");
  check_walk(now);
}

}  // namespace weir::test
