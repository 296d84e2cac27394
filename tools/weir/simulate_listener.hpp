// SPDX-License-Identifier: Apache-2.0
//
// The observer of a simulated pool: counts what it is told, to be held against the model. One thread runs at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "weir/observer.hpp"

namespace weir::simulation {

struct listener final : observer {
  std::size_t reserved_most = 0;
  std::int64_t live = 0;
  std::uint64_t failures = 0;
  std::size_t leaked = 0;

  void on_native(const native_event& e) noexcept override { reserved_most = std::max(reserved_most, e.reserved); }
  void on_allocate(const allocation_event&) noexcept override { ++live; }
  void on_deallocate(const allocation_event&) noexcept override { --live; }
  void on_failure(const error&) noexcept override { ++failures; }
  void on_leak(const leak_event& e) noexcept override { leaked = e.count; }
};

}  // namespace weir::simulation
