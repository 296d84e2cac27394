// SPDX-License-Identifier: Apache-2.0
//
// Blocks of a simulated program: allocated, written, read and freed, each after what it has to come after.
#include <algorithm>
#include <array>
#include <utility>

#include "simulate_run.hpp"

namespace weir::simulation {

namespace {

void* pointer(std::uintptr_t at) { return reinterpret_cast<void*>(at); }

std::size_t random_alignment(random_source& r, unsigned percent) {
  if (!r.chance(percent)) return 256;
  if (r.chance(90)) return std::size_t{512} << r.below(12);
  return mib << r.below(10);
}

std::uint64_t random_duration(random_source& r) { return r.chance(30) ? 0 : r.log_uniform(5'000'000); }

}  // namespace

// --- calls ----------------------------------------------------------------------------------------------------------

run::route run::random_route(const stream_model& s, random_source& r) const {
  return {.by_token = token_of(s) && r.chance(70), .is_sized = r.chance(50)};
}

result<void*> run::call_allocate(std::size_t bytes, std::size_t alignment, stream_model& s, const route& how) {
  const std::uint64_t before = here_->watch.calls;
  handler_stream_ = &s;
  auto got = how.by_token ? here_->pool.try_allocate(bytes, token_of(s), alignment)
                          : here_->pool.try_allocate(bytes, raw(s), alignment);
  check_calls(before, "allocate");
  if (got) {
    ++figures_.allocations;
    ++here_->allocations;
    note(place(*got));
    return got;
  }
  ++figures_.refused;
  note(static_cast<std::uint64_t>(got.error().code));
  say([&] {
    return "  " + std::to_string(bytes) + " bytes on stream " + std::to_string(s.number) + ": " + got.error().message();
  });
  if (journal_.is_on) journal_.failed(bytes, alignment, s.number, got.error().message());
  check_error(got.error(), "allocate", bytes, alignment);
  return got;
}

// False where the device is lost and so cannot say who the stream is: then nothing changes.
bool run::call_deallocate(std::uintptr_t at, std::size_t bytes, stream_model& s, const route& how) {
  const std::uint64_t before = here_->watch.calls;
  const std::uintptr_t outer = std::exchange(busy_at_, at);
  void* const p = pointer(at);
  const auto done = how.by_token   ? how.is_sized ? here_->pool.try_deallocate(p, bytes, token_of(s))
                                                  : here_->pool.try_deallocate(p, token_of(s))
                      : how.is_sized ? here_->pool.try_deallocate(p, bytes, raw(s))
                                   : here_->pool.try_deallocate(p, raw(s));
  busy_at_ = outer;
  check_calls(before, "deallocate");
  if (!done && is_lost_ && done.error().code == errc::device_lost) return false;
  if (journal_.is_on) journal_.deallocate(at, s.number);
  if (!done) fail("a right free was refused: " + done.error().message());
  ++figures_.deallocations;
  return true;
}

std::uintptr_t run::checked_place(void* got, std::size_t bytes, std::size_t alignment) {
  const auto at = reinterpret_cast<std::uintptr_t>(got);
  if (at == 0 || at % alignment != 0) fail("a block at " + std::to_string(at) + " is not aligned");
  if (const block* other = here_->live.find_overlap(at, bytes))
    fail("a block of " + std::to_string(bytes) + " bytes overlaps a live one of " + std::to_string(other->bytes));
  return at;
}

// --- allocating -----------------------------------------------------------------------------------------------------

// Null where it is refused.
block* run::allocate_on(stream_model& s, std::size_t bytes, std::size_t alignment, random_source& r) {
  const auto got = call_allocate(bytes, alignment, s, random_route(s, r));
  if (!got) return nullptr;
  say([&] {
    return "  " + std::to_string(bytes) + " bytes aligned " + std::to_string(alignment) + " on stream " +
           std::to_string(s.number);
  });
  const std::uintptr_t at = checked_place(*got, bytes, alignment);
  if (journal_.is_on) journal_.allocate(at, bytes, alignment, s.number, false);
  const bool is_direct = here_->watch.direct_bytes_at(at) != 0;
  block& b = here_->live.add(
      {.at = at, .bytes = bytes, .alignment = alignment, .is_direct = is_direct, .uses = {s.next_use()}});
  if (r.chance(plan_.launch_percent)) launch_write(b, s, r);
  return &b;
}

void run::allocate(random_source& r) {
  if (stream_model* s = pick_stream(r))
    allocate_on(*s, r.log_uniform(plan_.size_max), random_alignment(r, plan_.aligned_percent), r);
}

// Many of one size: what fills and empties caches and slabs.
void run::burst(random_source& r) {
  stream_model* s = pick_stream(r);
  if (!s) return;
  const std::size_t bytes = r.log_uniform(r.chance(80) ? 64 * kib : 2 * mib);
  const std::size_t count = 1 + r.below(120);
  for (std::size_t i = 0; i < count; ++i)
    if (!allocate_on(*s, bytes, 256, r)) return;
}

// What most programs do most: a few blocks taken and given back, over and over, on one stream.
void run::pairs(random_source& r) {
  stream_model* s = pick_stream(r);
  if (!s) return;
  const route how = random_route(*s, r);
  const std::size_t bytes = r.log_uniform(r.chance(80) ? 256 * kib : 40 * mib);
  const std::size_t width = 1 + r.below(6);
  const std::size_t rounds = 1 + r.below(bytes <= mib ? 200 : 40);
  const bool is_last_first = r.chance(50);
  const unsigned launch_percent = plan_.launch_percent ? 1 : 0;
  say([&] {
    return "  " + std::to_string(rounds) + " times " + std::to_string(width) + " blocks of " + std::to_string(bytes) +
           " bytes on stream " + std::to_string(s->number);
  });
  for (std::size_t round = 0; round < rounds; ++round) {
    std::array<std::uintptr_t, 6> held;
    std::size_t count = 0;
    while (count < width) {
      const std::size_t asked = bytes + count * 8;
      const auto got = call_allocate(asked, 256, *s, how);
      if (!got) break;
      held[count] = checked_place(*got, asked, 256);
      for (std::size_t i = 0; i < count; ++i)
        if (held[i] < held[count] + asked && held[count] < held[i] + bytes + i * 8) fail("two blocks of a few overlap");
      if (journal_.is_on) journal_.allocate(held[count], asked, 256, s->number, false);
      if (r.chance(launch_percent)) {
        device_->launch(s->handle, random_duration(r), {{*got, asked}});
        ++figures_.launches;
      }
      here_->aside_bytes += asked;
      here_->aside_count = ++count;
    }
    here_->aside_bytes = here_->aside_count = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t which = is_last_first ? count - 1 - i : i;
      if (!call_deallocate(held[which], bytes + which * 8, *s, how))
        here_->live.add({.at = held[which],
                         .bytes = bytes + which * 8,
                         .is_direct = here_->watch.direct_bytes_at(held[which]) != 0,
                         .uses = {s->next_use()}});
    }
    if (count < width) return;
  }
}

// Blocks of several sizes that are freed in the order they came, some while later: what a loop over layers does.
void run::queue(random_source& r) {
  stream_model* s = pick_stream(r);
  if (!s) return;
  const route how = random_route(*s, r);
  const std::size_t bytes_max = r.chance(70) ? 512 * kib : std::min(plan_.size_max, 24 * mib);
  const std::size_t length = 2 + r.below(30);
  const std::size_t count = 10 + r.below(300);
  std::vector<std::uintptr_t> waiting;
  std::size_t first = 0;
  const auto free_first = [&] {
    const std::uintptr_t at = waiting[first++];
    const block* b = here_->live.find(at);
    if (!b) return;  // the handler was quicker
    const std::size_t bytes = b->bytes;
    if (call_deallocate(at, bytes, *s, how)) here_->live.remove(at);
  };
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t bytes = r.log_uniform(bytes_max);
    const auto got = call_allocate(bytes, 256, *s, how);
    if (!got) break;
    const std::uintptr_t at = checked_place(*got, bytes, 256);
    if (journal_.is_on) journal_.allocate(at, bytes, 256, s->number, false);
    here_->live.add(
        {.at = at, .bytes = bytes, .is_direct = here_->watch.direct_bytes_at(at) != 0, .uses = {s->next_use()}});
    waiting.push_back(at);
    if (waiting.size() - first > length) free_first();
  }
  if (r.chance(70))
    while (first < waiting.size()) free_first();
}

void run::allocate_direct(random_source& r) {
  const std::size_t bytes = r.log_uniform(plan_.size_max);
  handler_stream_ = streams_.front().get();
  const auto got = here_->pool.try_allocate_direct(bytes);
  say([&] { return "  " + std::to_string(bytes) + " bytes" + (got ? "" : ": " + got.error().message()); });
  if (!got) {
    ++figures_.refused;
    return check_error(got.error(), "allocate_direct", bytes);
  }
  ++figures_.allocations;
  ++here_->allocations;
  note(place(*got));
  const std::uintptr_t at = checked_place(*got, bytes, 256);
  if (journal_.is_on) journal_.allocate(at, bytes, 256, 0, true);
  here_->live.add({.at = at, .bytes = bytes, .is_direct = true});
}

// --- using ----------------------------------------------------------------------------------------------------------

// What comes next on `s` comes after every use of the block; of those announced to the pool only where it has to.
void run::order_before(const block& b, stream_model& s, random_source& r, bool with_announced) {
  for (const use& u : b.uses) {
    if (u.stream == s.number || knows(u) || (!with_announced && b.is_announced(u.stream))) continue;
    stream_model* earlier = by_number(u.stream);
    if (!earlier) continue;
    if (r.chance(85)) {
      device_->order(earlier->handle, s.handle);
      if (journal_.is_on) journal_.order(earlier->number, s.number);
    } else {
      synchronize_with(*earlier);
    }
  }
}

void run::launch_write(block& b, stream_model& s, random_source& r) {
  order_before(b, s, r, true);
  const std::size_t bytes = r.chance(50) ? b.bytes : 1 + r.below(b.bytes);
  device_->launch(s.handle, random_duration(r), {{pointer(b.at), bytes}});
  b.uses = {s.next_use()};
  ++figures_.launches;
}

void run::write(random_source& r) {
  block* b = pick_block(r);
  stream_model* s = pick_stream(r);
  if (!b || !s || b->is_frozen || !is_usable(*b)) return;
  say([&] { return "  " + std::to_string(b->bytes) + " bytes on stream " + std::to_string(s->number); });
  launch_write(*b, *s, r);
}

// Read on a second stream while the first goes on; announced to the pool or left to an event at the free.
void run::share(random_source& r) {
  block* b = pick_block(r);
  stream_model* s = pick_stream(r);
  if (!b || !s || b->is_frozen || !is_usable(*b)) return;
  const bool announce = r.chance(70);
  say([&] {
    return "  " + std::to_string(b->bytes) + " bytes read on stream " + std::to_string(s->number) +
           (announce ? ", announced" : "");
  });
  read_on(*b, *s, r, announce);
}

void run::read_on(block& b, stream_model& s, random_source& r, bool announce) {
  order_before(b, s, r, true);
  const sim::range all{pointer(b.at), b.bytes};
  device_->launch(s.handle, random_duration(r), {}, {&all, 1});
  b.add_use(s.next_use());
  ++figures_.launches;
  if (!announce) return;
  const std::uintptr_t outer = std::exchange(busy_at_, b.at);
  const auto done = random_route(s, r).by_token ? here_->pool.record_use(pointer(b.at), token_of(s))
                                                : here_->pool.record_use(pointer(b.at), raw(s));
  busy_at_ = outer;
  ++figures_.other_calls;
  if (!done) return check_error(done.error(), "record_use", b.bytes, b.alignment);
  b.announced.push_back(s.number);
  if (journal_.is_on) journal_.use(b.at, s.number);
}

// --- freeing --------------------------------------------------------------------------------------------------------

void run::free_block(block& b, stream_model& s, random_source& r) {
  const std::uintptr_t at = b.at;
  const std::size_t bytes = b.bytes;
  if (!b.is_direct) {
    order_before(b, s, r, false);
    // Where only this thread's knowledge orders the free, whoever gets the memory next has to have it too.
    const bool relies = std::ranges::any_of(b.uses, [&](const use& u) { return u.stream != s.number && knows(u); });
    if (relies) tell_all();
  }
  const bool by_itself = b.is_direct && r.chance(50);
  if (!by_itself) {
    if (!call_deallocate(at, bytes, s, random_route(s, r))) return;
  } else {
    const auto done = here_->pool.try_deallocate_direct(pointer(at));
    if (!done && is_lost_ && done.error().code == errc::device_lost) return;
    if (!done) fail("a right direct free was refused: " + done.error().message());
    if (journal_.is_on) journal_.deallocate(at, 0);
    ++figures_.deallocations;
  }
  here_->live.remove(at);
  here_->freed.push_back({at, device_->now_ns()});
}

void run::deallocate_one(random_source& r) {
  block* b = pick_block(r);
  stream_model* s = pick_stream(r);
  if (!b || !s || !is_usable(*b)) return;
  if (r.chance(60) && !b->uses.empty())
    if (stream_model* own = by_number(b->uses.front().stream); own && is_mine(*own)) s = own;
  say([&] { return "  " + std::to_string(b->bytes) + " bytes on stream " + std::to_string(s->number); });
  free_block(*b, *s, r);
}

void run::deallocate_many(random_source& r) {
  const unsigned percent = static_cast<unsigned>(20 + r.below(81));
  const bool is_one_way = r.chance(50);
  stream_model* all = pick_stream(r);
  if (!all) return;
  std::vector<std::uintptr_t> chosen;
  for (const auto& [at, b] : here_->live)
    if (r.chance(percent) && is_usable(b)) chosen.push_back(at);
  say([&] {
    return "  " + std::to_string(chosen.size()) + (is_one_way ? " on stream " + std::to_string(all->number) : "");
  });
  for (const std::uintptr_t at : chosen) {
    block* b = here_->live.find(at);
    if (!b) continue;
    stream_model* s = is_one_way || b->uses.empty() ? nullptr : by_number(b->uses.front().stream);
    if (s && !is_mine(*s)) s = nullptr;
    free_block(*b, s ? *s : *all, r);
  }
}

// What must be refused, and change nothing.
void run::bad_call(random_source& r) {
  stream_model* s = pick_stream(r);
  if (!s) return;
  const auto refused = [&](std::uintptr_t at, std::size_t bytes, const char* what) {
    const auto done = bytes ? here_->pool.try_deallocate(pointer(at), bytes, raw(*s))
                            : here_->pool.try_deallocate(pointer(at), raw(*s));
    ++figures_.other_calls;
    if (done) fail(std::string("freed: ") + what);
    note(static_cast<std::uint64_t>(done.error().code));
    if (!is_bug(done.error().code) && !has_faults_) fail(std::string(what) + ": " + done.error().message());
  };
  if (!here_->freed.empty()) {
    const std::uintptr_t at = here_->freed[r.below(here_->freed.size())].at;
    if (!here_->live.find(at)) refused(at, 0, "a block that is free");
  }
  if (here_->pool.try_allocate(1 + r.below(4096), raw(*s), 3 + 2 * r.below(100))) fail("an odd alignment is served");
  if (here_->pool.try_allocate(SIZE_MAX - r.below(1 << 20), raw(*s))) fail("a size near the top is served");
  for (const auto& other : pools_) {
    if (other.get() == here_) continue;
    if (token_of(*s) && other->pool.try_allocate(64, token_of(*s))) fail("a token of another pool serves");
    if (!other->live.empty()) refused(other->live.nth(r.below(other->live.size())).at, 0, "a block of another pool");
  }
  const block* b = pick_block(r);
  if (!b) return;
  if (b->bytes > 256 && !b->is_direct) refused(b->at + 256, 0, "the inside of a block");
  if (b->alignment <= 256) refused(b->at, b->bytes * 3 + mib, "a block with a wrong size");
}

}  // namespace weir::simulation
