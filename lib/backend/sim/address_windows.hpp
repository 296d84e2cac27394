// SPDX-License-Identifier: Apache-2.0
//
// Addresses that no real allocation has: from 2^47, where user space of x86-64 ends, to 2^49. Each simulated device has
// a window of 8 TiB, handed out again when it dies. The window is cut into equal parts: one for direct allocations, one
// for stream handles, the rest for native pools, so that a pool has room for a few times what the device has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace weir::sim {

class address_window {
 public:
  static constexpr std::uint64_t first_address = std::uint64_t{1} << 47;
  static constexpr std::uint64_t window_bytes = std::uint64_t{1} << 43;
  static constexpr std::size_t window_count = 48;

  struct part {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  // Throws std::runtime_error where as many devices are alive as there are windows.
  explicit address_window(std::uint64_t device_bytes);
  ~address_window();
  address_window(const address_window&) = delete;
  address_window& operator=(const address_window&) = delete;

  part handles() const noexcept { return nth(0); }
  part direct() const noexcept { return nth(1); }
  // A part for a native pool, until it is given back; nothing where all are taken.
  std::optional<part> take_pool();
  void give_back_pool(const part&);

  std::size_t index() const noexcept { return index_; }
  // The window an address or a handle lies in, window_count where it is none of ours.
  static std::size_t window_of(std::uint64_t address) noexcept;

 private:
  part nth(std::size_t i) const noexcept {
    const std::uint64_t begin = first_address + index_ * window_bytes + i * part_bytes_;
    return {begin, begin + part_bytes_};
  }

  std::size_t index_;
  std::uint64_t part_bytes_;
  std::vector<std::size_t> free_parts_;  // last first
};

}  // namespace weir::sim
