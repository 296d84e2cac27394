// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/address_windows.hpp"

#include <algorithm>
#include <bit>
#include <bitset>
#include <mutex>
#include <stdexcept>

namespace weir::sim {
namespace {

struct window_table {
  std::mutex mutex;
  std::bitset<address_window::window_count> taken;
};

window_table& table() {
  static window_table* const forever = new window_table;  // outlives devices of static duration
  return *forever;
}

std::size_t take_window() {
  const std::lock_guard lock(table().mutex);
  for (std::size_t i = 0; i < address_window::window_count; ++i)
    if (!table().taken[i]) {
      table().taken[i] = true;
      return i;
    }
  throw std::runtime_error("weir::sim: 48 simulated devices are alive, and there are no addresses for another");
}

// Two to four times the device, within what leaves a window at least four parts and a small device not too many.
std::uint64_t part_bytes_for(std::uint64_t device_bytes) {
  constexpr std::uint64_t least = std::uint64_t{1} << 36;
  constexpr std::uint64_t most = address_window::window_bytes / 4;
  if (device_bytes >= most / 2) return most;
  return std::max(least, std::bit_ceil(device_bytes) * 2);
}

}  // namespace

address_window::address_window(std::uint64_t device_bytes)
    : index_(take_window()), part_bytes_(part_bytes_for(device_bytes)) {
  for (std::size_t i = window_bytes / part_bytes_ - 1; i >= 2; --i) free_parts_.push_back(i);
}

address_window::~address_window() {
  const std::lock_guard lock(table().mutex);
  table().taken[index_] = false;
}

std::optional<address_window::part> address_window::take_pool() {
  if (free_parts_.empty()) return std::nullopt;
  const std::size_t i = free_parts_.back();
  free_parts_.pop_back();
  return nth(i);
}

void address_window::give_back_pool(const part& p) {
  free_parts_.push_back(static_cast<std::size_t>((p.begin - nth(0).begin) / part_bytes_));
}

std::size_t address_window::window_of(std::uint64_t address) noexcept {
  const std::uint64_t i = (address - first_address) / window_bytes;
  return address < first_address || i >= window_count ? window_count : static_cast<std::size_t>(i);
}

}  // namespace weir::sim
