// SPDX-License-Identifier: Apache-2.0
//
// What the random program does. It orders its own work as a right program must: a block is used on a stream, or freed
// on one, after all earlier uses, by an event, by waiting on the host, or by record_use.
#include <algorithm>
#include <thread>

#include "base/bits.hpp"
#include "property/pool_driver.hpp"

namespace weir::test {

using base::mib;

namespace {

void* pointer(std::uintptr_t at) { return reinterpret_cast<void*>(at); }

std::size_t random_alignment(random_source& r) {
  if (r.chance(80)) return 256;
  if (r.chance(90)) return std::size_t{512} << r.below(12);
  return mib << r.below(10);
}

std::uint64_t random_duration(random_source& r) { return r.chance(30) ? 0 : r.log_uniform(5'000'000); }

}  // namespace

// --- allocating
// -------------------------------------------------------------------------------------------------------

bool pool_driver::allocate_on(stream_model& s, std::size_t bytes, std::size_t alignment, random_source& r) {
  const auto got = s.token && r.chance(70) ? pool_.try_allocate(bytes, s.token, alignment)
                                           : pool_.try_allocate(bytes, raw(s), alignment);
  say("  " + std::to_string(bytes) + " bytes aligned " + std::to_string(alignment) + " on stream " +
      std::to_string(s.number) + (got ? "" : ": " + got.error().message()));
  if (!got) {
    check_result(got.error(), "allocate", bytes, alignment);
    ++counts_.refused;
    return false;
  }
  ++counts_.allocations;
  const auto at = reinterpret_cast<std::uintptr_t>(*got);
  if (at == 0 || at % alignment != 0) fail("a block at " + std::to_string(at) + " is not aligned");
  const auto next = live_.lower_bound(at);
  if (next != live_.end() && next->first < at + bytes) fail("a block over the begin of a live one");
  if (next != live_.begin() && std::prev(next)->first + std::prev(next)->second.bytes > at)
    fail("a block inside a live one");
  live_[at] = {.at = at, .bytes = bytes, .alignment = alignment, .uses = {s.number}};
  if (r.chance(70)) launch_write(live_[at], s, r);
  return true;
}

void pool_driver::allocate(random_source& r) {
  stream_model& s = *pick_stream(r);
  const std::size_t bytes = r.log_uniform(plan_.size_max);
  allocate_on(s, bytes, random_alignment(r), r);
}

// Many of one size: what fills and empties caches and slabs.
void pool_driver::burst(random_source& r) {
  stream_model& s = *pick_stream(r);
  const std::size_t bytes = r.log_uniform(r.chance(80) ? 64 * base::kib : 2 * mib);
  const std::size_t count = 1 + r.below(150);
  for (std::size_t i = 0; i < count; ++i)
    if (!allocate_on(s, bytes, 256, r)) return;
}

void pool_driver::allocate_direct(random_source& r) {
  const std::size_t bytes = r.log_uniform(plan_.size_max);
  const auto got = pool_.try_allocate_direct(bytes);
  say("  " + std::to_string(bytes) + " bytes" + (got ? "" : ": " + got.error().message()));
  if (!got) return check_result(got.error(), "allocate_direct", bytes, 0);
  const auto at = reinterpret_cast<std::uintptr_t>(*got);
  live_[at] = {.at = at, .bytes = bytes, .is_direct = true};
}

// --- using
// ------------------------------------------------------------------------------------------------------------

// What comes next on `s` comes after every use of the block.
void pool_driver::order_before(block& b, stream_model& s, random_source& r, bool with_announced) {
  const std::set<unsigned> uses = b.uses;
  for (const unsigned u : uses) {
    if (u == s.number || (!with_announced && b.announced.contains(u))) continue;
    stream_model* earlier = by_number(u);
    if (!earlier) continue;
    if (r.chance(85)) {
      device_->order(earlier->handle, s.handle);
    } else {
      device_->synchronize(earlier->handle);
      forget_uses_of(u);
    }
  }
}

void pool_driver::launch_write(block& b, stream_model& s, random_source& r) {
  order_before(b, s, r, true);
  const std::size_t bytes = r.chance(50) ? b.bytes : 1 + r.below(b.bytes);
  device_->launch(s.handle, random_duration(r), {{pointer(b.at), bytes}});
  b.uses = {s.number};
  ++counts_.launches;
}

void pool_driver::write(random_source& r) {
  block* b = pick_block(r);
  if (!b || b->is_frozen || !is_usable(*b)) return;
  stream_model& s = *pick_stream(r);
  say("  " + std::to_string(b->bytes) + " bytes on stream " + std::to_string(s.number));
  launch_write(*b, s, r);
}

// Read on a second stream while the first goes on; announced to the pool or left to an event at the free.
void pool_driver::share(random_source& r) {
  block* b = pick_block(r);
  if (!b || b->is_frozen || !is_usable(*b)) return;
  stream_model& s = *pick_stream(r);
  const bool announce = r.chance(70);
  say("  " + std::to_string(b->bytes) + " bytes read on stream " + std::to_string(s.number) +
      (announce ? ", announced" : ""));
  order_before(*b, s, r, true);
  const sim::range all{pointer(b->at), b->bytes};
  device_->launch(s.handle, random_duration(r), {}, {&all, 1});
  b->uses.insert(s.number);
  ++counts_.launches;
  if (!announce) return;
  b->announced.insert(s.number);
  const auto done =
      s.token && r.chance(50) ? pool_.record_use(pointer(b->at), s.token) : pool_.record_use(pointer(b->at), raw(s));
  if (!done) check_result(done.error(), "record_use", b->bytes, b->alignment);
}

// --- freeing
// ----------------------------------------------------------------------------------------------------------

void pool_driver::free_block(std::uintptr_t at, stream_model& s, random_source& r) {
  block b = live_.at(at);
  if (!b.is_direct) order_before(b, s, r, false);
  result<void> done;
  if (b.is_direct && r.chance(50))
    done = pool_.try_deallocate_direct(pointer(at));
  else if (const std::size_t bytes = r.chance(50) ? b.bytes : 0; s.token && r.chance(70))
    done = bytes ? pool_.try_deallocate(pointer(at), bytes, s.token) : pool_.try_deallocate(pointer(at), s.token);
  else
    done = bytes ? pool_.try_deallocate(pointer(at), bytes, raw(s)) : pool_.try_deallocate(pointer(at), raw(s));
  if (!done) fail("a right free was refused: " + done.error().message());
  if (b.is_direct)
    for (auto& [other, each] : live_) each.uses.clear();  // the device was synchronised
  live_.erase(at);
  freed_.push_back(at);
  ++counts_.deallocations;
}

void pool_driver::deallocate_one(random_source& r) {
  const block* b = pick_block(r);
  if (!b || !is_usable(*b)) return;
  stream_model* s = pick_stream(r);
  if (r.chance(60) && !b->uses.empty())
    if (stream_model* own = by_number(*b->uses.begin())) s = own;
  say("  " + std::to_string(b->bytes) + " bytes on stream " + std::to_string(s->number));
  free_block(b->at, *s, r);
}

void pool_driver::deallocate_many(random_source& r) {
  const unsigned percent = static_cast<unsigned>(20 + r.below(81));
  const bool one_way = r.chance(50);
  stream_model& all = *pick_stream(r);
  std::vector<std::uintptr_t> chosen;
  for (const auto& [at, b] : live_)
    if (r.chance(percent) && is_usable(b)) chosen.push_back(at);
  say("  " + std::to_string(chosen.size()) + (one_way ? " on stream " + std::to_string(all.number) : ""));
  for (const std::uintptr_t at : chosen) {
    const block& b = live_.at(at);
    stream_model* s = one_way || b.uses.empty() ? nullptr : by_number(*b.uses.begin());
    free_block(at, s ? *s : all, r);
  }
}

// What must be refused, and change nothing.
void pool_driver::bad_free(random_source& r) {
  stream_model& s = *pick_stream(r);
  const auto refused = [&](std::uintptr_t at, std::size_t bytes, const char* what) {
    const auto done =
        bytes ? pool_.try_deallocate(pointer(at), bytes, raw(s)) : pool_.try_deallocate(pointer(at), raw(s));
    if (done) fail(std::string("freed: ") + what);
    if (!is_bug(done.error().code)) fail(std::string(what) + ": " + done.error().message());
  };
  if (!freed_.empty()) {
    const std::uintptr_t at = freed_[r.below(freed_.size())];
    if (!live_.contains(at)) refused(at, 0, "a block that is free");
  }
  const block* b = pick_block(r);
  if (!b) return;
  if (b->bytes > 256 && !b->is_direct) refused(b->at + 256, 0, "the inside of a block");
  if (b->alignment <= 256) refused(b->at, b->bytes * 3 + mib, "a block with a wrong size");
}

// --- streams
// ----------------------------------------------------------------------------------------------------------

void pool_driver::create_stream(random_source& r) {
  if (streams_.size() > 8) return;
  auto s = std::make_unique<stream_model>();
  s->number = next_number_++;
  s->is_blocking = r.chance(20);
  s->handle = device_->create_stream(!s->is_blocking);
  if (r.chance(60)) {
    auto token = pool_.stream(raw(*s));
    if (!token) fail("no token: " + token.error().message());
    s->token = *token;
  }
  say("  stream " + std::to_string(s->number) + (s->token ? " with a token" : ""));
  streams_.push_back(std::move(s));
}

// Retired and destroyed, or, where nobody has a token, only destroyed. Work on live blocks is handed to another stream
// or waited for, but for what was announced: that is the pool's affair.
void pool_driver::end_stream(random_source& r, bool retire) {
  const std::size_t index = r.below(streams_.size());
  stream_model& s = *streams_[index];
  if (s.is_special || s.is_capturing || (!retire && s.token)) return;
  say("  stream " + std::to_string(s.number) + (retire ? " retired" : " lost"));
  if (r.chance(20)) {
    device_->synchronize(s.handle);
    forget_uses_of(s.number);
  }
  stream_model* heir = pick_stream(r);
  if (heir == &s) heir = streams_.front().get();
  device_->order(s.handle, heir->handle);
  for (auto& [at, b] : live_) {
    if (!b.uses.contains(s.number)) continue;
    if (b.announced.contains(s.number)) {
      b.is_frozen = true;
    } else {
      b.uses.erase(s.number);
      b.uses.insert(heir->number);
    }
  }
  if (retire) {
    const auto done = s.token && r.chance(70) ? pool_.retire(s.token) : pool_.retire(raw(s));
    if (!done) {
      check_result(done.error(), "retire", 0, 0);
      has_lost_streams_ = true;
    }
    if (s.token && pool_.try_allocate(64, s.token)) fail("a retired token still serves");
  } else {
    has_lost_streams_ = true;
  }
  device_->destroy_stream(s.handle);
  streams_.erase(streams_.begin() + static_cast<std::ptrdiff_t>(index));
}

void pool_driver::synchronize(random_source& r) {
  if (r.chance(50)) {
    device_->synchronize();
    for (auto& [at, b] : live_) b.uses.clear();
  } else {
    const stream_model& s = *pick_stream(r);
    device_->synchronize(s.handle);
    forget_uses_of(s.number);
  }
}

// One stream is captured while others work; no call on another stream may notice.
void pool_driver::capture(random_source& r) {
  stream_model& s = *pick_stream(r);
  if (s.is_special || s.is_blocking) return;
  say("  stream " + std::to_string(s.number));
  device_->set_capturing(s.handle, true);
  s.is_capturing = true;
  const std::size_t count = 1 + r.below(6);
  for (std::size_t i = 0; i < count; ++i) r.chance(60) ? allocate(r) : r.chance(50) ? trim(r) : deallocate_one(r);
  s.is_capturing = false;
  device_->set_capturing(s.handle, false);
}

// A thread comes, works on its own default stream, and goes. What it leaves is ordered for the others by an event.
void pool_driver::visit_thread(random_source& r) {
  auto visitor = std::make_unique<stream_model>();
  visitor->number = next_number_++;
  visitor->handle = per_thread_stream();
  stream_model& s = *visitor;
  stream_model* heir = streams_.size() > 2 ? streams_[2 + r.below(streams_.size() - 2)].get() : streams_[0].get();
  std::unique_ptr<failure> found;
  std::thread([&] {
    try {
      std::vector<std::uintptr_t> mine;
      const std::size_t count = 1 + r.below(20);
      const std::size_t bytes = r.log_uniform(std::min(plan_.size_max, 64 * mib));
      streams_.push_back(std::move(visitor));
      for (std::size_t i = 0; i < count; ++i) allocate_on(s, bytes, 256, r);
      for (const auto& [at, b] : live_)
        if (b.uses.contains(s.number) && r.chance(60)) mine.push_back(at);
      for (const std::uintptr_t at : mine) free_block(at, s, r);
      // Something of the others goes here.
      const block* theirs = pick_block(r);
      const bool is_of_their_thread = theirs && theirs->uses.contains(streams_[1]->number);
      if (theirs && !is_of_their_thread && is_usable(*theirs) && r.chance(50)) free_block(theirs->at, s, r);
      device_->order(per_thread_stream(), heir->handle);
      for (auto& [at, b] : live_)
        if (b.uses.erase(s.number)) b.uses.insert(heir->number);
    } catch (failure& f) {
      found = std::make_unique<failure>(std::move(f));
    }
  }).join();
  std::erase_if(streams_, [&](const auto& each) { return each.get() == &s; });
  has_lost_streams_ = true;
  if (found) throw std::move(*found);
}

// --- the pool as a whole
// ----------------------------------------------------------------------------------------------

void pool_driver::trim(random_source& r) {
  const auto done = r.chance(30) ? pool_.trim() : pool_.trim(r.chance(50) ? 0 : r.below(plan_.device_bytes));
  if (!done) return check_result(done.error(), "trim", 0, 0);
  if (done->reserved_after > done->reserved_before) fail("a trim that grew");
  if (done->kept_live + done->kept_pending > pool_.statistics().held) fail("a trim that kept more than is held");
}

void pool_driver::set_limit(random_source& r) {
  const std::size_t wanted = r.chance(20) ? SIZE_MAX : 32 * mib + r.below(plan_.device_bytes);
  const auto done = pool_.set_bytes_max(wanted);
  say("  to " + std::to_string(wanted) + (done ? "" : ": " + done.error().message()));
  if (done)
    limit_ = wanted;
  else if (done.error().code != errc::limit_below_live)
    check_result(done.error(), "set_bytes_max", wanted, 0);
  (void)watch_->reserved_most.exchange(0);
}

void pool_driver::fault(random_source& r) {
  static constexpr sim::fault kinds[]{sim::fault::allocate,     sim::fault::deallocate,  sim::fault::trim,
                                      sim::fault::create_event, sim::fault::record,      sim::fault::wait,
                                      sim::fault::query,        sim::fault::synchronize, sim::fault::allocate_direct};
  const std::size_t kind = r.below(std::size(kinds));
  const auto count = static_cast<unsigned>(1 + r.below(6));
  const auto after = static_cast<unsigned>(r.below(6));
  say("  kind " + std::to_string(kind) + ", " + std::to_string(count) + " after " + std::to_string(after));
  device_->inject(kinds[kind], count, after);
  has_faults_ = true;
}

// All is freed, every stream ends, and then nothing is left.
void pool_driver::finish(random_source& r) {
  say("finish");
  for (const auto kind : {sim::fault::allocate, sim::fault::deallocate, sim::fault::trim, sim::fault::create_event,
                          sim::fault::record, sim::fault::wait, sim::fault::query, sim::fault::synchronize})
    device_->inject(kind, 0);
  check_all();
  if (r.chance(20)) {  // a pool may go with blocks live, and says so
    const std::size_t count = live_.size();
    pool_ = {};
    if (watch_->leaked != count)
      fail("live at the end: " + std::to_string(count) + ", told: " + std::to_string(watch_->leaked));
    return check_cheap();
  }
  for (const bool early : {true, false}) {
    if (early && r.chance(50)) continue;
    while (!live_.empty()) free_block(live_.begin()->first, *pick_stream(r), r);
    while (early && streams_.size() > 2) {
      stream_model& s = *streams_.back();
      if (!pool_.retire(raw(s))) fail("a stream could not be retired");
      device_->destroy_stream(s.handle);
      streams_.pop_back();
    }
    if (early) break;
    for (std::size_t i = 2; i < streams_.size(); ++i)
      if (!pool_.retire(raw(*streams_[i]))) fail("a stream could not be retired");
  }
  device_->synchronize();
  if (has_lost_streams_) {
    // What they left needs the pool itself to wait for the device, which running out does, and lowering the limit
    // where it must.
    if (r.chance(50) && pool_.try_allocate(SIZE_MAX / 8, raw(*streams_[0]))) fail("more than there is");
    if (const auto lower = pool_.set_bytes_max(32 * mib); !lower)
      fail("nothing is live, and the limit cannot be one chunk: " + lower.error().message());
    limit_ = 32 * mib;
    (void)watch_->reserved_most.exchange(0);
    if (pool_.try_allocate(SIZE_MAX / 8, raw(*streams_[0]))) fail("more than there is");
  }
  const auto done = pool_.trim(0);
  if (!done) fail("the last trim: " + done.error().message());
  check_all();
  if (done->reserved_after != 0) fail("left at the end: " + std::to_string(done->reserved_after));
  if (watch_->live != 0) fail("the observer counts otherwise");
  pool_ = {};
  if (watch_->leaked != 0) fail("a leak was told of where there is none");
  check_cheap();
}

}  // namespace weir::test
