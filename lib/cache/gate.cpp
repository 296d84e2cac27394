// SPDX-License-Identifier: Apache-2.0
#include "cache/gate.hpp"

#include <cerrno>
#include <sched.h>

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/assert.hpp"

namespace weir::cache {

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool is_thread_sanitized = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool is_thread_sanitized = true;
#else
constexpr bool is_thread_sanitized = false;
#endif
#else
constexpr bool is_thread_sanitized = false;
#endif

#if defined(__linux__) && defined(SYS_membarrier)
long membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0u, 0); }

bool register_barrier() noexcept { return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0; }

// Registered in a parent, a child after fork may have to do it again.
void barrier_everywhere() noexcept {
  if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) return;
  const bool again = errno == EPERM && register_barrier() && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
  WEIR_ASSERT(again);
}
#else
bool register_barrier() noexcept { return false; }
void barrier_everywhere() noexcept {}
#endif

}  // namespace

bool has_asymmetric_barrier() noexcept {
  static const bool has = !is_thread_sanitized && register_barrier();
  return has;
}

const void* thread_mark() noexcept {
  static constinit thread_local char mark = 0;
  return &mark;
}

bool gate::enter_slow() noexcept {
  for (;; ::sched_yield()) {
    const std::uint32_t state = state_.load(std::memory_order_acquire);
    if (state == closed_) return false;
    if (state == shut_) continue;  // to look busy again and again might keep the reclaimer waiting for ever
    if (state != guarded_) {
      if (try_enter()) return true;
      continue;
    }
    if (lock_.exchange(1, std::memory_order_acquire)) continue;
    if (state_.load(std::memory_order_relaxed) == guarded_) return true;
    lock_.store(0, std::memory_order_release);
  }
}

void gate::leave_slow() noexcept {
  if (state_.load(std::memory_order_relaxed) == guarded_)
    lock_.store(0, std::memory_order_release);
  else
    leave();
}

shut_gates::shut_gates(std::span<gate* const> gates) noexcept : gates_(gates) {
  bool all_mine = true;
  for (gate* g : gates_) {
    const std::uint32_t state = g->state_.load(std::memory_order_relaxed);
    if (state == gate::closed_) continue;
    if (state == gate::guarded_) {
      while (g->lock_.exchange(1, std::memory_order_acquire)) ::sched_yield();
      continue;
    }
    g->state_.store(gate::shut_, std::memory_order_relaxed);
    all_mine = all_mine && g->owner_ == thread_mark();
  }
  if (!all_mine) barrier_everywhere();
  for (gate* g : gates_)
    while (g->busy_.load(std::memory_order_acquire)) ::sched_yield();
}

shut_gates::~shut_gates() {
  for (gate* g : gates_) {
    if (g->state_.load(std::memory_order_relaxed) == gate::shut_)
      g->state_.store(gate::open_, std::memory_order_release);
    g->lock_.store(0, std::memory_order_release);  // nobody but us has it
  }
}

}  // namespace weir::cache
