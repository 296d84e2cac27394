// SPDX-License-Identifier: Apache-2.0
//
// What the program does. Operands that make no sense where it stands make the operation none.
#include <thread>

#include "base/bits.hpp"
#include "fuzz/pool_program.hpp"

namespace weir::fuzz {

namespace {

using base::mib;

void* pointer(std::uintptr_t at) { return reinterpret_cast<void*>(at); }
std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

}  // namespace

// --- allocating -----------------------------------------------------------------------------------------------------

bool pool_program::allocate_on(stream_model& s, std::size_t bytes, std::size_t alignment) {
  const bool by_token = s.token && in_.flag();
  // Where the native pool has no room, what is above 16 MiB may be a direct block.
  const bool may_be_direct = std::max(bytes, alignment) > 16 * mib;
  const std::size_t direct = may_be_direct ? pool_.statistics().direct : 0;
  const auto got = by_token ? pool_.try_allocate(bytes, s.token, alignment)
                            : pool_.try_allocate(bytes, raw_stream(s.handle), alignment);
  if (!got) {
    check_refusal(got.error());
    return false;
  }
  const std::uintptr_t at = address(*got);
  require(at != 0 && at % alignment == 0, "a block that is not aligned");
  const std::size_t grown = may_be_direct ? pool_.statistics().direct - direct : 0;
  const auto [where, is_new] =
      live_.emplace(at, block{.bytes = bytes, .alignment = alignment, .direct_bytes = grown, .uses = {s.number}});
  require(is_new, "a block handed out twice");
  const auto next = std::next(where);
  require(next == live_.end() || at + bytes <= next->first, "a block over the begin of a live one");
  require(where == live_.begin() || std::prev(where)->first + std::prev(where)->second.bytes <= at,
          "a block inside a live one");
  launch_write(where, s);
  return true;
}

void pool_program::allocate(std::size_t bytes, std::size_t alignment) { allocate_on(pick_stream(), bytes, alignment); }

// Many of one size: what fills and empties caches and slabs.
void pool_program::allocate_many() {
  stream_model& s = pick_stream();
  const std::size_t bytes = in_.size(21);
  for (std::size_t count = 1 + in_.below(64); count > 0; --count)
    if (live_.size() >= 1000 || !allocate_on(s, bytes, pool::alignment_default)) return;
}

void pool_program::allocate_direct() {
  const std::size_t bytes = in_.size(27);
  const auto got = pool_.try_allocate_direct(bytes);
  if (!got) return check_refusal(got.error());
  require(live_.emplace(address(*got), block{.bytes = bytes, .direct_bytes = bytes}).second,
          "a block handed out twice");
}

// --- using ----------------------------------------------------------------------------------------------------------

// What comes next on `s` comes after every use of the block.
void pool_program::order_before(const block& b, const stream_model& s, bool with_announced) {
  for (const unsigned u : b.uses) {
    if (u == s.number || (!with_announced && b.announced.contains(u))) continue;
    if (const stream_model* earlier = by_number(u)) device_->order(earlier->handle, s.handle);
  }
}

void pool_program::launch_write(live_blocks::iterator at, stream_model& s) {
  order_before(at->second, s, true);
  device_->launch(s.handle, std::uint64_t{1} << in_.below(23), {{pointer(at->first), at->second.bytes}});
  at->second.uses = {s.number};
}

void pool_program::write() {
  const auto at = pick_block();
  if (at != live_.end() && !at->second.is_frozen) launch_write(at, pick_stream());
}

// Read on a second stream while the first goes on; announced to the pool, or left to an event at the free.
void pool_program::share() {
  const auto at = pick_block();
  if (at == live_.end() || at->second.is_frozen) return;
  stream_model& s = pick_stream();
  block& b = at->second;
  order_before(b, s, true);
  const sim::range all{pointer(at->first), b.bytes};
  device_->launch(s.handle, std::uint64_t{1} << in_.below(23), {}, {&all, 1});
  b.uses.insert(s.number);
  if (in_.flag()) return;
  b.announced.insert(s.number);
  const auto done = s.token ? pool_.record_use(pointer(at->first), s.token)
                            : pool_.record_use(pointer(at->first), raw_stream(s.handle));
  if (!done) check_refusal(done.error());
}

// --- freeing --------------------------------------------------------------------------------------------------------

void pool_program::free_block(live_blocks::iterator where, stream_model& s) {
  void* const p = pointer(where->first);
  const block& b = where->second;
  if (!b.is_direct()) order_before(b, s, false);
  const std::uint8_t how = in_.byte();
  result<void> done;
  if (b.is_direct() && (how & 1))
    done = pool_.try_deallocate_direct(p);
  else if (s.token && (how & 2))
    done = how & 4 ? pool_.try_deallocate(p, b.bytes, s.token) : pool_.try_deallocate(p, s.token);
  else
    done = how & 4 ? pool_.try_deallocate(p, b.bytes, raw_stream(s.handle))
                   : pool_.try_deallocate(p, raw_stream(s.handle));
  if (!done) {
    // Only a direct one needs a call that can fail; it stays live then.
    if (!b.is_direct() || !has_faults_) fail("a right free is refused: " + done.error().message());
    return;
  }
  if (b.is_direct())
    for (auto& [at, each] : live_) each.uses.clear();  // the device was synchronised
  last_freed_ = where->first;
  live_.erase(where);
}

void pool_program::deallocate_one() {
  const auto at = pick_block();
  if (at == live_.end()) return;
  stream_model* own = at->second.uses.empty() ? nullptr : by_number(*at->second.uses.begin());
  free_block(at, own && in_.flag() ? *own : pick_stream());
}

// A run of neighbours, or every second one, on one stream or each on its own.
void pool_program::deallocate_many() {
  auto at = pick_block();
  stream_model& all = pick_stream();
  const std::uint8_t how = in_.byte();
  for (std::size_t count = 1 + how / 4u; count > 0 && at != live_.end(); --count) {
    const auto next = std::next(at);
    const bool leave = (how & 1) && count % 2 == 0;
    stream_model* own = at->second.uses.empty() ? nullptr : by_number(*at->second.uses.begin());
    if (!leave) free_block(at, own && (how & 2) ? *own : all);
    at = next;
  }
}

// --- streams --------------------------------------------------------------------------------------------------------

void pool_program::create_stream() {
  if (streams_.size() > 7) return;
  const std::uint8_t how = in_.byte();
  auto s = std::make_unique<stream_model>();
  s->number = next_number_++;
  s->is_blocking = how % 4 == 3;
  s->handle = device_->create_stream(!s->is_blocking);
  if (how & 4) {
    auto token = pool_.stream(raw_stream(s->handle));
    if (token)
      s->token = *token;
    else
      check_refusal(token.error());
  }
  streams_.push_back(std::move(s));
}

// Retired and destroyed, or, where nobody has a token, only destroyed. Work on live blocks is handed to another stream,
// but for what was announced: that is the pool's affair.
void pool_program::end_stream() {
  const std::size_t index = in_.below(streams_.size());
  stream_model& s = *streams_[index];
  const bool retires = s.token || in_.flag();
  if (s.is_special) return;
  const stream_model& heir = *streams_[index == 2 ? 0 : 2];
  device_->order(s.handle, heir.handle);
  for (auto& [at, b] : live_) {
    if (!b.uses.contains(s.number)) continue;
    if (b.announced.contains(s.number)) {
      b.is_frozen = true;
    } else {
      b.uses.erase(s.number);
      b.uses.insert(heir.number);
    }
  }
  if (retires) {
    const auto done = s.token ? pool_.retire(s.token) : pool_.retire(raw_stream(s.handle));
    if (!done) {
      check_refusal(done.error());
      has_lost_streams_ = true;
    }
    if (s.token) require(!pool_.try_allocate(64, s.token).has_value(), "a retired token still serves");
  } else {
    has_lost_streams_ = true;
  }
  device_->destroy_stream(s.handle);
  streams_.erase(streams_.begin() + static_cast<std::ptrdiff_t>(index));
}

void pool_program::synchronize() {
  if (in_.flag()) {
    device_->synchronize();
    for (auto& [at, b] : live_) b.uses.clear();
  } else {
    const stream_model& s = pick_stream();
    device_->synchronize(s.handle);
    forget_uses_of(s.number);
  }
}

// One stream is captured: a raw handle of it is refused, and calls on others do not notice.
void pool_program::capture() {
  stream_model& s = pick_stream();
  if (s.is_special || s.is_blocking) return;
  device_->set_capturing(s.handle, true);
  const auto refused = pool_.try_allocate(in_.size(25), raw_stream(s.handle));
  require(!refused.has_value(), "a capturing stream is served by its handle");
  if (!has_faults_) require(refused.error().code == errc::stream_capturing, "and refused for another reason");
  stream_model& other = *streams_[s.number == streams_[2]->number ? 0 : 2];
  allocate_on(other, in_.size(25), pool::alignment_default);
  const auto done = pool_.trim(0);
  if (!done) check_refusal(done.error());
  device_->set_capturing(s.handle, false);
}

// A thread comes, works on its own default stream, and goes with its caches full. What it leaves is ordered for the
// others by an event.
void pool_program::visit_thread() {
  if (threads_left_ == 0) return;
  --threads_left_;
  auto visitor = std::make_unique<stream_model>();
  stream_model& s = *visitor;
  s = {.number = next_number_++, .handle = per_thread_stream()};
  const stream_model& heir = *streams_[in_.below(streams_.size() - 1) + 1 == 1 ? 0 : streams_.size() - 1];
  streams_.push_back(std::move(visitor));
  std::thread([&] {
    const std::size_t bytes = in_.size(24);
    for (std::size_t count = 1 + in_.below(24); count > 0; --count) allocate_on(s, bytes, pool::alignment_default);
    for (auto at = live_.begin(); at != live_.end();) {
      const auto next = std::next(at);
      const bool is_of_my_like = at->second.uses.contains(streams_[1]->number);
      if (!is_of_my_like && in_.byte() % 3 == 0) free_block(at, s);
      at = next;
    }
    device_->order(s.handle, heir.handle);
  }).join();
  for (auto& [at, b] : live_)
    if (b.uses.erase(s.number)) b.uses.insert(heir.number);
  std::erase_if(streams_, [&](const auto& each) { return each.get() == &s; });
  has_lost_streams_ = true;
}

// --- the pool as a whole --------------------------------------------------------------------------------------------

void pool_program::give_back() {
  const std::uint8_t how = in_.byte();
  if (how % 4 == 0) {
    const auto done = pool_.defragment();
    if (!done) check_refusal(done.error());
    return;
  }
  const auto done = how % 4 == 1 ? pool_.trim() : pool_.trim(how / 4 * 16 * mib);
  if (!done) return check_refusal(done.error());
  require(done->reserved_after <= done->reserved_before, "a trim that grew");
}

void pool_program::set_limit() {
  const std::size_t wanted = in_.flag() ? SIZE_MAX : (1 + in_.below(40)) * 32 * mib;
  const auto done = pool_.set_bytes_max(wanted);
  if (done)
    limit_ = wanted;
  else if (done.error().code != errc::limit_below_live)
    check_refusal(done.error());
}

void pool_program::inject_fault() {
  static constexpr sim::fault kinds[]{sim::fault::allocate,     sim::fault::deallocate, sim::fault::trim,
                                      sim::fault::create_event, sim::fault::record,     sim::fault::wait,
                                      sim::fault::query,        sim::fault::synchronize};
  const std::uint8_t kind = in_.byte(), when = in_.byte();
  device_->inject(kinds[kind % std::size(kinds)], 1 + when % 4u, when / 4 % 8u);
  has_faults_ = true;
}

// What must be refused, and change nothing.
void pool_program::make_mistake() {
  const auto at = pick_block();
  stream_model& s = pick_stream();
  const raw_stream raw(s.handle);
  result<void> done = error{};
  switch (in_.below(5)) {
    case 0:
      if (last_freed_ == 0 || live_.contains(last_freed_)) return;
      done = pool_.try_deallocate(pointer(last_freed_), raw);
      break;
    case 1:
      if (at == live_.end() || at->second.bytes <= 256 || at->second.is_direct()) return;
      done = pool_.try_deallocate(pointer(at->first + 256), raw);
      break;
    case 2:
      if (at == live_.end() || at->second.alignment > 256) return;
      done = pool_.try_deallocate(pointer(at->first), at->second.bytes * 3 + mib, raw);
      break;
    case 3: done = pool_.try_deallocate(&done, raw); break;
    default:
      require(!pool_.try_allocate(in_.number(8) | std::size_t{1} << 62, raw).has_value(), "more than there can be");
      return;
  }
  require(!done.has_value() && is_bug(done.error().code), "a mistake is not called one");
}

}  // namespace weir::fuzz
