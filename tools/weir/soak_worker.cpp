// SPDX-License-Identifier: Apache-2.0
#include "soak_worker.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "units.hpp"

namespace weir::cli {
namespace {

thread_local soak_worker* in_this_thread = nullptr;

constexpr std::size_t blocks_max = 1'500;
constexpr std::size_t medium_max = std::size_t{16} << 20;

}  // namespace

soak_worker* soak_worker::of_this_thread() noexcept { return in_this_thread; }

void soak_worker::run(std::uint64_t operations) {
  in_this_thread = this;
  while (operations-- > 0 && !stage_.is_over) {
    stage_.world.enter();
    act();
    stage_.world.leave();
  }
  in_this_thread = nullptr;
  for (soak_block& block : blocks_) stage_.leave(std::move(block));
  blocks_.clear();
}

void soak_worker::act() {
  const bool is_low = stage_.live_bytes < stage_.target_bytes && blocks_.size() < blocks_max;
  const std::uint64_t dice = random_.below(100);
  if (dice < (is_low ? 50u : 15u)) return allocate();
  if (dice < 60) return take_over();
  if (blocks_.empty()) return;
  if (dice < 68) return use();
  if (dice < 78) return hand_over();
  free_one();
}

std::size_t soak_worker::size() {
  // A simulated pool has two to four times the device's bytes of addresses: after a while no gap holds more.
  const std::size_t parts = stage_.device.is_simulated() ? 128 : 32;
  const std::size_t most = std::max<std::size_t>(stage_.device.bytes_total() / parts, std::size_t{1} << 20);
  if (random_.chance(8)) return random_.log_between(std::min(most, std::size_t{32} << 20), most);
  return random_.log_between(16, std::min(most, std::size_t{32} << 20));
}

void soak_worker::allocate() {
  const std::size_t bytes = size();
  if (!stage_.options.bytes_max && random_.below(2'000) == 0) return allocate_direct(bytes);
  const std::size_t alignment =
      random_.chance(2) ? std::size_t{512} << random_.below(12) : weir::pool::alignment_default;
  result<void*> answer = nullptr;
  {
    const soak_lane lane = stage_.streams->pick(random_);
    lane_ = &lane;
    answer = random_.chance(10) ? stage_.pool->try_allocate(bytes, raw_stream(lane->handle), alignment)
                                : stage_.pool->try_allocate(bytes, lane->token, alignment);
    lane_ = nullptr;
    if (answer) return keep(*answer, bytes, lane, false);
  }
  out_of_memory(answer.error(), bytes);
}

void soak_worker::allocate_direct(std::size_t bytes) {
  auto answer = stage_.pool->try_allocate_direct(bytes);
  if (!answer) return out_of_memory(answer.error(), SIZE_MAX);
  keep(*answer, bytes, stage_.streams->pick(random_), true);
}

void soak_worker::keep(void* pointer, std::size_t bytes, const soak_lane& lane, bool is_direct) {
  ++stage_.counts.allocations;
  stage_.live_bytes += bytes;
  soak_block block{.pointer = pointer, .bytes = bytes, .is_direct = is_direct};
  fill(block, lane);
  blocks_.push_back(std::move(block));
}

// Makes room, so that the others do not all find none.
void soak_worker::out_of_memory(const error& why, std::size_t bytes) {
  if (why.code != errc::out_of_memory) return stage_.fail("an allocation", why);
  ++stage_.counts.out_of_memory;
  if (bytes != SIZE_MAX && had_room(why, bytes)) look_into(bytes);
  for (std::size_t left = blocks_.size() / 4; left > 0; --left) free_one();
}

// Whether the report says that the memory was there: on the device and within the limit, for a native allocation of its
// own; or in one free range, for what is cut from regions.
bool soak_worker::had_room(const error& why, std::size_t bytes) const {
  if (!why.report) return true;
  const memory_report& report = *why.report;
  const std::size_t rounded = bytes + bytes / 8 + 512;
  // A driver needs some of what it says is free for itself.
  const std::size_t spare = stage_.device.is_simulated() ? 2 * stage_.chunk_bytes : stage_.device.bytes_total() / 256;
  const std::size_t grown = (rounded / stage_.chunk_bytes + 1) * stage_.chunk_bytes + spare;
  const std::size_t taken = report.reserved + report.direct;
  const bool can_grow = report.device_free >= grown && taken < report.bytes_max && report.bytes_max - taken >= grown;
  return can_grow || (bytes <= medium_max / 2 && report.largest_free >= 2 * rounded);
}

// Who else could have given as much just now: that tells a device that is full from a native pool in pieces.
std::string soak_worker::who_has_room(std::size_t bytes) const {
  const auto direct = stage_.pool->try_allocate_direct(bytes);
  if (direct) stage_.pool->deallocate_direct(*direct);
  bool fresh_pool = false;
  if (auto other = stage_.device.make_backend()) {
    const auto block = (*other)->allocate(bytes, (*other)->own_stream());
    fresh_pool = block && (*other)->deallocate(*block, (*other)->own_stream()) && (*other)->synchronize_device();
  }
  return std::string("; a direct allocation of as much is ") + (direct ? "there" : "refused") +
         ", one from a fresh native pool is " + (fresh_pool ? "there" : "refused");
}

// Others may have freed it since. So the world stops, and the same is asked for once more: a no is a finding then.
void soak_worker::look_into(std::size_t bytes) {
  ++stage_.counts.out_of_memory_looked_into;
  stage_.world.leave();
  stage_.world.stop();
  {
    static_cast<void>(stage_.pool->backend().synchronize_device());
    const soak_lane lane = stage_.streams->pick(random_);
    in_this_thread = nullptr;  // no relief: what is there must do
    auto again = stage_.pool->try_allocate(bytes, lane->token);
    in_this_thread = this;
    if (again)
      keep(*again, bytes, lane, false);
    else if (again.error().code != errc::out_of_memory)
      stage_.fail("an allocation while nobody works", again.error());
    else if (had_room(again.error(), bytes))
      stage_.find("out of memory though there was room: " + again.error().message() + who_has_room(bytes));
  }
  stage_.world.resume();
  stage_.world.enter();
}

bool soak_worker::relieve() {
  if (!lane_ || blocks_.empty()) return false;
  for (int i = 0; i < 8 && !blocks_.empty(); ++i) {
    const auto largest = std::max_element(blocks_.begin(), blocks_.end(),
                                          [](const soak_block& a, const soak_block& b) { return a.bytes < b.bytes; });
    release(take_own(static_cast<std::size_t>(largest - blocks_.begin())), *lane_);
  }
  return true;
}

bool soak_worker::come_after(soak_block& block, const soak_lane& lane) {
  if (block.last.get() == lane.stream().get()) return true;
  const auto done = block.behind ? stage_.pool->backend().wait(lane->handle, block.behind->get())
                                 : stage_.streams->order(*block.last, *lane.stream());
  if (!done) stage_.fail("ordering a stream behind another", done.error());
  return done.has_value();
}

bool soak_worker::check(soak_block& block, const soak_lane& lane) {
  if (!come_after(block, lane)) return false;
  ++stage_.counts.checks;
  if (auto done = stage_.verifier->check({block.pointer, block.bytes, block.id}, lane->handle, lane->number); !done)
    stage_.fail("a check", done.error());
  return true;
}

void soak_worker::fill(soak_block& block, const soak_lane& lane) {
  block.id = stage_.next_id++;
  block.last = lane.stream();
  block.behind = nullptr;
  if (auto done = stage_.verifier->fill({block.pointer, block.bytes, block.id}, lane->handle, lane->number); !done)
    stage_.fail("a fill", done.error());
}

soak_block soak_worker::take_own(std::size_t index) {
  std::swap(blocks_[index], blocks_.back());
  soak_block block = std::move(blocks_.back());
  blocks_.pop_back();
  return block;
}

// On a second stream, without the first ever waiting for it.
void soak_worker::use() {
  soak_block& block = blocks_[random_.below(blocks_.size())];
  const soak_lane lane = stage_.streams->pick(random_);
  if (!check(block, lane) || block.is_direct) return;
  block.is_used = true;
  ++stage_.counts.uses;
  if (auto done = stage_.pool->record_use(block.pointer, lane->token); !done) stage_.fail("a use", done.error());
}

// With an event that is recorded now, or one that whoever takes the block over records.
void soak_worker::hand_over() {
  soak_block block = take_own(random_.below(blocks_.size()));
  if (random_.chance(50) && !block.behind) block.behind = stage_.streams->record(*block.last);
  ++stage_.counts.hand_overs;
  stage_.leave(std::move(block));
}

void soak_worker::take_over() {
  auto left = stage_.take_left(random_);
  if (!left) return;
  const soak_lane lane = stage_.streams->pick(random_);
  check(*left, lane);
  left->last = lane.stream();
  left->behind = nullptr;
  // Second streams may still read it; of a direct block nobody is told which.
  if (!left->is_used && !left->is_direct && random_.chance(50)) fill(*left, lane);
  blocks_.push_back(std::move(*left));
}

void soak_worker::free_one() {
  if (blocks_.empty()) return;
  const soak_lane lane = stage_.streams->pick(random_);
  release(take_own(random_.below(blocks_.size())), lane);
}

void soak_worker::release(soak_block block, const soak_lane& lane) {
  const std::uint64_t spoil_every = stage_.options.spoil_every;
  if (spoil_every > 0 && block.id % spoil_every == 0)
    static_cast<void>(stage_.verifier->spoil({block.pointer, block.bytes, block.id}));
  check(block, lane);
  ++stage_.counts.frees;
  stage_.live_bytes -= block.bytes;
  const auto done = block.is_direct ? stage_.pool->try_deallocate_direct(block.pointer)
                                    : stage_.pool->try_deallocate(block.pointer, block.bytes, lane->token);
  if (!done) stage_.fail("a free", done.error());
}

void soak_worker::free_all_left() {
  while (auto left = stage_.take_left(random_)) release(std::move(*left), stage_.streams->pick(random_));
}

}  // namespace weir::cli
