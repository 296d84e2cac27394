// SPDX-License-Identifier: Apache-2.0
//
// A thread that does what it is told, one thing after the other, and stays: so that its caches do, too.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace weir::test {

class worker {
 public:
  worker() : thread_([this] { loop(); }) {}
  ~worker() { end(); }
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  // Returns when it is done. Catch2's macros are not for other threads at once; here one waits for the other.
  void run(std::function<void()> what) {
    std::unique_lock lock(mutex_);
    what_ = std::move(what);
    changed_.notify_all();
    changed_.wait(lock, [&] { return !what_; });
  }
  // The thread exits, and has when this returns.
  void end() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return what_ || is_ending_; });
      if (!what_) return;
      what_();
      what_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> what_;
  bool is_ending_ = false;
  std::thread thread_;  // the last: what it uses is there before it
};

}  // namespace weir::test
