// SPDX-License-Identifier: Apache-2.0
//
// What the pool's tests share: a simulated device with a pool on it, and a program that is right. It writes every
// block after it got it and reads it before it frees it, so the device's checker sees each hand-over of memory.
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/results.hpp"
#include "weir/pool.hpp"
#include "weir/sim.hpp"

namespace weir::test {

inline constexpr std::size_t KiB = std::size_t{1} << 10;
inline constexpr std::size_t MiB = std::size_t{1} << 20;
inline constexpr std::size_t GiB = std::size_t{1} << 30;

inline constexpr std::uint64_t long_ns = 50'000'000;  // of work that is still running whatever the host does next

class scene {
 public:
  explicit scene(pool_options options = {}, sim::options what = {});
  // Demands that no order was broken and that the pool is sound.
  ~scene();
  scene(const scene&) = delete;
  scene& operator=(const scene&) = delete;

  weir::stream make_stream() { return must(pool.stream(device->create_stream())); }
  void busy(const weir::stream& s, std::uint64_t ns = long_ns) { device->launch(s.handle(), ns, {}); }
  void order(const weir::stream& earlier, const weir::stream& later) {
    device->order(earlier.handle(), later.handle());
  }

  // Allocates and writes; reads and frees.
  void* get(std::size_t bytes, const weir::stream& s, std::size_t alignment = pool::alignment_default);
  void put(void*, std::size_t bytes, const weir::stream& s);
  void write(void*, std::size_t bytes, const weir::stream& s, std::uint64_t ns = 1000);
  void read(void*, std::size_t bytes, const weir::stream& s, std::uint64_t ns = 1000);

  std::shared_ptr<sim::device> device;
  weir::pool pool;
};

// The numbers that say whether anything was gained, lost or moved.
struct holdings {
  std::size_t allocated, free, held, reserved, direct, cached, pending;
  std::uint64_t allocations, deallocations, live_count;
  friend bool operator==(const holdings&, const holdings&) = default;
};
holdings holdings_of(const weir::pool&);

// Live ranges by address; says whether a new one overlaps.
class live_ranges {
 public:
  bool add(const void* begin, std::size_t bytes);
  void remove(const void* begin) { ends_.erase(reinterpret_cast<std::uintptr_t>(begin)); }

 private:
  std::map<std::uintptr_t, std::uintptr_t> ends_;
};

inline bool overlap(const void* a, std::size_t a_bytes, const void* b, std::size_t b_bytes) {
  const auto x = reinterpret_cast<std::uintptr_t>(a), y = reinterpret_cast<std::uintptr_t>(b);
  return x < y + b_bytes && y < x + a_bytes;
}

inline void* offset(void* p, std::size_t bytes) {
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(p) + bytes);
}

// Takes what would go to stderr and abort. One at a time, on one thread.
class bug_catcher {
 public:
  bug_catcher();
  ~bug_catcher();
  bug_catcher(const bug_catcher&) = delete;
  bug_catcher& operator=(const bug_catcher&) = delete;
  std::vector<errc> told() const;
};

}  // namespace weir::test
