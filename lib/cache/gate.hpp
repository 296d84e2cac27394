// SPDX-License-Identifier: Apache-2.0
//
// What keeps a cache's owner and its reclaimers apart, at no cost to the owner.
//
//     owner: busy = 1; (compiler barrier); shut?       reclaimer: shut = 1; membarrier(2); while (busy) yield
//
// The owner executes plain stores and loads only. membarrier(2) makes every running thread of the process execute a
// full barrier at some point between the reclaimer's store and its look: so either the owner's store is seen there,
// or the owner sees the gate shut. Neither stands alone: without the barrier both may miss each other, without the
// look the reclaimer enters while the owner is still inside.
//
// Inside, an owner runs array operations only: no lock, no call, nothing that waits. So a reclaimer never waits long,
// and two owners that reclaim each other do not wait for each other at all.
//
// Where the kernel has no private expedited membarrier, under the thread sanitizer (which sees no such barrier) and
// for pools whose operations are watched, a gate is guarded: a spin lock, for owner and reclaimer alike.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

namespace weir::cache {

// Whether this process has membarrier's private expedited command; registered at the first question.
bool has_asymmetric_barrier() noexcept;

// A name for the calling thread: unique among living threads, and nothing else.
const void* thread_mark() noexcept;

class gate {
 public:
  explicit gate(bool guarded) noexcept : state_(guarded || !has_asymmetric_barrier() ? guarded_ : open_) {}
  gate(const gate&) = delete;
  gate& operator=(const gate&) = delete;

  // The owner's fast way in. False: shut, or guarded.
  bool try_enter() noexcept {
    busy_.store(1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (state_.load(std::memory_order_acquire) == open_) [[likely]]
      return true;
    busy_.store(0, std::memory_order_release);
    return false;
  }
  void leave() noexcept { busy_.store(0, std::memory_order_release); }

  // The owner's other way in: waits while it is shut, so the caller holds nothing that a reclaimer may want. False:
  // closed for good.
  bool enter_slow() noexcept;
  void leave_slow() noexcept;

  // By a reclaimer while it is shut: nobody gets in any more.
  void close() noexcept { state_.store(closed_, std::memory_order_relaxed); }

  const void* owner() const noexcept { return owner_; }

 private:
  friend class shut_gates;
  static constexpr std::uint32_t open_ = 0, shut_ = 1, guarded_ = 2, closed_ = 3;

  std::atomic<std::uint32_t> busy_{0};
  std::atomic<std::uint32_t> state_;
  std::atomic<std::uint32_t> lock_{0};  // of a guarded one
  const void* const owner_ = thread_mark();
};

// The owner inside, on a slow path; false where that is closed for good.
class inside {
 public:
  explicit inside(gate& g) noexcept : gate_(g), is_in_(g.enter_slow()) {}
  ~inside() {
    if (is_in_) gate_.leave_slow();
  }
  inside(const inside&) = delete;
  inside& operator=(const inside&) = delete;
  explicit operator bool() const noexcept { return is_in_; }

 private:
  gate& gate_;
  const bool is_in_;
};

// A reclaimer's hold on several gates: none of their owners is inside while it lives. One barrier for all, and none
// where the calling thread owns them all. Precondition: no other reclaimer is at any of them, and the calling thread
// is inside none.
class shut_gates {
 public:
  explicit shut_gates(std::span<gate* const> gates) noexcept;
  ~shut_gates();
  shut_gates(const shut_gates&) = delete;
  shut_gates& operator=(const shut_gates&) = delete;

 private:
  std::span<gate* const> gates_;
};

}  // namespace weir::cache
