// SPDX-License-Identifier: Apache-2.0
//
// The pool's own thread, where options ask for one: runs a list of ticks every period, and at once when woken.
//
// It is no std::thread. In a child after fork the thread is not there, and what stands for it must be dropped without a
// join, a detach or the end of a condition variable somebody seemed to wait on; so it is a pthread, a futex word and
// nothing that needs an end. At exit it is stopped before the driver goes, whatever becomes of its pool.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <pthread.h>
#include <vector>

#include "weir/result.hpp"

namespace weir::detail {

class background {
 public:
  // Runs on the thread, and must not throw. Must not end the pool.
  using tick = std::function<void()>;

  background() = default;
  ~background() { stop(); }
  background(const background&) = delete;
  background& operator=(const background&) = delete;

  // Once. errc::internal where the system gives no thread; then nothing runs.
  result<void> start(std::chrono::nanoseconds period, std::vector<tick> ticks);

  // The ticks run soon, in a moment of the thread's choosing; of many calls before that only one counts. From any
  // thread, for a price of one atomic increment and, when the thread sleeps, one system call.
  void wake() noexcept;

  // Waits for the tick under way, then the thread is gone. Nothing where there is none, nor in a child after fork.
  void stop() noexcept;

 private:
  static void* run(void* self) noexcept;
  void loop() noexcept;
  void sleep_from(std::uint32_t seen) noexcept;
  void join() noexcept;
  static void prepare();
  static void stop_all();

  std::chrono::nanoseconds period_{};
  std::vector<tick> ticks_;
  pthread_t thread_{};
  std::atomic<bool> is_stopping_{false};
  std::atomic<bool> is_asleep_{false};
  std::atomic<std::uint32_t> calls_{0};  // of wake(): the word slept on
};

}  // namespace weir::detail
