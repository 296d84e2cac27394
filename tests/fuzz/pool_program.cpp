// SPDX-License-Identifier: Apache-2.0
#include "fuzz/pool_program.hpp"

#include <atomic>

#include "base/bits.hpp"

namespace weir::fuzz {

namespace {

using base::mib;

std::atomic<bool> bug_was_told{false};

void note_bug(const error&) noexcept { bug_was_told = true; }

pool_options options_from(fuzz_input& in, std::size_t device_bytes) {
  pool_options options;
  const std::uint8_t flags = in.byte();
  options.checked = flags % 4 == 1;
  options.guard_capture = flags % 8 == 2;
  options.order.other_streams_passed = (flags & 16) == 0;
  options.order.recycle = (flags & 32) == 0;
  options.order.other_streams_wait = (flags & 64) == 0;
  if (flags & 128) options.bytes_max = std::max(32 * mib, device_bytes / (1 + in.below(4)));
  const std::uint8_t policies = in.byte();
  if (policies % 4 == 1) options.trim.push_back(release_above(in.below(8) * 32 * mib));
  if (policies % 8 == 2) options.trim.push_back(defragment_above(0.3));
  if (policies % 8 == 3) options.trim.push_back(decay(std::chrono::microseconds(1 + in.below(256))));
  if (policies & 16) options.trim.push_back(idle(std::chrono::microseconds(1 + in.below(256))));
  if (policies & 32) options.trim.push_back(watermark(32 * mib, 128 * mib));
  if (policies & 64) options.soft_bytes_max = std::min(options.bytes_max, 64 * mib);
  options.order.recycle_unfinished = policies < 192;
  const std::uint8_t sizes = in.byte();
  options.region_bytes = (32 * mib) << sizes % 3;
  options.region_bytes_min = (4 * mib) << sizes / 4 % 4;
  options.big_cache_share = sizes & 16 ? 1 : 0.07;
  options.big_cache_fit = sizes & 32 ? 1 : 0.125;
  options.cache_bytes_max = sizes & 64 ? in.size(24) : 16 * mib;
  options.slack = sizes & 128 ? 0.2 : 0;
  return options;
}

}  // namespace

pool_program::pool_program(fuzz_input& in) : in_(in) {
  const std::size_t device_bytes = (4 + in.below(40)) * 32 * mib;
  device_ = sim::device::make({.bytes_total = device_bytes});
  pool_options options = options_from(in, device_bytes);
  limit_ = options.bytes_max;
  if (in.byte() % 4 == 1) options.observer = watch_ = std::make_shared<leak_watch>();
  pool_ = pool::make(device_->make_backend(), options);
  bug_was_told = false;
  set_bug_handler(note_bug);
  for (const stream_handle handle : {legacy_stream(), per_thread_stream()}) {
    streams_.push_back(std::make_unique<stream_model>());
    *streams_.back() = {.number = next_number_++, .handle = handle, .is_special = true};
  }
  create_stream();
  create_stream();
}

pool_program::~pool_program() { set_bug_handler(nullptr); }

void pool_program::run() {
  for (unsigned i = 0; !in_.is_empty() && i < 400; ++i) {
    step();
    check_step();
    if (i % 16 == 15) check_all();
  }
  finish();
}

void pool_program::step() {
  switch (in_.below(24)) {
    case 0:
    case 1:
    case 2:
    case 3: return allocate(in_.size(28), pool::alignment_default);
    case 4: return allocate(in_.size(24), pool::alignment_default << in_.below(19));
    case 5:
    case 6: return allocate_many();
    case 7:
    case 8:
    case 9: return deallocate_one();
    case 10: return deallocate_many();
    case 11:
    case 12: return write();
    case 13: return share();
    case 14: return create_stream();
    case 15: return end_stream();
    case 16: return device_->advance(in_.size(26));
    case 17: return synchronize();
    case 18: return give_back();
    case 19: return set_limit();
    case 20: return inject_fault();
    case 21: return in_.flag() ? allocate_direct() : device_->set_neighbour_bytes(in_.below(8) * 32 * mib);
    case 22: return in_.flag() ? capture() : visit_thread();
    default: return make_mistake();
  }
}

// --- what is known --------------------------------------------------------------------------------------------------

pool_program::stream_model& pool_program::pick_stream() { return *streams_[in_.below(streams_.size())]; }

pool_program::live_blocks::iterator pool_program::pick_block() {
  if (live_.empty()) return live_.end();
  return std::next(live_.begin(), static_cast<std::ptrdiff_t>(in_.below(std::min<std::size_t>(live_.size(), 256))));
}

pool_program::stream_model* pool_program::by_number(unsigned number) {
  for (const auto& s : streams_)
    if (s->number == number) return s.get();
  return nullptr;
}

void pool_program::forget_uses_of(unsigned number) {
  for (auto& [at, b] : live_) b.uses.erase(number);
}

// --- what must be true ----------------------------------------------------------------------------------------------

void pool_program::check_refusal(const error& e) const {
  if (e.code != errc::out_of_memory && !has_faults_) fail("refused: " + e.message());
  if (is_bug(e.code)) fail("a right call is called a bug: " + e.message());
}

void pool_program::check_step() const {
  require(!bug_was_told, "the bug handler was told");
  const auto violations = device_->violations();
  if (!violations.empty()) fail("violation: " + violations.front().text);
}

void pool_program::check_all() const {
  if (const auto broken = pool_.validate(); !broken.empty()) fail("validate: " + broken.front());
  const statistics now = pool_.statistics();
  std::size_t requested = 0, direct = 0;
  for (const auto& [at, b] : live_) {
    requested += b.bytes;
    direct += b.direct_bytes;
  }
  require(now.live_count == live_.size(), "live blocks are counted otherwise");
  require(now.allocations - now.deallocations == live_.size(), "allocations less frees are not the live ones");
  require(now.allocated >= requested, "fewer live bytes than were asked for");
  require(now.direct == direct, "direct bytes are counted otherwise");
  require(now.held == now.allocated - now.direct + now.free, "held is not live and free");
  require(now.held <= now.reserved, "more held than reserved");
  require(now.reserved <= limit_ && now.direct <= limit_ - now.reserved, "the limit is passed");
}

// --- the end --------------------------------------------------------------------------------------------------------

// Some programs end with blocks live, others free all, and then everything can be given back.
void pool_program::finish() {
  for (const auto kind : {sim::fault::allocate, sim::fault::deallocate, sim::fault::trim, sim::fault::create_event,
                          sim::fault::record, sim::fault::wait, sim::fault::query, sim::fault::synchronize})
    device_->inject(kind, 0);
  check_all();
  const std::size_t left = live_.size();
  if (left % 4 != 1) {
    while (!live_.empty()) free_block(live_.begin(), *streams_[live_.size() % streams_.size()]);
    for (std::size_t i = 2; i < streams_.size(); ++i)
      require(pool_.retire(raw_stream(streams_[i]->handle)).has_value(), "a stream cannot be retired");
    device_->synchronize();
    // What lost streams left needs the pool itself to wait for the device, which running out does.
    if (has_lost_streams_ || has_faults_)
      (void)pool_.try_allocate(SIZE_MAX / 8, raw_stream(legacy_stream())).has_value();
    const auto done = pool_.trim(0);
    require(done.has_value(), "the last trim fails");
    check_all();
    if (!has_faults_) require(done->reserved_after == 0, "something is left at the end");
  }
  const std::size_t live = live_.size();
  pool_ = {};
  if (watch_) require(watch_->leaked == live, "leaks are counted otherwise");
  check_step();
}

}  // namespace weir::fuzz
