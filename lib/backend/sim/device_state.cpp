// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/device_state.hpp"

#include <utility>

namespace weir::sim {
namespace {

// The living devices by window. Locked before a device's own mutex, never after.
struct device_table {
  std::mutex mutex;
  std::array<device_state*, address_window::window_count> devices{};
};

device_table& table() {
  static device_table* const forever = new device_table;
  return *forever;
}

void enter(std::size_t index, device_state* device) {
  const std::lock_guard lock(table().mutex);
  table().devices[index] = device;
}

}  // namespace

bool fault_plan::strikes(fault kind) noexcept {
  plan& p = planned_[index(kind)];
  if (p.count == 0) return false;
  if (p.after > 0) {
    --p.after;
    return false;
  }
  --p.count;
  return true;
}

device_state::device_state(options o)
    : what(std::move(o)), window(what.bytes_total), streams(window.handles().begin, order) {
  direct_addresses.insert(window.direct().begin, window.direct().end, 0);
  enter(window.index(), this);
}

device_state::~device_state() { enter(window.index(), nullptr); }

std::size_t device_state::free_bytes() const noexcept {
  const std::size_t taken = pools_reserved + direct_reserved + neighbour_bytes;
  return taken < what.bytes_total ? what.bytes_total - taken : 0;
}

result<stream_identity> identity_of(const virtual_streams::stream& s, device_state& on) noexcept {
  if (on.streams.is_capturing(s)) return error{.code = errc::stream_capturing, .what = "identity of a stream"};
  return stream_identity{s.id, on.what.ordinal, s.kind};
}

result<stream_identity> identify_elsewhere(stream_handle handle) noexcept {
  const std::size_t index = address_window::window_of(reinterpret_cast<std::uint64_t>(handle));
  if (index < address_window::window_count) {
    const std::lock_guard lock(table().mutex);
    if (device_state* const other = table().devices[index]) {
      const std::lock_guard other_lock(other->mutex);
      if (const auto* s = other->streams.find(handle)) return identity_of(*s, *other);
    }
  }
  return error{.code = errc::invalid_argument, .what = "stream: no such stream is alive"};
}

}  // namespace weir::sim
