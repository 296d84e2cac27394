// SPDX-License-Identifier: Apache-2.0
#include "pool/stream_table.hpp"

namespace weir::detail {

stream_table::~stream_table() {
  for (stream_state* s : states_) {
    s->owner.store(nullptr, std::memory_order_release);
    s->handle.store(nullptr, std::memory_order_release);
    release(s);
  }
  for (const auto& chunk : chunks_) delete[] chunk.load(std::memory_order_relaxed);
}

void stream_table::enter(stream_state* state) {
  const std::size_t place = states_.size() + first_chunk;
  const auto chunk = static_cast<unsigned>(std::bit_width(place)) - std::bit_width(first_chunk);
  if (!chunks_[chunk].load(std::memory_order_relaxed))
    chunks_[chunk].store(new stream_state*[first_chunk << chunk](), std::memory_order_release);
  chunks_[chunk].load(std::memory_order_relaxed)[place - (first_chunk << chunk)] = state;
  states_.push_back(state);
}

stream_state* stream_table::by_id(std::uint64_t id) const noexcept {
  const std::shared_lock lock(mutex_);
  const auto at = ids_.find(id);
  return at == ids_.end() ? nullptr : at->second;
}

stream_state* stream_table::by_handle(stream_handle handle) const noexcept {
  const std::shared_lock lock(mutex_);
  const auto at = handles_.find(handle);
  return at == handles_.end() ? nullptr : at->second;
}

stream_state& stream_table::add(stream_handle handle, const stream_identity& identity, pool_impl* owner,
                                stream_state*& displaced) {
  const std::unique_lock lock(mutex_);
  if (const auto known = ids_.find(identity.id); known != ids_.end()) return *known->second;
  // The per-thread handle is the same in every thread and never destroyed: it says nothing of who had it before.
  if (identity.kind != stream_kind::per_thread_default) {
    if (const auto before = handles_.find(handle); before != handles_.end()) {
      displaced = before->second;
      before->second->owner.store(nullptr, std::memory_order_release);
      before->second->handle.store(nullptr, std::memory_order_release);
    }
  }
  auto* state = new stream_state(static_cast<core::stream_index>(states_.size()), handle, identity, owner, pool_id_);
  enter(state);
  ids_[identity.id] = state;
  handles_[handle] = state;
  return *state;
}

void stream_table::forget_handle(const stream_state& state) noexcept {
  const std::unique_lock lock(mutex_);
  const auto at = handles_.find(state.handle.load(std::memory_order_relaxed));
  if (at != handles_.end() && at->second == &state) handles_.erase(at);
}

stream_state& stream_table::add_pinned(std::uint64_t id) {
  const std::unique_lock lock(mutex_);
  const stream_identity identity{.id = id};
  auto* state = new stream_state(static_cast<core::stream_index>(states_.size()), nullptr, identity, nullptr, pool_id_);
  state->is_pinned.store(true, std::memory_order_relaxed);
  enter(state);
  return *state;
}

std::vector<stream_state*> stream_table::all() const {
  const std::shared_lock lock(mutex_);
  std::vector<stream_state*> all;
  all.reserve(states_.size());
  for (stream_state* s : states_)
    if (!s->is_pinned.load(std::memory_order_acquire)) all.push_back(s);
  return all;
}

std::vector<stream_state*> stream_table::with_pinned() const {
  const std::shared_lock lock(mutex_);
  return states_;
}

}  // namespace weir::detail
