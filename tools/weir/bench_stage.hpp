// SPDX-License-Identifier: Apache-2.0
//
// What every measurement of a bench stands on: the device, the clock, the user's streams, events and kernels, and how
// long a measurement may take. None of it belongs to the allocator that is measured.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "busy_kernel.hpp"
#include "replay_clock.hpp"
#include "replay_device.hpp"
#include "weir/backend.hpp"
#include "weir/pool_options.hpp"

namespace weir::cli {

// A measurement that cannot be made: a row is missing, the bench goes on.
struct bench_failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void fail_bench(const error&);

template <class Value>
Value must_have(result<Value> answer) {
  if (!answer) fail_bench(answer.error());
  if constexpr (!std::is_void_v<Value>) return std::move(*answer);
}

// Makes a compiler believe that a pointer is used; else it may leave out malloc and free of the same block.
inline void keep(void*& pointer) noexcept { asm volatile("" : "+r"(pointer)); }

class bench_stage {
 public:
  // Throws bench_failure.
  bench_stage(const replay_device&, const replay_clock&, weir::pool_options, bool is_quick);
  ~bench_stage();
  bench_stage(const bench_stage&) = delete;
  bench_stage& operator=(const bench_stage&) = delete;

  const replay_device& device() const noexcept { return device_; }
  const replay_clock& clock() const noexcept { return clock_; }
  // Of weir's pools.
  const weir::pool_options& pool_options() const noexcept { return pool_options_; }
  bool is_quick() const noexcept { return is_quick_; }
  // Of real time, for a measurement that would be worth `seconds`.
  std::chrono::nanoseconds budget(double seconds) const noexcept;

  // The user's streams, numbered from 0, made when first asked for.
  void make_streams(std::size_t count);
  stream_handle stream(std::size_t index) const noexcept { return streams_[index]; }

  // The user's own ordering: `later` waits for what `earlier` has so far.
  void order(std::size_t earlier, std::size_t later) const;
  void record(backend_event*, std::size_t stream) const;
  void wait_for(backend_event*) const;
  void synchronize() const;
  // Throws where a CUDA device is there and no kernel for it is.
  void launch(std::size_t stream, std::uint64_t duration_ns) const;
  backend& user() const noexcept { return *user_; }

  // Time of the device: virtual where it is simulated.
  double device_ms() const;

 private:
  const replay_device& device_;
  const replay_clock& clock_;
  const weir::pool_options pool_options_;
  const bool is_quick_;
  std::unique_ptr<backend> user_;
  std::vector<stream_handle> streams_;
  backend_event* order_event_ = nullptr;
  std::optional<busy_kernel> kernel_;
};

// Host time of the calling thread, and what the model adds where costs are modelled.
class bench_stopwatch {
 public:
  explicit bench_stopwatch(const bench_stage& stage) noexcept
      : clock_(stage.clock()),
        user_(stage.user()),
        adjustment_ns_(user_.clock_adjustment_ns()),
        begin_(clock_.start()) {}
  double ns() const noexcept {
    const auto real_ps = static_cast<double>(clock_.picoseconds(clock_.stop() - begin_));
    const double ns = real_ps / 1000 + static_cast<double>(user_.clock_adjustment_ns() - adjustment_ns_);
    return ns > 0 ? ns : 0;
  }

 private:
  const replay_clock& clock_;
  const backend& user_;
  std::int64_t adjustment_ns_;
  std::uint64_t begin_;
};

// Real time that runs out.
class bench_deadline {
 public:
  explicit bench_deadline(std::chrono::nanoseconds budget) : end_(std::chrono::steady_clock::now() + budget) {}
  bool is_over() const noexcept { return std::chrono::steady_clock::now() >= end_; }

 private:
  std::chrono::steady_clock::time_point end_;
};

// An event of the user's.
class bench_event {
 public:
  explicit bench_event(const bench_stage& stage) : user_(&stage.user()), event_(must_have(user_->create_event())) {}
  bench_event(bench_event&& other) noexcept : user_(other.user_), event_(std::exchange(other.event_, nullptr)) {}
  bench_event& operator=(bench_event&&) = delete;
  ~bench_event() {
    if (event_) user_->destroy_event(event_);
  }
  backend_event* get() const noexcept { return event_; }

 private:
  backend* user_;
  backend_event* event_;
};

// The value that `share` of them are at most. Changes the order of the samples; 0 where there are none.
double percentile_of(std::vector<double>& samples, double share);

}  // namespace weir::cli
