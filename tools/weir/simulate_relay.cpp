// SPDX-License-Identifier: Apache-2.0
//
// Programs in the small, made of what a random mix seldom puts side by side: blocks that go from stream to stream while
// what was done with them still runs, and are asked for again as soon as they are free.
#include <algorithm>

#include "simulate_run.hpp"

namespace weir::simulation {

namespace {

// Nothing put behind it passes by itself before the program is over.
constexpr std::uint64_t long_ns = 400'000'000;

std::size_t random_relay_bytes(random_source& r, std::size_t device_bytes) {
  if (r.chance(60)) return r.log_uniform(mib);
  return r.chance(50) ? mib + r.below(15 * mib) : 17 * mib + r.below(std::min(40 * mib, device_bytes / 8));
}

}  // namespace

// A kernel that runs for long, or time that passes.
void run::keep_busy(stream_model& s, random_source& r) {
  if (r.chance(60)) {
    device_->launch(s.handle, long_ns, {});
    ++s.work;
  } else if (r.chance(30)) {
    device_->advance(r.log_uniform(5'000'000));
  }
}

// What a stream is given is written at once, and now and then freed.
void run::ask_again(unsigned stream, std::size_t bytes, std::size_t count, random_source& r) {
  for (std::size_t i = 0; i < count; ++i) {
    stream_model* s = by_number(stream);
    expect_others(r);
    const std::size_t alignment = bytes > 17 * mib && r.chance(plan_.aligned_percent) ? mib << r.below(6) : 256;
    const std::size_t less = alignment > 256 && r.chance(70) ? bytes / (1 + r.below(3)) : bytes;
    block* b = s ? allocate_on(*s, less, alignment, r) : nullptr;
    if (!b) return;
    launch_write(*b, *s, r);
    if (r.chance(30)) free_block(*b, *s, r);
  }
}

// Allocated on one stream, read on another, freed on a third, and asked for again on any of them. Between any two of
// these others may ask, which makes the pool look at what has passed.
void run::relay(random_source& r) {
  const unsigned home = pick_stream(r)->number, reader = pick_stream(r)->number, last = pick_stream(r)->number;
  const unsigned other = pick_stream(r)->number;
  const std::size_t bytes = random_relay_bytes(r, plan_.device_bytes);
  const std::size_t count = r.chance(80) || bytes > 8 * mib ? 1 + r.below(4) : 17 + r.below(20);
  const bool is_announced = r.chance(60), is_read_first = r.chance(50);
  say([&] {
    return "  " + std::to_string(count) + " blocks of " + std::to_string(bytes) + " bytes from stream " +
           std::to_string(home) + (is_announced ? " by " + std::to_string(reader) : "") + " to " +
           std::to_string(last) + ", another is " + std::to_string(other);
  });
  std::vector<std::uintptr_t> blocks;
  while (blocks.size() < count) {
    const block* b = allocate_on(*by_number(home), bytes, 256, r);
    if (!b) break;
    blocks.push_back(b->at);
  }
  const auto each = [&](auto act) {
    for (const std::uintptr_t at : blocks)
      if (block* b = here_->live.find(at); b && b->bytes == bytes && is_usable(*b)) act(*b);
  };
  const auto read = [&](block& b) { read_on(b, *by_number(reader), r, true); };
  if (is_announced && r.chance(50)) keep_busy(*by_number(reader), r);
  if (is_announced && is_read_first) each(read);
  keep_busy(*by_number(last), r);
  each([&](block& b) {
    if (r.chance(70)) launch_write(b, *by_number(last), r);
  });
  if (is_announced && !is_read_first) each(read);
  if (r.chance(15)) end_one(*by_number(reader), r, true);
  if (r.chance(30)) device_->advance(10'000'000);
  if (!by_number(last)) return;
  each([&](block& b) {
    expect_others(r);
    free_block(b, *by_number(last), r);
    if (r.chance(20)) ask_again(other, bytes, 1, r);
    if (r.chance(20)) keep_busy(*by_number(last), r);
  });
  if (r.chance(10)) end_one(*by_number(last), r, true);
  if (stream_model* s = by_number(r.chance(50) ? reader : last); s && r.chance(30)) synchronize_with(*s);
  for (unsigned i = 0; i < 3; ++i)
    if (r.chance(60)) ask_again(std::array{home, last, other}[r.below(3)], bytes, 1 + r.below(count + 1), r);
}

// A stream goes without a word and another gets its handle: what the first was at work with is none of the second's.
void run::replace_stream(random_source& r) {
  std::vector<unsigned> able;
  for (const auto& s : streams_)
    if (!s->is_special && !s->has_token() && !s->is_capturing) able.push_back(s->number);
  if (able.empty()) return;
  stream_model& gone = *by_number(able[r.below(able.size())]);
  const std::size_t bytes = random_relay_bytes(r, plan_.device_bytes);
  const std::size_t count = 1 + r.below(4);
  for (std::size_t i = 0; i < count; ++i) {
    block* b = allocate_on(gone, bytes, 256, r);
    if (!b) break;
    launch_write(*b, gone, r);
    if (r.chance(80)) free_block(*b, gone, r);
  }
  if (!end_one(gone, r, false)) return;
  const unsigned next = next_stream_;
  create_stream(r);
  say([&] { return "  stream " + std::to_string(next) + " asks for " + std::to_string(bytes) + " bytes"; });
  if (by_number(next)) ask_again(next, bytes, count, r);
}

// A stream has nearly all there is and is at work with it when it frees that; another wants as much. What fails, fails
// now.
void run::squeeze(random_source& r) {
  const unsigned first = pick_stream(r)->number, second = pick_stream(r)->number;
  const std::size_t room = std::min(here_->limit, plan_.device_bytes);
  const std::size_t bytes = std::max(room / (2 + r.below(12)), std::size_t{1} << (12 + r.below(8)));
  say([&] {
    return "  blocks of " + std::to_string(bytes) + " bytes by stream " + std::to_string(first) + ", then by stream " +
           std::to_string(second);
  });
  std::vector<std::uintptr_t> blocks;
  while (blocks.size() < 16) {
    block* b = allocate_on(*by_number(first), bytes, 256, r);
    if (!b) break;
    blocks.push_back(b->at);
    launch_write(*b, *by_number(first), r);
    if (r.chance(20)) keep_busy(*by_number(first), r);
  }
  for (const std::uintptr_t at : blocks) {
    block* b = here_->live.find(at);
    if (b && is_usable(*b) && r.chance(90)) free_block(*b, *by_number(first), r);
  }
  for (std::size_t i = 0; i < fault_count; ++i)
    if (plan_.faults[i] != 0 && r.chance(30))
      arm_fault(static_cast<sim::fault>(i), static_cast<unsigned>(1 + r.below(2)), static_cast<unsigned>(r.below(3)));
  stream_model* const theirs = r.chance(30) ? pick_other_default(r) : nullptr;
  if (theirs) return allocate_for_other(*theirs, bytes);
  ask_again(second, r.chance(70) ? bytes : bytes / 2, 1 + r.below(6), r);
}

}  // namespace weir::simulation
