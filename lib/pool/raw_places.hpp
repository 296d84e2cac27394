// SPDX-License-Identifier: Apache-2.0
//
// The raw handles that a thread used lately, and the streams they meant.
//
// What an allocation finds here it verifies, since the handle may have come back for another stream. A free need not:
// what it gives waits in a cache until it is taken by an allocation on the same stream, and that is verified. Ids never
// return, so a stream that is there then was there at the free. Otherwise the stream is lost, its caches are closed,
// and their blocks wait for a device synchronisation.
#pragma once

#include <array>
#include <cstdint>

#include "pool/stream_state.hpp"

namespace weir::detail {

class raw_places {
 public:
  struct place {
    stream_handle handle = nullptr;
    std::uint64_t pool = 0;  // by id: states live as long as their pool, and ids never return
    stream_state* state = nullptr;
  };

  // Null: not met lately.
  static stream_state* find(stream_handle handle, std::uint64_t pool) noexcept {
    const place& p = at(handle);
    return p.handle == handle && p.pool == pool ? p.state : nullptr;
  }
  static void remember(stream_handle handle, std::uint64_t pool, stream_state& state) noexcept {
    at(handle) = {handle, pool, &state};
  }

 private:
  // The driver's handles are addresses of objects some hundred bytes apart.
  static place& at(stream_handle handle) noexcept {
    const auto bits = reinterpret_cast<std::uintptr_t>(handle);
    return mine[(bits ^ bits >> 6 ^ bits >> 10) % mine.size()];
  }
  static thread_local constinit std::array<place, 8> mine;
};

}  // namespace weir::detail
