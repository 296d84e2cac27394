// SPDX-License-Identifier: Apache-2.0
#include "pool/stream_table.hpp"

namespace weir::detail {

stream_table::~stream_table() {
  for (stream_state* s : states_) {
    s->owner.store(nullptr, std::memory_order_release);
    s->handle.store(nullptr, std::memory_order_release);
    release(s);
  }
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
  states_.push_back(state);
  ids_[identity.id] = state;
  handles_[handle] = state;
  return *state;
}

void stream_table::forget_handle(const stream_state& state) noexcept {
  const std::unique_lock lock(mutex_);
  const auto at = handles_.find(state.handle.load(std::memory_order_relaxed));
  if (at != handles_.end() && at->second == &state) handles_.erase(at);
}

std::vector<stream_state*> stream_table::all() const {
  const std::shared_lock lock(mutex_);
  return states_;
}

}  // namespace weir::detail
