// SPDX-License-Identifier: Apache-2.0
//
// What the simulated program knows of itself: its live blocks, the streams with work on each, its threads, and what
// each thread knows to be complete. The pool is held against this, and it is what makes the program a right one: a
// block is used on a stream, or freed on one, after all earlier uses, by an event, by waiting on the host, or by
// record_use.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "simulate_plan.hpp"
#include "weir/stream.hpp"

namespace weir::simulation {

// Work on a stream: the `work`th thing put there.
struct use {
  unsigned stream = 0;
  std::uint64_t work = 0;
};

struct block {
  std::uintptr_t at = 0;
  std::size_t bytes = 0;
  std::size_t alignment = 256;
  bool is_direct = false;             // asked for, or all that could be had
  bool is_frozen = false;             // a stream that used it is gone: no more work on it, only its free
  std::size_t index = 0;              // among the live
  std::vector<use> uses{};            // that nothing later is ordered after
  std::vector<unsigned> announced{};  // by record_use

  bool is_announced(unsigned stream) const;
  bool is_used_on(unsigned stream) const;
  void add_use(const use&);
};

// Live blocks by address, and any of them in constant time.
class block_table {
 public:
  // The live block that [at, at + bytes) has a byte of, or null.
  const block* find_overlap(std::uintptr_t at, std::size_t bytes) const;
  block& add(block);
  void remove(std::uintptr_t at);
  block* find(std::uintptr_t at);
  block& nth(std::size_t i) { return *order_[i]; }
  std::size_t size() const noexcept { return order_.size(); }
  bool empty() const noexcept { return order_.empty(); }
  auto begin() { return blocks_.begin(); }
  auto end() { return blocks_.end(); }
  auto begin() const { return blocks_.begin(); }
  auto end() const { return blocks_.end(); }

 private:
  std::map<std::uintptr_t, block> blocks_;
  std::vector<block*> order_;
};

struct stream_model {
  static constexpr unsigned of_all = ~0u;

  unsigned number = 0;  // never comes back
  stream_handle handle = nullptr;
  std::array<weir::stream, pools_most> tokens{};
  unsigned owner = of_all;   // a per-thread default stream is its thread's alone
  bool is_special = false;   // never dies
  bool is_blocking = false;  // with the legacy stream, which then may not be used while this one is captured
  bool is_capturing = false;
  std::uint64_t work = 0;

  bool has_token() const {
    return std::ranges::any_of(tokens, [](const weir::stream& t) { return static_cast<bool>(t); });
  }
  use next_use() { return {number, ++work}; }
};

struct thread_model {
  unsigned number = 0;                        // never comes back
  unsigned told = 0;                          // of what has been told to all
  std::map<unsigned, std::uint64_t> known{};  // by stream: the work it waited for itself
};

}  // namespace weir::simulation
