// SPDX-License-Identifier: Apache-2.0
#include "property/pool_driver.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <thread>

#include "base/bits.hpp"

namespace weir::test {

namespace {

using base::mib;

const char* const names[]{"allocate",     "burst",     "deallocate", "deallocate_many", "write",  "share",
                          "create",       "retire",    "lose",       "advance",         "sync",   "trim",
                          "defragment",   "set_limit", "neighbour",  "fault",           "direct", "capture",
                          "visit_thread", "bad_free"};

constexpr unsigned usual_weights[]{20, 4, 14, 3, 12, 6, 2, 2, 1, 8, 3, 2, 2, 1, 1, 2, 1, 1, 2, 2};
static_assert(std::size(usual_weights) == static_cast<std::size_t>(operation::count));

}  // namespace

plan::plan(std::uint64_t s) : seed(s) {
  random_source r(seed * 2 + 1);
  steps = 40 + static_cast<unsigned>(r.below(400));
  device_bytes = (std::size_t{4} + r.below(r.chance(20) ? 120 : 30)) * 32 * mib;
  size_max = r.chance(50) ? 512 * mib : r.chance(50) ? 20 * mib : 64 * base::kib;
  check_every = r.chance(20) ? 1 : 16;
  uses_faults = r.chance(30);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = r.chance(25) ? 0 : usual_weights[i];
  weights[static_cast<std::size_t>(operation::allocate)] = usual_weights[0];
  if (!uses_faults) weights[static_cast<std::size_t>(operation::fault)] = 0;
  options.checked = r.chance(25);
  options.trust_handles = r.chance(10);
  options.guard_capture = r.chance(10);
  options.order = {r.chance(90), r.chance(90), r.chance(90)};
  if (r.chance(30)) options.bytes_max = std::max(32 * mib, device_bytes / (1 + r.below(4)));
  if (r.chance(20)) options.trim.push_back(release_above(r.below(8) * 32 * mib));
  if (r.chance(20)) options.trim.push_back(defragment_above(static_cast<double>(r.below(100)) / 100));
  options.region_bytes = (32 * mib) << (r.chance(70) ? 0 : r.below(4));
  options.region_bytes_min = (4 * mib) << r.below(4);
  options.big_cache_share = r.chance(50) ? 0.1 : static_cast<double>(r.below(101)) / 100;
  options.big_cache_fit = r.chance(50) ? 0.125 : static_cast<double>(r.below(101)) / 100;
  options.cache_bytes_max = r.chance(50) ? 16 * mib : r.chance(20) ? 0 : r.log_uniform(16 * mib);
  // A destroyed stream's handle may only be trusted by who never destroys one.
  if (options.trust_handles) weights[static_cast<std::size_t>(operation::lose_stream)] = 0;
}

namespace {

// What the bug handler was told, by whatever thread.
std::mutex bugs_mutex;
std::vector<std::string> bugs;

void note_bug(const error& e) noexcept {
  const std::lock_guard lock(bugs_mutex);
  bugs.push_back(e.message());
}

}  // namespace

pool_driver::pool_driver(const plan& p)
    : plan_(p),
      device_(sim::device::make({.bytes_total = p.device_bytes})),
      watch_(std::make_shared<native_watch>()),
      limit_(p.options.bytes_max) {
  random_source r(p.seed * 2 + 7);
  pool_options options = p.options;
  options.observer = watch_;
  // Half of the limited pools have a native pool with the same limit behind them.
  const bool is_backed = limit_ != SIZE_MAX && r.chance(50);
  if (is_backed) native_limit_ = limit_;
  pool_ = pool::make(device_->make_backend(is_backed ? limit_ : 0), options);
  bugs.clear();
  set_bug_handler(note_bug);
  for (const stream_handle handle : {legacy_stream(), per_thread_stream()}) {
    streams_.push_back(std::make_unique<stream_model>());
    *streams_.back() = {.number = next_number_++, .handle = handle, .is_special = true};
  }
  create_stream(r);
  create_stream(r);
}

pool_driver::~pool_driver() { set_bug_handler(nullptr); }

// The same again is counted.
void pool_driver::say(std::string text) {
  if (!log_.empty() && log_.back() == text) return void(log_.back() += ", and again");
  if (!log_.empty() && log_.back() == text + ", and again") return;
  log_.push_back(std::move(text));
}

void pool_driver::fail(const std::string& what) const { throw failure{what, log_}; }

void pool_driver::run(const std::set<unsigned>& left_out) {
  const unsigned total = std::accumulate(plan_.weights.begin(), plan_.weights.end(), 0u);
  for (unsigned i = 0; i < plan_.steps; ++i) {
    if (left_out.contains(i)) continue;
    random_source r(plan_.seed * 1'000'003 + i);
    auto at = static_cast<unsigned>(r.below(total));
    std::size_t kind = 0;
    while (at >= plan_.weights[kind]) at -= plan_.weights[kind++];
    say(std::to_string(i) + " " + names[kind]);
    step(static_cast<operation>(kind), r);
    ++counts_.steps;
    check_cheap();
    if (i % plan_.check_every == 0) check_all();
  }
  random_source r(plan_.seed * 3 + 11);
  finish(r);
}

void pool_driver::step(operation kind, random_source& r) {
  switch (kind) {
    case operation::allocate: return allocate(r);
    case operation::burst: return burst(r);
    case operation::deallocate: return deallocate_one(r);
    case operation::deallocate_many: return deallocate_many(r);
    case operation::write: return write(r);
    case operation::share: return share(r);
    case operation::create_stream: return create_stream(r);
    case operation::retire_stream: return end_stream(r, true);
    case operation::lose_stream: return end_stream(r, false);
    case operation::advance: return device_->advance(r.log_uniform(20'000'000));
    case operation::synchronize: return synchronize(r);
    case operation::trim: return trim(r);
    case operation::defragment: {
      const auto done = pool_.defragment();
      if (!done) check_result(done.error(), "defragment", 0, 0);
      return;
    }
    case operation::set_limit: return set_limit(r);
    case operation::neighbour:
      neighbour_ = r.chance(50) ? 0 : r.below(plan_.device_bytes / 2);
      return device_->set_neighbour_bytes(neighbour_);
    case operation::fault: return fault(r);
    case operation::direct: return allocate_direct(r);
    case operation::capture: return capture(r);
    case operation::visit_thread: return visit_thread(r);
    case operation::bad_free: return bad_free(r);
    case operation::count: break;
  }
}

// --- what is known
// ----------------------------------------------------------------------------------------------------

pool_driver::stream_model* pool_driver::pick_stream(random_source& r) {
  std::vector<stream_model*> able;
  for (const auto& s : streams_)
    if (!s->is_capturing) able.push_back(s.get());
  return able[r.below(able.size())];
}

pool_driver::stream_model* pool_driver::by_number(unsigned number) {
  for (const auto& s : streams_)
    if (s->number == number) return s.get();
  return nullptr;
}

pool_driver::block* pool_driver::pick_block(random_source& r) {
  if (live_.empty()) return nullptr;
  auto at = live_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(r.below(live_.size())));
  return &at->second;
}

bool pool_driver::is_usable(const block& b) {
  return std::ranges::none_of(b.uses, [&](unsigned u) {
    const stream_model* s = by_number(u);
    return s && s->is_capturing;
  });
}

void pool_driver::forget_uses_of(unsigned number) {
  for (auto& [at, b] : live_) b.uses.erase(number);
}

// --- smaller runs
// -----------------------------------------------------------------------------------------------------

namespace {

std::unique_ptr<failure> run_once(const plan& p, const std::set<unsigned>& left_out, run_counts& counts) {
  try {
    pool_driver driver(p);
    std::unique_ptr<failure> found;
    try {
      driver.run(left_out);
    } catch (failure& f) {
      found = std::make_unique<failure>(std::move(f));
    }
    const run_counts& c = driver.counts();
    counts.steps += c.steps;
    counts.allocations += c.allocations;
    counts.deallocations += c.deallocations;
    counts.refused += c.refused;
    counts.launches += c.launches;
    return found;
  } catch (const std::exception& e) {
    return std::make_unique<failure>(failure{std::string("an exception: ") + e.what(), {}});
  }
}

}  // namespace

std::unique_ptr<failure> run_seed(std::uint64_t seed, run_counts& counts) {
  const plan p(seed);
  auto smallest = run_once(p, {}, counts);
  if (!smallest) return nullptr;
  std::set<unsigned> left_out;
  run_counts ignored;
  for (unsigned width = p.steps; width >= 1; width /= 2) {
    for (unsigned first = 0; first < p.steps; first += width) {
      std::set<unsigned> more = left_out;
      for (unsigned i = first; i < first + width; ++i) more.insert(i);
      if (more.size() == left_out.size()) continue;
      auto again = run_once(p, more, ignored);
      if (!again) continue;
      smallest = std::move(again);
      left_out = std::move(more);
    }
  }
  return smallest;
}

void pool_driver::check_cheap() {
  {
    const std::lock_guard lock(bugs_mutex);
    if (!bugs.empty()) fail("the bug handler was told: " + bugs.front());
  }
  const std::size_t most = watch_->reserved_most.exchange(0);
  if (limit_ != SIZE_MAX && most > limit_)
    fail("reserved " + std::to_string(most) + " passed the limit of " + std::to_string(limit_));
  const auto violations = device_->violations();
  if (!violations.empty()) fail("violation: " + violations.front().text);
}

}  // namespace weir::test
