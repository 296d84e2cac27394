// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/order_checker.hpp"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <utility>

namespace weir::sim {
namespace {

constexpr std::size_t violations_max = 1000;  // enough to see a pattern; a broken program makes millions

std::string hex(std::uint64_t n) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(n));
  return text;
}

}  // namespace

stream_slot order_checker::add_stream(std::uint64_t id) {
  const auto covered = [&](stream_slot slot) { return host_[slot] >= streams_[slot].tick; };
  const auto it = std::find_if(retired_.begin(), retired_.end(), covered);
  stream_slot slot = static_cast<stream_slot>(streams_.size());
  std::uint64_t tick = 0;
  if (it != retired_.end()) {
    slot = *it;
    tick = streams_[slot].tick;
    retired_.erase(it);
  } else {
    streams_.emplace_back();
  }
  streams_[slot] = {host_, id, tick, host_version_, 0};
  return slot;
}

void order_checker::retire_stream(stream_slot slot) { retired_.push_back(slot); }

std::uint64_t order_checker::enqueue(stream_slot slot) {
  stream_state& s = streams_[slot];
  if (s.host_version != host_version_) {
    s.clock.join(host_);
    s.host_version = host_version_;
  }
  if (s.thread_version != thread_->version) {
    s.clock.join(thread_->clock);
    s.thread_version = thread_->version;
  }
  s.clock.raise(slot, ++s.tick);
  return s.tick;
}

void order_checker::follow(stream_slot later, stream_slot earlier) {
  if (later != earlier) streams_[later].clock.join(streams_[earlier].clock);
}

void order_checker::follow(stream_slot later, const vector_clock& earlier) { streams_[later].clock.join(earlier); }

void order_checker::observe(const vector_clock& seen) {
  host_.join(seen);
  ++host_version_;
}

void order_checker::observe(stream_slot slot) { observe(streams_[slot].clock); }

void order_checker::observe_all() {
  for (stream_slot slot = 1; slot < streams_.size(); ++slot) host_.raise(slot, streams_[slot].tick);
  ++host_version_;
}

void order_checker::be_thread(std::uint64_t thread) { thread_ = thread ? &threads_[thread] : &nobody_; }

void order_checker::observe_privately(stream_slot slot) {
  thread_->clock.join(streams_[slot].clock);
  thread_->version = ++last_thread_version_;
}

void order_checker::observe_all_privately() {
  for (stream_slot slot = 1; slot < streams_.size(); ++slot) thread_->clock.raise(slot, streams_[slot].tick);
  thread_->version = ++last_thread_version_;
}

void order_checker::hand_over(const void* lock) { locks_[lock].join(thread_->clock); }

void order_checker::take_over(const void* lock) {
  const auto left = locks_.find(lock);
  if (left == locks_.end()) return;
  thread_->clock.join(left->second);
  thread_->version = ++last_thread_version_;
}

bool order_checker::happened_before(const epoch& earlier, stream_slot later) const {
  return earlier.slot == 0 || streams_[later].clock[earlier.slot] >= earlier.tick;
}

void order_checker::allocate(std::uint64_t begin, std::uint64_t bytes, stream_slot slot) {
  segments_[begin] = {begin + bytes, {slot, streams_[slot].tick}, {}};
}

void order_checker::allocate_direct(std::uint64_t begin, std::uint64_t bytes) {
  segments_[begin] = {begin + bytes, {}, {}};
}

void order_checker::deallocate(std::uint64_t begin, std::uint64_t bytes, stream_slot slot) {
  const std::uint64_t end = begin + bytes;
  auto it = segments_.lower_bound(begin);
  while (it != segments_.end() && it->first < end) {
    check(it->first, it->second, slot, access::write, "native free");
    it = segments_.erase(it);
  }
}

void order_checker::forget(std::uint64_t begin, std::uint64_t end) {
  segments_.erase(segments_.lower_bound(begin), segments_.lower_bound(end));
}

// Makes `address` the begin of a segment where it lies inside one.
void order_checker::split(std::uint64_t address) {
  auto it = segments_.lower_bound(address);
  if (it == segments_.begin() || (it != segments_.end() && it->first == address)) return;
  --it;
  if (it->second.end <= address) return;
  segment upper = it->second;
  it->second.end = address;
  segments_.emplace_hint(std::next(it), address, std::move(upper));
}

void order_checker::use(std::uint64_t begin, std::uint64_t bytes, stream_slot slot, access kind, const char* verb) {
  const std::uint64_t end = begin + bytes;
  split(begin);
  split(end);
  std::uint64_t covered = begin;
  for (auto it = segments_.lower_bound(begin); it != segments_.end() && it->first < end; ++it) {
    if (it->first != covered) break;
    check(it->first, it->second, slot, kind, verb);
    mark(it->second, slot, kind);
    covered = it->second.end;
  }
  if (covered < end)
    report(std::string(verb) + " on " + name({slot, 0}) + " of " + hex(covered) + ", which is not allocated", covered);
}

void order_checker::check(std::uint64_t begin, const segment& s, stream_slot slot, access kind, const char* verb) {
  const auto blame = [&](const epoch& earlier, const char* what) {
    report(std::string(verb) + " on " + name({slot, 0}) + " of [" + hex(begin) + ", " + hex(s.end) +
               ") is not ordered after the " + what + " on " + name(earlier),
           begin);
  };
  if (!happened_before(s.write, slot)) return blame(s.write, "last write or allocation");
  if (kind == access::read) return;
  for (const epoch& read : s.reads)
    if (!happened_before(read, slot)) return blame(read, "read");
}

void order_checker::mark(segment& s, stream_slot slot, access kind) const {
  const epoch now{slot, streams_[slot].tick};
  if (kind == access::write) {
    s.write = now;
    s.reads.clear();
    return;
  }
  const auto mine = std::find_if(s.reads.begin(), s.reads.end(), [&](const epoch& e) { return e.slot == slot; });
  if (mine == s.reads.end())
    s.reads.push_back(now);
  else
    *mine = now;
}

std::string order_checker::name(const epoch& e) const { return "stream " + std::to_string(streams_[e.slot].id); }

void order_checker::report(std::string text, std::uint64_t address) {
  if (violations_.size() < violations_max)
    violations_.push_back({std::move(text), reinterpret_cast<const void*>(address)});
}

}  // namespace weir::sim
