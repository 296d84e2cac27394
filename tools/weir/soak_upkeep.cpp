// SPDX-License-Identifier: Apache-2.0
#include "soak_upkeep.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>

namespace weir::cli {
namespace {

constexpr std::uint64_t steps_between_validations = 150;  // some half a second

}  // namespace

void soak_upkeep::run() {
  set_tide();
  while (!stage_.is_over) {
    std::this_thread::sleep_for(std::chrono::microseconds(random_.between(100, 8'000)));
    if (++steps_ % steps_between_validations == 20) validate();  // the first soon
    stage_.world.enter();
    try {
      act();
    } catch (const std::exception& e) {
      stage_.find(e.what());
      stage_.is_over = true;
    }
    look();
    stage_.world.leave();
  }
}

void soak_upkeep::act() {
  const std::uint64_t dice = random_.below(100);
  if (dice < 20) return trim();
  if (dice < 35) return defragment();
  if (dice < 42) return set_limit();
  if (dice < 55) return set_tide();
  if (dice < 75) return replace_stream();
  if (dice < 85) return move_neighbour();
  static_cast<void>(stage_.pool->statistics());
}

void soak_upkeep::trim() {
  ++stage_.counts.trims;
  const std::size_t keep = random_.chance(20) ? 0 : random_.below(stage_.device.bytes_total());
  const auto done = random_.chance(30) ? stage_.pool->trim() : stage_.pool->trim(keep);
  if (!done) stage_.fail("a trim", done.error());
}

void soak_upkeep::defragment() {
  ++stage_.counts.defragments;
  if (auto done = stage_.pool->defragment(); !done) stage_.fail("a defragmentation", done.error());
}

// Half of the time there is none. A limit below what is live is refused and changes nothing.
void soak_upkeep::set_limit() {
  if (stage_.options.bytes_max) return;
  const std::size_t total = stage_.device.bytes_total();
  const std::size_t limit = random_.chance(50) ? SIZE_MAX : total / 100 * random_.between(60, 100);
  const auto done = stage_.pool->set_bytes_max(limit);
  if (done) {
    ++stage_.counts.limits;
    limit_ = limit;
  } else if (done.error().code != errc::limit_below_live) {
    stage_.fail("a limit", done.error());
  }
}

// Half of the time as high as it goes; now and then higher, so that some find no room.
void soak_upkeep::set_tide() {
  const std::size_t limit = stage_.options.bytes_max ? stage_.options.bytes_max : limit_;
  const auto share = static_cast<std::size_t>(static_cast<double>(stage_.device.bytes_total()) * stage_.options.share);
  const std::size_t neighbour = stage_.neighbour->held();
  const std::size_t room = std::min(limit, share - std::min(share, neighbour));
  stage_.target_bytes = random_.chance(5)    ? room + room / 10
                        : random_.chance(50) ? room
                                             : room / 100 * random_.between(10, 100);
}

void soak_upkeep::replace_stream() {
  const auto done = stage_.streams->replace(random_.below(stage_.options.streams));
  if (!done) return stage_.fail("replacing a stream", done.error());
  stage_.counts.streams_retired += *done;
}

// Up to an eighth of the device, and nothing half of the time.
void soak_upkeep::move_neighbour() {
  const auto memory = stage_.pool->backend().memory();
  if (!memory) return stage_.fail("asking for the device's memory", memory.error());
  const std::size_t wanted = random_.chance(50) ? 0 : random_.below(memory->total / 8);
  stage_.neighbour->hold(wanted, memory->free);
  ++stage_.counts.neighbour_moves;
  set_tide();
}

void soak_upkeep::look() {
  const auto memory = stage_.pool->backend().memory();
  if (!memory) return stage_.fail("asking for the device's memory", memory.error());
  const std::uint64_t used = memory->total - memory->free;
  if (used > stage_.bytes_used_peak) stage_.bytes_used_peak = used;
}

void soak_upkeep::validate() {
  stage_.world.stop();
  ++stage_.counts.validations;
  for (const std::string& broken : stage_.pool->validate()) stage_.find("while nobody works: " + broken);
  stage_.collect();
  stage_.world.resume();
}

}  // namespace weir::cli
