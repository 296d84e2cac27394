// SPDX-License-Identifier: Apache-2.0
//
// One of the pools of a run, and what the program knows of it. Pools stand side by side on one device: they share its
// capacity, the streams and the threads, and no block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "simulate_backend.hpp"
#include "simulate_listener.hpp"
#include "simulate_model.hpp"
#include "simulate_plan.hpp"
#include "weir/pool.hpp"

namespace weir::simulation {

struct tested_pool {
  // What was freed lately, and when: for policies that go by age.
  struct freed_block {
    std::uintptr_t at = 0;
    std::uint64_t time_ns = 0;
  };

  std::size_t number = 0;
  pool_plan plan;
  watched_backend::watch watch{};
  std::shared_ptr<listener> heard = std::make_shared<listener>();
  weir::pool pool{};
  std::size_t limit = SIZE_MAX;
  std::size_t native_limit = SIZE_MAX;  // of the native pool itself
  block_table live{};
  std::size_t aside_bytes = 0, aside_count = 0;  // live, but in no table: a few of pairs()
  std::vector<freed_block> freed{};              // some
  std::uint64_t allocations = 0;
};

}  // namespace weir::simulation
