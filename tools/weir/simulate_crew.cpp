// SPDX-License-Identifier: Apache-2.0
#include "simulate_crew.hpp"

namespace weir::simulation {

crew::~crew() { end_all(); }

void crew::start(unsigned number) {
  auto made = std::make_unique<member>();
  member& m = *made;
  members_.emplace(number, std::move(made));
  m.thread = std::thread([this, number, &m] { live(number, m); });
}

void crew::end(unsigned number) {
  const auto found = members_.find(number);
  found->second->told.store(leave, std::memory_order_release);
  found->second->told.notify_one();
  found->second->thread.join();
  members_.erase(found);
}

void crew::end_all() {
  while (!members_.empty()) end(members_.begin()->first);
}

void crew::run(unsigned first) {
  finished_.store(0, std::memory_order_relaxed);
  pass_to(first);
  finished_.wait(0, std::memory_order_acquire);
}

void crew::pass_to(unsigned next) {
  std::atomic<unsigned>& flag = next == nobody ? finished_ : members_.at(next)->told;
  ++hand_overs_;
  flag.store(go, std::memory_order_release);
  flag.notify_one();
}

void crew::live(unsigned me, member& m) {
  for (;;) {
    m.told.wait(wait, std::memory_order_acquire);
    if (m.told.load(std::memory_order_acquire) == leave) return;
    m.told.store(wait, std::memory_order_relaxed);
    pass_to(work_(me));
  }
}

}  // namespace weir::simulation
