// SPDX-License-Identifier: Apache-2.0
#include "replay_crew.hpp"

#include <ctime>
#include <pthread.h>

namespace weir::cli {

replay_crew::replay_crew(std::size_t threads) : threads_(threads) {
  for (std::size_t i = 0; i < threads; ++i) threads_[i].thread = std::thread([this, i] { work(i); });
}

replay_crew::~replay_crew() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  for (member& each : threads_) {
    each.wakes.notify_one();
    each.thread.join();
  }
}

void replay_crew::run(std::size_t thread, const std::function<void()>& task) {
  std::unique_lock lock(mutex_);
  task_ = &task;
  has_baton_ = thread;
  threads_[thread].wakes.notify_one();
  is_back_.wait(lock, [&] { return has_baton_ == nobody; });
}

void replay_crew::work(std::size_t self) noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    threads_[self].wakes.wait(lock, [&] { return has_baton_ == self || is_over_; });
    if (is_over_) return;
    const auto& task = *task_;
    lock.unlock();  // the baton is the lock
    task();
    lock.lock();
    has_baton_ = nobody;
    is_back_.notify_one();
  }
}

std::int64_t replay_crew::cpu_ns() const noexcept {
  std::int64_t sum = 0;
  for (const member& each : threads_) {
    clockid_t clock{};
    timespec now{};
    // native_handle() is not const, though it changes nothing.
    if (pthread_getcpuclockid(const_cast<std::thread&>(each.thread).native_handle(), &clock) != 0) continue;
    ::clock_gettime(clock, &now);
    sum += std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }
  return sum;
}

}  // namespace weir::cli
