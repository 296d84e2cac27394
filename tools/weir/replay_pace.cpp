// SPDX-License-Identifier: Apache-2.0
#include "replay_pace.hpp"

#include <algorithm>
#include <ctime>

namespace weir::cli {
namespace {

std::int64_t cpu_ns(clockid_t which) noexcept {
  timespec now{};
  ::clock_gettime(which, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

replay_pace::replay_pace(const replay_device& device, const replay_clock& clock, std::uint64_t duration_ns,
                         std::size_t events) noexcept
    : clock_(clock),
      sim_(device.simulated().get()),
      ns_per_event_(events == 0 ? 0 : static_cast<double>(duration_ns) / static_cast<double>(events)),
      others_begin_ns_(other_threads_ns()),
      virtual_begin_ns_(sim_ ? sim_->now_ns() : 0),
      begin_(clock.start()) {}

void replay_pace::wait_for(std::size_t index) const noexcept {
  if (ns_per_event_ == 0) return;
  const auto turn_ns = static_cast<std::uint64_t>(ns_per_event_ * static_cast<double>(index));
  if (sim_) {
    const std::uint64_t now_ns = virtual_ns();
    if (now_ns < turn_ns) sim_->advance(turn_ns - now_ns);
  }
  while (real_ns() < turn_ns) {}
}

double replay_pace::elapsed_ms() const noexcept { return static_cast<double>(sim_ ? virtual_ns() : real_ns()) / 1e6; }

double replay_pace::background_cpu_ms() const noexcept {
  return static_cast<double>(std::max<std::int64_t>(other_threads_ns() - others_begin_ns_, 0)) / 1e6;
}

std::uint64_t replay_pace::real_ns() const noexcept { return clock_.picoseconds(clock_.start() - begin_) / 1000; }

std::uint64_t replay_pace::virtual_ns() const noexcept { return sim_->now_ns() - virtual_begin_ns_; }

// This thread's time is read first: what it does in between counts for the others, not against them.
std::int64_t replay_pace::other_threads_ns() noexcept {
  const std::int64_t own = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
  return cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
}

}  // namespace weir::cli
