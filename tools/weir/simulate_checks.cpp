// SPDX-License-Identifier: Apache-2.0
//
// What must be true of a pool, seen from outside: after each step, and more of it now and then.
#include <algorithm>
#include <bit>
#include <regex>
#include <unordered_map>

#include "simulate_run.hpp"

namespace weir::simulation {

namespace {

// What blocks are rounded to, from ARCHITECTURE.md; the classes themselves are in the statistics.
constexpr std::size_t granule_bytes = 16 * kib;
constexpr std::size_t small_bytes_max = mib;
constexpr std::size_t medium_bytes_max = 16 * mib;
constexpr std::size_t direct_bytes = 2 * mib;  // of a page of the simulated device

// Each device's addresses begin at a multiple of 8 TiB.
constexpr std::uint64_t window_mask = (std::uint64_t{1} << 43) - 1;

// Calls to the device that one operation may take: so many, and so many more for each stream and native allocation
// there is. Every chain of the pool goes round a bounded number of times. Besides, each event that was ever recorded is
// found complete once, whoever looks.
constexpr std::uint64_t calls_least = 400, calls_each = 60;

// A violation in words that do not depend on the process: addresses relative to the device, and streams, which it knows
// by their ids in the process, as A and B.
std::string without_ids(const std::string& text) {
  static const std::regex id("stream ([0-9]+)|0x([0-9a-f]+)");
  std::string out;
  std::vector<std::string> met;
  auto rest = text.begin();
  for (std::sregex_iterator at(text.begin(), text.end(), id), end; at != end; ++at) {
    out.append(rest, text.begin() + at->position());
    rest = text.begin() + at->position() + at->length();
    if ((*at)[2].matched) {
      out += "+" + std::to_string(std::stoull((*at)[2], nullptr, 16) & window_mask);
      continue;
    }
    auto known = std::ranges::find(met, (*at)[1].str());
    if (known == met.end()) known = met.insert(met.end(), (*at)[1].str());
    out += std::string("stream ") + static_cast<char>('A' + (known - met.begin()));
  }
  return out.append(rest, text.end());
}

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace

void run::fail(const std::string& what) const { throw failure{what, step_ == 0 ? 0 : step_ - 1}; }

void run::note(std::uint64_t n) { figures_.hash = (figures_.hash ^ n) * 1'099'511'628'211u; }

// Relative to the device.
std::uint64_t run::place(const void* p) const { return reinterpret_cast<std::uintptr_t>(p) & window_mask; }

// Only running out is an answer where nothing was injected. A bug of the caller's never is, nor one of ours.
void run::check_error(const error& e, const char* verb, std::size_t bytes, std::size_t alignment) {
  note(static_cast<std::uint64_t>(e.code));
  if (e.message().empty()) fail(std::string(verb) + " fails without a word");
  if (e.code == errc::out_of_memory && !has_faults_) return check_no_room(bytes, alignment);
  if (e.code == errc::device_lost && is_lost_) return;
  const bool is_injected = e.code == errc::out_of_memory || e.code == errc::cuda || e.code == errc::not_supported;
  if (!has_faults_ || !is_injected) fail(std::string(verb) + " answers: " + e.message());
}

// After it said no, a pool holds what live blocks pin and little else. Then a request that the rest of the device, or
// of the limit, could hold in whole chunks must not have been refused.
void run::check_no_room(std::size_t bytes, std::size_t alignment) {
  if (!here_->plan.options.order.other_streams_passed || !here_->plan.options.order.other_streams_wait) return;
  // Each of those aside may lie where nothing else does.
  std::size_t pinned =
      2 * here_->aside_bytes + here_->aside_count * (here_->plan.options.region_bytes + 2 * chunk_bytes);
  std::vector<std::uintptr_t> regions;
  for (const auto& [at, b] : here_->live) {
    if (b.is_direct)
      pinned += round_up(here_->watch.direct_bytes_at(b.at), direct_bytes);
    else if (b.bytes > medium_bytes_max || b.alignment > medium_bytes_max)
      pinned += round_up((b.bytes + b.alignment) * 2, chunk_bytes) + chunk_bytes;  // big_cache_fit is 1 at most
    else if (regions.empty() || regions.back() != at / chunk_bytes)
      regions.push_back(at / chunk_bytes);
  }
  pinned += regions.size() * (here_->plan.options.region_bytes + chunk_bytes);
  // What a stream that only its own calls may touch gave back natively cannot be trimmed before the next of these.
  if (here_->limit != SIZE_MAX && has_raw_streams_) {
    const statistics now = here_->pool.statistics();
    pinned += now.reserved - std::min(now.reserved, now.held);
  }
  const std::size_t worst = round_up(bytes + alignment + 4 * mib, chunk_bytes);
  std::size_t taken = neighbour_;
  for (const auto& p : pools_) {
    if (p.get() == here_) continue;
    taken += p->pool.statistics().reserved;
    for (const auto& direct : p->watch.direct) taken += round_up(direct.second, direct_bytes);
  }
  const std::size_t room =
      std::min({here_->limit, here_->native_limit, plan_.device_bytes - std::min(plan_.device_bytes, taken)});
  if (pinned + worst <= room)
    fail("refused " + std::to_string(bytes) + " bytes; live blocks pin at most " + std::to_string(pinned) + " of " +
         std::to_string(room));
}

void run::check_calls(std::uint64_t before, const char* verb) {
  const std::uint64_t calls = here_->watch.calls - before;
  if (calls <= figures_.calls_most) return;
  figures_.calls_most = calls;
  const std::uint64_t most =
      calls_least + calls_each * (streams_ever_ + here_->watch.allocations_most) + here_->watch.records;
  if (calls > most && handler_calls_ == 0)
    fail(std::string(verb) + " took " + std::to_string(calls) + " calls to the device, " + std::to_string(most) +
         " are enough");
}

void run::check_step() {
  handler_calls_ = 0;
  if (found_) throw *found_;
  if (!bugs_.empty()) fail("the bug handler was told: " + bugs_.front());
  for (const auto& p : pools_) {
    const std::size_t most = std::max(p->watch.reserved_most, p->heard->reserved_most);
    p->watch.reserved_most = p->heard->reserved_most = 0;
    if (p->limit != SIZE_MAX && most > p->limit)
      fail("reserved " + std::to_string(most) + " passed the limit of " + std::to_string(p->limit));
  }
  const auto violations = device_->violations();
  if (!violations.empty()) fail("violation: " + without_ids(violations.front().text));
}

std::size_t run::rounded(const block& b) const {
  if (b.is_direct) return here_->watch.direct_bytes_at(b.at);
  const bool is_aligned = b.alignment > 256;
  const std::size_t padded = is_aligned ? round_up(b.bytes, b.alignment) : b.bytes;
  if (padded <= small_bytes_max && b.alignment <= granule_bytes) return padded;  // to a class: check_classes
  if (b.bytes <= medium_bytes_max && b.alignment <= medium_bytes_max) return round_up(b.bytes, granule_bytes);
  return 0;  // more than one answer is right
}

// A lost device does not say what it has reserved any more, so that stays what it was.
void run::check_sound() {
  for (const std::string& broken : here_->pool.validate())
    if (!is_lost_ || broken.find("held than reserved") == std::string::npos) fail("validate: " + broken);
}

void run::check_all() {
  check_sound();
  const statistics now = here_->pool.statistics();
  check_sums(now);
  check_classes(now);
  check_walk(now);
  note_statistics(now);
}

void run::check_sums(const statistics& now) {
  std::size_t direct = 0, requested = 0;
  for (const auto& [at, b] : here_->live) {
    requested += b.bytes;
    if (b.is_direct) direct += here_->watch.direct_bytes_at(b.at);
  }
  if (now.allocated < requested) fail("fewer live bytes than were asked for");
  if (now.live_count != here_->live.size()) fail("live_count is " + std::to_string(now.live_count));
  if (now.allocations - now.deallocations != here_->live.size())
    fail("allocations less deallocations are not live_count");
  if (now.allocations != here_->allocations)
    fail("allocations are " + std::to_string(now.allocations) + ", were " + std::to_string(here_->allocations));
  if (now.direct != direct) fail("direct is " + std::to_string(now.direct));
  if (!is_lost_ && now.held > now.reserved) fail("more held than reserved");
  if (now.held != now.allocated - now.direct + now.free) fail("held is not live and free");
  if (now.reserved > here_->limit || now.direct > here_->limit - now.reserved) fail("the limit is passed");
  if (now.reserved > plan_.device_bytes) fail("more reserved than there is");
  if (now.cached > now.free || now.pending > now.free || now.cached + now.pending > now.free)
    fail("more cached and pending than free");
  if (now.cached_large > now.cached || now.largest_free > now.free) fail("a part is more than the whole");
  if (now.fragmentation < 0 || now.fragmentation > 1) fail("fragmentation is no ratio");
  if (now.allocated_peak < now.allocated || now.held_peak < now.held || now.reserved_peak < now.reserved)
    fail("a peak below what is");
  const auto& s = now.served;
  if (s.cache + s.heap + s.big_cache + s.other_passed + s.native + s.other_waited + s.direct != now.allocations)
    fail("what served allocations is not all of them");
  if (here_->plan.has_observer && here_->heard->live != static_cast<std::int64_t>(here_->live.size()))
    fail("the observer knows of " + std::to_string(here_->heard->live) + " live blocks");
}

// Live blocks by class, against what they were asked for. In need a block of a larger class serves, and above 16 MiB
// more than one size is right.
void run::check_classes(const statistics& now) {
  std::vector<std::uint64_t> counts(now.classes.size());
  std::size_t exact = 0, large = 0, at_least = 0;
  for (const auto& [at, b] : here_->live) {
    const std::size_t n = rounded(b);
    const bool is_small = !b.is_direct && n != 0 && n <= small_bytes_max && b.alignment <= granule_bytes;
    if (is_small) {
      const auto fits = std::ranges::lower_bound(now.classes, n, {}, &class_statistics::bytes);
      ++counts[static_cast<std::size_t>(fits - now.classes.begin())];
      exact += fits->bytes;
    } else if (n != 0) {
      exact += n;
    } else {
      ++large;
      at_least += b.bytes;
    }
  }
  const bool is_strict = now.pressure_events == 0;
  if (is_strict && large == 0 ? now.allocated != exact : now.allocated < exact + at_least)
    fail("live bytes are " + std::to_string(now.allocated) + ", the blocks have " + std::to_string(exact + at_least));
  for (std::size_t i = 0; is_strict && i < counts.size(); ++i)
    if (now.classes[i].live_count != counts[i])
      fail("of class " + std::to_string(now.classes[i].bytes) + " " + std::to_string(now.classes[i].live_count) +
           " are counted live, the program has " + std::to_string(counts[i]));
}

void run::check_walk(const statistics& now) {
  struct sums {
    std::size_t free = 0, pending = 0, cached = 0;
  };
  std::unordered_map<std::uint64_t, sums> by_stream;
  std::size_t live = 0, cached = 0, pending = 0, pooled = 0, count = 0, known = 0;
  std::vector<std::pair<std::uintptr_t, std::size_t>> all;
  here_->pool.walk([&](const block_info& b) {
    const auto at = reinterpret_cast<std::uintptr_t>(b.pointer);
    all.emplace_back(at, b.bytes);
    sums& of = by_stream[b.stream_id];
    if (b.state == block_state::free) of.free += b.bytes;
    if (b.state == block_state::pending) of.pending += b.bytes;
    if (b.state == block_state::pending) pending += b.bytes;
    if (b.state == block_state::cached) cached += b.bytes;
    if (!b.direct) pooled += b.bytes;
    if (b.state != block_state::live) return;
    live += b.bytes;
    ++count;
    const block* mine = here_->live.find(at);
    if (mine && b.bytes >= mine->bytes) ++known;
  });
  if (count != here_->live.size()) fail("walk finds " + std::to_string(count) + " live blocks");
  if (known != here_->live.size()) fail("walk does not find all live blocks, or not as large as they were asked for");
  std::ranges::sort(all);
  for (std::size_t i = 1; i < all.size(); ++i)
    if (all[i - 1].first + all[i - 1].second > all[i].first) fail("walk shows ranges that overlap");
  // An aligned block above 16 MiB, or a direct one, counts with what lies before it, and is shown from its begin on.
  const bool has_aligned = std::ranges::any_of(here_->live, [&](const auto& one) {
    return one.second.alignment > 256 && (one.second.is_direct || rounded(one.second) == 0);
  });
  if (has_aligned ? live > now.allocated : live != now.allocated) fail("walk finds other live bytes than statistics");
  if (cached != now.cached) fail("walk finds other cached bytes than statistics");
  if (pending != now.pending)
    fail("walk finds " + std::to_string(pending) + " bytes pending, statistics say " + std::to_string(now.pending));
  if (pooled > now.held) fail("walk finds more than is held");
  for (const stream_statistics& s : now.streams) {
    const auto seen = by_stream.find(s.id);
    const sums of = seen == by_stream.end() ? sums{} : seen->second;
    if (of.free != s.free || of.pending != s.pending)
      fail("of stream " + std::to_string(s.id) + " walk finds " + std::to_string(of.free) + " bytes free and " +
           std::to_string(of.pending) + " pending, statistics say " + std::to_string(s.free) + " and " +
           std::to_string(s.pending));
  }
}

void run::note_statistics(const statistics& now) {
  for (const std::uint64_t n : {std::uint64_t{now.allocated},
                                std::uint64_t{now.free},
                                std::uint64_t{now.held},
                                std::uint64_t{now.reserved},
                                std::uint64_t{now.cached},
                                std::uint64_t{now.cached_large},
                                std::uint64_t{now.pending},
                                std::uint64_t{now.largest_free},
                                std::uint64_t{now.allocated_peak},
                                now.allocations,
                                now.failures,
                                now.served.cache,
                                now.served.heap,
                                now.served.native,
                                now.served.other_passed,
                                now.served.other_waited,
                                now.native.record,
                                now.native.query,
                                now.native.wait,
                                now.native.synchronize,
                                now.native.trim,
                                now.waits_inserted,
                                now.splits,
                                now.merges,
                                now.pressure_events})
    note(n);
}

}  // namespace weir::simulation
