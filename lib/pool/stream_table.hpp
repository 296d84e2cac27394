// SPDX-License-Identifier: Apache-2.0
//
// The streams a pool has met, by index, by id and by handle. States stay until the pool goes, since tickets name them
// by index.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "pool/stream_state.hpp"

namespace weir::detail {

class stream_table {
 public:
  explicit stream_table(std::uint64_t pool_id) : pool_id_(pool_id) {}
  ~stream_table();
  stream_table(const stream_table&) = delete;
  stream_table& operator=(const stream_table&) = delete;

  // No lock: an index is known to nobody before its state is in its place, which it never leaves.
  stream_state& at(core::stream_index index) const noexcept {
    const std::size_t place = std::size_t{index} + first_chunk;
    const auto chunk = static_cast<unsigned>(std::bit_width(place)) - std::bit_width(first_chunk);
    return *chunks_[chunk].load(std::memory_order_acquire)[place - (first_chunk << chunk)];
  }
  stream_state* by_id(std::uint64_t id) const noexcept;
  stream_state* by_handle(stream_handle) const noexcept;

  // The state of that stream, made if it is new. A state that had the handle before, under another id, is lost: its
  // handle is not touched again; it is `displaced`.
  stream_state& add(stream_handle, const stream_identity&, pool_impl* owner, stream_state*& displaced);
  // The handle may come back for another stream.
  void forget_handle(const stream_state&) noexcept;

  // One that is pinned, and no stream: it has no handle, and no call can speak of it. `id`: of the stream it is made
  // for.
  stream_state& add_pinned(std::uint64_t id);

  // A copy of the list, so that visits hold no lock: without what is pinned, or with.
  std::vector<stream_state*> all() const;
  std::vector<stream_state*> with_pinned() const;
  std::size_t count() const noexcept {
    const std::shared_lock lock(mutex_);
    return states_.size();
  }

 private:
  // Chunk c has the places of first_chunk << c states, and never moves.
  static constexpr std::size_t first_chunk = 16;
  void enter(stream_state*);

  const std::uint64_t pool_id_;
  std::array<std::atomic<stream_state**>, 32> chunks_{};
  mutable std::shared_mutex mutex_;
  std::vector<stream_state*> states_;
  std::unordered_map<std::uint64_t, stream_state*> ids_;
  std::unordered_map<stream_handle, stream_state*> handles_;
};

}  // namespace weir::detail
