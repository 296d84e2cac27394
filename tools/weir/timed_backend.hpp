// SPDX-License-Identifier: Apache-2.0
//
// A backend that passes every call on and adds up how long the device's driver took: what of a pool's host time is its
// own, and what is the native pool's.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "weir/backend.hpp"

namespace weir::cli {

enum class driver_work { allocate, deallocate, trim, order, other, count };

// Of all calls so far, by kind, in nanoseconds; modelled cost included. Any thread may read it at any time.
class driver_times {
 public:
  using each = std::array<std::uint64_t, static_cast<std::size_t>(driver_work::count)>;

  void add(driver_work kind, std::uint64_t ns) noexcept {
    ns_[static_cast<std::size_t>(kind)].fetch_add(ns, std::memory_order_relaxed);
  }
  each read() const noexcept;

 private:
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(driver_work::count)> ns_{};
};

// `times` outlives nothing: the backend shares it.
std::unique_ptr<backend> make_timed_backend(std::unique_ptr<backend> of, std::shared_ptr<driver_times> times);

}  // namespace weir::cli
