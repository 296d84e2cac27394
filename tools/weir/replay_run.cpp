// SPDX-License-Identifier: Apache-2.0
#include "replay_run.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "log_histogram.hpp"
#include "replay_allocators.hpp"
#include "replay_crew.hpp"
#include "replay_pace.hpp"
#include "replay_verify.hpp"

namespace weir::cli {
namespace {

// A running sum and the largest it has been.
struct watermark {
  std::size_t now = 0;
  std::size_t high = 0;
  void add(std::size_t bytes) noexcept { high = std::max(high, now += bytes); }
};

// Of one kind of call, in picoseconds.
struct call_times {
  log_histogram histogram;
  std::uint64_t total = 0;
  void add(std::uint64_t ps) {
    histogram.add(ps);
    total += ps;
  }
};

// What is counted while a pass runs.
struct pass_counts {
  call_times allocate;
  call_times deallocate;
  std::uint64_t failed = 0;
  watermark live;
  watermark direct;
};

latency_figures figures_of(const log_histogram& times) {
  const auto ns = [](std::uint64_t ps) { return static_cast<double>(ps) / 1000; };
  return {.p50 = ns(times.percentile(0.5)),
          .p90 = ns(times.percentile(0.9)),
          .p99 = ns(times.percentile(0.99)),
          .p999 = ns(times.percentile(0.999)),
          .max = ns(times.max())};
}

template <class Allocator>
class replayer {
 public:
  template <class... Arguments>
  explicit replayer(const replay_request& request, Arguments&&... of_allocator)
      : request_(request), blocks_(request.script.slot_count), allocator_(std::forward<Arguments>(of_allocator)...) {}

  result<std::vector<replay_figures>> run() {
    if (auto done = allocator_.open(request_); !done) return std::move(done).error();
    if (request_.verifier)
      verify_.emplace(*request_.verifier, allocator_.streams(), request_.script, Allocator::knows_uses,
                      request_.spoil_every);
    if (request_.has_threads && request_.script.thread_count > 1) crew_.emplace(request_.script.thread_count);
    std::vector<replay_figures> passes;
    for (unsigned pass = 1; pass <= request_.passes; ++pass) {
      if (request_.before_pass) request_.before_pass(pass);
      auto figures = run_pass(pass);
      if (!figures) return std::move(figures).error();
      passes.push_back(std::move(*figures));
    }
    return passes;
  }

 private:
  // One call: real time, and what the model adds to it where costs are modelled.
  class stopwatch {
   public:
    explicit stopwatch(const replayer& owner) noexcept
        : owner_(owner), adjustment_ns_(owner.allocator_.clock_adjustment_ns()), begin_(owner.request_.clock.start()) {}
    std::uint64_t elapsed_ps() const noexcept {
      const replay_clock& clock = owner_.request_.clock;
      const auto real_ps = static_cast<std::int64_t>(clock.picoseconds(clock.stop() - begin_));
      const std::int64_t added_ns = owner_.allocator_.clock_adjustment_ns() - adjustment_ns_;
      return static_cast<std::uint64_t>(std::max<std::int64_t>(real_ps + added_ns * 1000, 0));
    }

   private:
    const replayer& owner_;
    std::int64_t adjustment_ns_;
    std::uint64_t begin_;
  };

  result<replay_figures> run_pass(unsigned pass) {
    counts_ = {};
    if (auto done = allocator_.reset_reserved_high(); !done) return std::move(done).error();
    allocator_.begin_pass();
    const std::uint64_t remaps = remap_count();
    const auto& ops = request_.script.ops;
    const replay_pace pace(request_.device, request_.clock, request_.pace_ns, ops.size());
    const std::int64_t crew_begin_ns = crew_ ? crew_->cpu_ns() : 0;
    if (auto done = crew_ ? take_turns(pace) : take_steps(0, ops.size(), pace); !done) return std::move(done).error();
    if (auto done = allocator_.synchronize(); !done) return std::move(done).error();
    const double makespan_ms = pace.elapsed_ms();
    const double crew_cpu_ms = crew_ ? static_cast<double>(crew_->cpu_ns() - crew_begin_ns) / 1e6 : 0;
    const double background_cpu_ms = std::max(pace.background_cpu_ms() - crew_cpu_ms, 0.0);
    auto reserved = allocator_.reserved_high();
    if (!reserved) return std::move(reserved).error();
    replay_figures figures = sum_up(pass, *reserved);
    figures.makespan_ms = makespan_ms;
    figures.background_cpu_ms = background_cpu_ms;
    allocator_.end_pass(figures);
    if (request_.device.is_simulated()) figures.counts.emplace_back("remaps", remap_count() - remaps);
    if (auto done = free_left_over(); !done) return std::move(done).error();
    if (auto done = add_verified(figures); !done) return std::move(done).error();
    return figures;
  }

  result<void> take_steps(std::size_t begin, std::size_t end, const replay_pace& pace) {
    for (std::size_t i = begin; i < end; ++i) {
      pace.wait_for(i);
      if (auto done = step(request_.script.ops[i]); !done) return done;
    }
    return {};
  }

  result<void> take_turns(const replay_pace& pace) {
    const auto& turns = request_.script.turns;
    result<void> done;
    for (std::size_t i = 0; i < turns.size() && done; ++i) {
      const std::size_t end = i + 1 < turns.size() ? turns[i + 1].begin : request_.script.ops.size();
      crew_->run(turns[i].thread, [&] { done = take_steps(turns[i].begin, end, pace); });
    }
    return done;
  }

  // Precondition: the device has done all.
  result<void> add_verified(replay_figures& figures) {
    if (!verify_) return {};
    auto found = request_.verifier->take();
    if (!found) return std::move(found).error();
    const std::uint64_t orders_added = verify_->orders_added();
    figures.verified = {found->bytes, found->differences, orders_added - std::exchange(orders_added_, orders_added),
                        std::move(found->first)};
    return {};
  }

  // Which no driver tells.
  std::uint64_t remap_count() const {
    const auto& sim = request_.device.simulated();
    return sim ? sim->calls().remap : 0;
  }

  result<void> step(const replay_op& op) {
    switch (op.kind) {
      case replay_kind::allocate: return allocate(op);
      case replay_kind::deallocate: return deallocate(op);
      case replay_kind::record_use: return record_use(op);
      case replay_kind::wait:
        return verify_ ? verify_->order(op.slot, op.stream) : allocator_.order(op.slot, op.stream);
    }
    return {};
  }

  result<void> allocate(const replay_op& op) {
    const stopwatch watch(*this);
    void* const block = allocator_.allocate(op);
    const std::uint64_t ps = watch.elapsed_ps();
    blocks_[op.slot] = block;
    counts_.allocate.add(ps);
    if (!block) return count_failure();
    counts_.live.add(op.bytes);
    if (is_direct(op)) counts_.direct.add(op.bytes);
    allocator_.observe(op, ps);
    if (verify_)
      if (auto done = verify_->filled(op, block); !done) return done;
    if (request_.kernel) return request_.kernel->launch(allocator_.handle(op.stream), request_.kernel_ns);
    return {};
  }

  result<void> deallocate(const replay_op& op) {
    void* const block = std::exchange(blocks_[op.slot], nullptr);
    if (!block) return {};
    if (verify_)
      if (auto done = verify_->released(op, block); !done) return done;
    const stopwatch watch(*this);
    allocator_.deallocate(block, op);
    counts_.deallocate.add(watch.elapsed_ps());
    counts_.live.now -= op.bytes;
    if (is_direct(op)) counts_.direct.now -= op.bytes;
    return take_failure();
  }

  result<void> record_use(const replay_op& op) {
    void* const block = blocks_[op.slot];
    if (!block) return {};
    if (verify_)
      if (auto done = verify_->used(op, block); !done) return done;
    return allocator_.record_use(block, op.stream);
  }

  // No room, or a size or alignment beyond what there is: an answer to this request. Null is one too, to zero bytes.
  result<void> count_failure() {
    auto why = allocator_.take_failure();
    if (!why) return {};
    const bool is_answer =
        why->code == errc::out_of_memory || why->code == errc::invalid_size || why->code == errc::invalid_alignment;
    if (!is_answer) return std::move(*why);
    ++counts_.failed;
    return {};
  }
  result<void> take_failure() {
    auto why = allocator_.take_failure();
    return why ? result<void>(std::move(*why)) : result<void>{};
  }

  static bool is_direct(const replay_op& op) noexcept {
    return Allocator::direct_calls == direct_use::all || (Allocator::direct_calls == direct_use::some && op.is_direct);
  }

  // Then waits, so that the next pass finds all of it free.
  result<void> free_left_over() {
    for (const replay_op& op : request_.script.left_over) {
      void* const block = std::exchange(blocks_[op.slot], nullptr);
      if (!block) continue;
      if (verify_)
        if (auto done = verify_->released(op, block); !done) return done;
      allocator_.deallocate(block, op);
    }
    if (auto done = take_failure(); !done) return done;
    return allocator_.synchronize();
  }

  replay_figures sum_up(unsigned pass, std::optional<std::size_t> reserved) const {
    if (reserved) *reserved += counts_.direct.high;
    const log_histogram& allocated = counts_.allocate.histogram;
    const log_histogram& freed = counts_.deallocate.histogram;
    return {.trace = request_.script.name,
            .allocator = allocator_.name(),
            .pass = pass,
            .operations = allocated.count() + freed.count(),
            .failed = counts_.failed,
            .peak_live_bytes = counts_.live.high,
            .peak_reserved_bytes = reserved,
            .host_ms = static_cast<double>(counts_.allocate.total + counts_.deallocate.total) / 1e9,
            .allocate_ns = figures_of(allocated),
            .deallocate_ns = figures_of(freed),
            .is_modelled = allocator_.is_modelled(),
            .native_calls = {.allocate = allocated.count(), .deallocate = freed.count()}};
  }

  const replay_request& request_;
  std::vector<void*> blocks_;  // by slot; null where nothing lives
  Allocator allocator_;
  pass_counts counts_;
  std::optional<replay_verify> verify_;
  std::uint64_t orders_added_ = 0;
  std::optional<replay_crew> crew_;  // last: its threads end while the allocator is there
};

}  // namespace

bool is_replay_allocator(std::string_view name) noexcept {
  return name == weir_allocator::name() || name == native_allocator::name() || name == direct_allocator::name() ||
         plugin_path(name);
}

result<std::vector<replay_figures>> replay(const std::string& allocator, const replay_request& request) {
  if (allocator == weir_allocator::name()) return replayer<weir_allocator>(request).run();
  if (allocator == native_allocator::name()) return replayer<native_allocator>(request).run();
  if (allocator == direct_allocator::name()) return replayer<direct_allocator>(request).run();
  if (const auto path = plugin_path(allocator)) return replayer<plugin_allocator>(request, *path).run();
  return error{.code = errc::invalid_argument, .what = "allocator"};
}

}  // namespace weir::cli
