// SPDX-License-Identifier: Apache-2.0
//
// Logical threads under a virtual scheduler. Each is a thread of the operating system, because the pool's caches belong
// to those, but exactly one runs at a time: it holds the baton, works as long as it is its turn, and hands the baton to
// the next. So a run depends on nothing but its seed, and hand-overs cost only where the thread really changes.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <thread>

namespace weir::simulation {

class crew {
 public:
  static constexpr unsigned nobody = ~0u;

  // `work` runs on the thread `me` while that has the baton and answers who gets it next; nobody: run() returns. It
  // must not throw.
  using turn = std::function<unsigned(unsigned me)>;
  explicit crew(turn work) : work_(std::move(work)) {}
  ~crew();
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;

  // By the holder of the baton, or by the owner before and after run(). A thread that ends has run its thread-local
  // destructors when end() returns.
  void start(unsigned number);
  void end(unsigned number);
  void end_all();

  void run(unsigned first);
  std::uint64_t hand_overs() const noexcept { return hand_overs_; }

 private:
  enum signal : unsigned { wait, go, leave };
  struct member {
    std::atomic<unsigned> told{wait};
    std::thread thread;
  };
  void live(unsigned me, member&);
  void pass_to(unsigned next);

  const turn work_;
  std::map<unsigned, std::unique_ptr<member>> members_;  // changed by the holder of the baton only
  std::atomic<unsigned> finished_{0};
  std::uint64_t hand_overs_ = 0;
};

}  // namespace weir::simulation
