// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/process_state.hpp"

#include <atomic>
#include <cstdlib>
#include <pthread.h>

namespace weir::cuda {
namespace {

std::atomic<errc> state{errc::ok};
static_assert(std::atomic<errc>::is_always_lock_free, "the fork handler runs where no lock may be taken");

void on_fork_in_child() noexcept { state.store(errc::forked, std::memory_order_relaxed); }
void on_exit() noexcept {
  errc expected = errc::ok;  // a forked child stays a forked child
  state.compare_exchange_strong(expected, errc::driver_unloading, std::memory_order_relaxed);
}

}  // namespace

errc process_state() noexcept { return state.load(std::memory_order_relaxed); }

void watch_process() noexcept {
  [[maybe_unused]] static const bool registered = [] {
    return pthread_atfork(nullptr, nullptr, on_fork_in_child) == 0 && std::atexit(on_exit) == 0;
  }();
}

}  // namespace weir::cuda
