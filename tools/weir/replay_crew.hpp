// SPDX-License-Identifier: Apache-2.0
//
// The threads of a trace as threads of the operating system, one running at a time: a baton goes from turn to turn, so
// that the trace's order is kept and whatever an allocator keeps for a thread is truly that thread's.
//
//     replay_crew crew(3);
//     crew.run(2, [&] { ... });   // by the third thread; returns when it is done
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace weir::cli {

class replay_crew {
 public:
  explicit replay_crew(std::size_t threads);
  // The threads end, and what an allocator keeps for them goes the way it goes then.
  ~replay_crew();
  replay_crew(const replay_crew&) = delete;
  replay_crew& operator=(const replay_crew&) = delete;

  std::size_t count() const noexcept { return threads_.size(); }
  // What `task` throws is lost, and ends the process.
  void run(std::size_t thread, const std::function<void()>& task);
  // Processor time that its threads have had.
  std::int64_t cpu_ns() const noexcept;

 private:
  static constexpr std::size_t nobody = SIZE_MAX;
  struct member {
    std::condition_variable wakes;
    std::thread thread;
  };
  void work(std::size_t self) noexcept;

  std::mutex mutex_;  // guards what follows
  std::size_t has_baton_ = nobody;
  const std::function<void()>* task_ = nullptr;
  bool is_over_ = false;
  std::condition_variable is_back_;
  std::vector<member> threads_;
};

}  // namespace weir::cli
