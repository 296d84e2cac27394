// SPDX-License-Identifier: Apache-2.0
#include "pool/background.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <linux/futex.h>
#include <mutex>
#include <sys/syscall.h>
#include <unistd.h>

namespace weir::detail {

namespace {

// Those that run, to be stopped at exit. Who takes one off the list joins it. Never destroyed: statics that have a pool
// may go after it. Its lock is taken over a fork, so that no child finds it taken.
struct running_ones {
  std::mutex mutex;
  std::vector<background*> all;
};

running_ones& running() {
  static auto* const ones = new running_ones;
  return *ones;
}

// The parent's threads are not the child's.
void forget_all() {
  running().all.clear();
  running().mutex.unlock();
}

long futex(std::atomic<std::uint32_t>& word, int what, std::uint32_t value, const timespec* time) noexcept {
  static_assert(sizeof(word) == sizeof(std::uint32_t));
  return syscall(SYS_futex, &word, what, value, time, nullptr, 0);
}

}  // namespace

// At each start: a pool's driver was initialised before the pool was made, so stop_all runs before what the driver does
// at exit, whichever pool was the first.
void background::prepare() {
  static const int prepared =
      pthread_atfork([] { running().mutex.lock(); }, [] { running().mutex.unlock(); }, forget_all);
  (void)prepared;
  std::atexit(stop_all);
}

void background::stop_all() {
  const std::lock_guard lock(running().mutex);
  for (background* one : running().all) one->join();
  running().all.clear();
}

result<void> background::start(std::chrono::nanoseconds period, std::vector<tick> ticks) {
  if (period.count() <= 0 || ticks.empty()) return {};
  prepare();
  period_ = period;
  ticks_ = std::move(ticks);
  const std::lock_guard lock(running().mutex);
  running().all.reserve(running().all.size() + 1);
  // The program's signals are for the program's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int refused = pthread_create(&thread_, nullptr, run, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (refused != 0) return error{.code = errc::internal, .what = "background: the system gives no thread"};
  running().all.push_back(this);
  return {};
}

void background::stop() noexcept {
  {
    const std::lock_guard lock(running().mutex);
    if (std::erase(running().all, this) == 0) return;
  }
  join();
}

void background::join() noexcept {
  is_stopping_.store(true, std::memory_order_seq_cst);
  wake();
  pthread_join(thread_, nullptr);
}

void background::wake() noexcept {
  calls_.fetch_add(1, std::memory_order_seq_cst);
  // Either it is seen asleep here, or it sees the call before it sleeps.
  if (is_asleep_.load(std::memory_order_seq_cst)) futex(calls_, FUTEX_WAKE_PRIVATE, 1, nullptr);
}

void* background::run(void* self) noexcept {
  pthread_setname_np(pthread_self(), "weir");
  static_cast<background*>(self)->loop();
  return nullptr;
}

void background::loop() noexcept {
  while (!is_stopping_.load(std::memory_order_seq_cst)) {
    const std::uint32_t seen = calls_.load(std::memory_order_seq_cst);
    for (const tick& each : ticks_) each();
    if (!is_stopping_.load(std::memory_order_seq_cst)) sleep_from(seen);
  }
}

// A period long, or until a call that is not `seen`.
void background::sleep_from(std::uint32_t seen) noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(period_);
  const timespec time{.tv_sec = seconds.count(), .tv_nsec = (period_ - seconds).count()};
  is_asleep_.store(true, std::memory_order_seq_cst);
  futex(calls_, FUTEX_WAIT_PRIVATE, seen, &time);
  is_asleep_.store(false, std::memory_order_seq_cst);
}

}  // namespace weir::detail
