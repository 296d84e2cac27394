// SPDX-License-Identifier: Apache-2.0
#include "replay_allocators.hpp"

#include <limits>
#include <utility>

namespace weir::cli {

result<std::optional<std::size_t>> replay_allocator::reserved_high() noexcept {
  auto bytes = backend_->pool_bytes();
  if (!bytes) return std::move(bytes).error();
  return std::optional(bytes->reserved_high);
}

result<void> replay_allocator::make_streams(backend& backend, std::size_t count) {
  backend_ = &backend;
  return streams_.emplace(backend).make(count);
}

weir_allocator::~weir_allocator() {
  // Both may say no only where the device is lost, and then there is nothing left to tidy.
  for (const auto& token : tokens_) static_cast<void>(pool_.retire(token));
  streams_.reset();
}

result<void> weir_allocator::open(const replay_request& request) {
  auto backend = request.device.make_backend(request.bytes_max);
  if (!backend) return std::move(backend).error();
  pool_options options = request.pool;
  if (request.bytes_max) options.bytes_max = request.bytes_max;
  auto made = pool::try_make(make_timed_backend(std::move(*backend), driver_), std::move(options));
  if (!made) return std::move(made).error();
  pool_ = std::move(*made);
  if (auto done = make_streams(pool_.backend(), request.script.stream_count); !done) return done;
  for (std::size_t i = 0; i < request.script.stream_count; ++i) {
    auto token = pool_.stream((*streams_)[i]);
    if (!token) return std::move(token).error();
    tokens_.push_back(std::move(*token));
  }
  return {};
}

namespace {

counted counts_of(const statistics& s) {
  return {{"served_cache", s.served.cache},
          {"served_heap", s.served.heap},
          {"served_big_cache", s.served.big_cache},
          {"served_other_passed", s.served.other_passed},
          {"served_native", s.served.native},
          {"served_other_waited", s.served.other_waited},
          {"served_direct", s.served.direct},
          {"splits", s.splits},
          {"merges", s.merges},
          {"events_recorded", s.native.record},
          {"queries", s.native.query},
          {"waits", s.native.wait},
          {"synchronizes", s.native.synchronize},
          {"pressure_events", s.pressure_events}};
}

}  // namespace

void weir_allocator::end_pass(replay_figures& figures) {
  const driver_times::each driver = driver_->read();
  for (std::size_t i = 0; i < driver.size(); ++i)
    figures.driver_ms[i] = static_cast<double>(driver[i] - driver_before_[i]) / 1e6;
  const statistics now = pool_.statistics();
  const double allocations = static_cast<double>(now.allocations - before_.allocations);
  const auto missed = now.served.native + now.served.direct - before_.served.native - before_.served.direct;
  if (allocations > 0) {
    figures.cached_rate = static_cast<double>(now.served.cache - before_.served.cache) / allocations;
    figures.hit_rate = 1 - static_cast<double>(missed) / allocations;
  }
  figures.native_calls = {.allocate = now.native.allocate - before_.native.allocate,
                          .deallocate = now.native.deallocate - before_.native.deallocate,
                          .grow = now.native.grow - before_.native.grow,
                          .trim = now.native.trim - before_.native.trim};
  figures.waits_inserted = now.waits_inserted - before_.waits_inserted;
  figures.waits_fresh = now.waits_fresh - before_.waits_fresh;
  figures.counts = counts_of(now);
  const counted before = counts_of(before_);
  for (std::size_t i = 0; i < before.size(); ++i) figures.counts[i].second -= before[i].second;
}

result<void> native_allocator::open(const replay_request& request) {
  auto backend = request.device.make_backend(request.bytes_max);
  if (!backend) return std::move(backend).error();
  owned_ = std::move(*backend);
  granularity_ = owned_->capabilities().granularity;
  return make_streams(*owned_, request.script.stream_count);
}

void native_allocator::begin_pass() {
  const auto bytes = owned_->pool_bytes();
  reserved_ = bytes ? bytes->reserved : 0;
  grown_ = 0;
}

// Growth takes 29 µs at least, so only calls of 4 µs and more are asked about: asking after each would slow the
// replay and warm what it measures.
void native_allocator::observe(const replay_op& op, std::uint64_t ps) {
  if (ps < 4'000'000 || op.is_direct) return;
  const auto bytes = owned_->pool_bytes();
  if (!bytes) return;
  if (bytes->reserved > reserved_) ++grown_;
  reserved_ = bytes->reserved;
}

// Every call is a native one.
void native_allocator::end_pass(replay_figures& figures) { figures.native_calls.grow = grown_; }

result<void> direct_allocator::open(const replay_request& request) {
  auto backend = request.device.make_backend();
  if (!backend) return std::move(backend).error();
  owned_ = std::move(*backend);
  bytes_max_ = request.bytes_max ? request.bytes_max : std::numeric_limits<std::size_t>::max();
  return make_streams(*owned_, request.script.stream_count);
}

plugin_allocator::~plugin_allocator() {
  // Where the device is lost there is nothing to wait for.
  if (owned_) static_cast<void>(owned_->synchronize_device());
  plugin_.reset();
  streams_.reset();
}

result<void> plugin_allocator::open(const replay_request& request) {
  auto backend = request.device.make_backend();
  if (!backend) return std::move(backend).error();
  owned_ = std::move(*backend);
  calls_ = *plugin_.emplace(path_, request.device).operator->();
  return make_streams(*owned_, request.script.stream_count);
}

result<void> plugin_allocator::reset_reserved_high() noexcept {
  if (calls_.reset_reserved_high) calls_.reset_reserved_high(calls_.context);
  return {};
}

result<std::optional<std::size_t>> plugin_allocator::reserved_high() noexcept {
  if (!plugin_->knows_reserved()) return std::optional<std::size_t>();
  return std::optional(calls_.reserved_high(calls_.context));
}

// How many calls it makes of what lies below it nobody knows.
void plugin_allocator::end_pass(replay_figures& figures) noexcept { figures.native_calls = {}; }

error plugin_allocator::why(int answer, std::size_t bytes) noexcept {
  if (answer == WEIR_PLUGIN_OUT_OF_MEMORY) return {.code = errc::out_of_memory, .bytes = bytes};
  return {.code = errc::cuda, .native_code = answer, .bytes = bytes, .what = "a call of the plugin"};
}

}  // namespace weir::cli
