// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/virtual_streams.hpp"

#include <algorithm>
#include <atomic>

namespace weir::sim {
namespace {

constexpr std::uint64_t handle_stride = 64;

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

}  // namespace

std::uint64_t this_thread() {
  static std::atomic<std::uint64_t> last{0};
  thread_local const std::uint64_t mine = ++last;
  return mine;
}

virtual_streams::virtual_streams(std::uint64_t first_handle, order_checker& order)
    : first_handle_(first_handle), order_(order) {
  begin(legacy_, legacy_stream(), stream_kind::legacy_default, false);
}

void virtual_streams::begin(stream& s, stream_handle handle, stream_kind kind, bool non_blocking) {
  s = {};
  s.handle = handle;
  s.id = next_id();
  s.slot = order_.add_stream(s.id);
  s.kind = kind;
  s.non_blocking = non_blocking;
  s.alive = true;
  if (!non_blocking && kind != stream_kind::legacy_default) ++blocking_count_;
}

stream_handle virtual_streams::create(bool non_blocking) {
  std::size_t index = ordinary_.size();
  if (free_handles_.empty()) {
    ordinary_.emplace_back();
  } else {
    index = free_handles_.back();
    free_handles_.pop_back();
  }
  const auto handle = reinterpret_cast<stream_handle>(first_handle_ + index * handle_stride);
  begin(ordinary_[index], handle, stream_kind::ordinary, non_blocking);
  return handle;
}

bool virtual_streams::destroy(stream_handle handle) {
  stream* s = find(handle);
  if (!s || s->kind != stream_kind::ordinary) return false;
  dead_ready_at_ns_ = std::max(dead_ready_at_ns_, s->ready_at_ns);
  if (!s->non_blocking) --blocking_count_;
  s->alive = false;
  order_.retire_stream(s->slot);
  free_handles_.push_back(static_cast<std::size_t>(s - ordinary_.data()));
  return true;
}

virtual_streams::stream* virtual_streams::find(stream_handle handle) {
  if (handle == legacy_stream()) return &legacy_;
  if (handle == per_thread_stream()) return &per_thread();
  const std::uint64_t offset = reinterpret_cast<std::uint64_t>(handle) - first_handle_;
  if (offset % handle_stride != 0 || offset / handle_stride >= ordinary_.size()) return nullptr;
  stream& s = ordinary_[offset / handle_stride];
  return s.alive ? &s : nullptr;
}

virtual_streams::stream& virtual_streams::per_thread() {
  stream& s = per_thread_[this_thread()];
  if (!s.alive) begin(s, per_thread_stream(), stream_kind::per_thread_default, false);
  return s;
}

template <class Visit>
void virtual_streams::for_each_blocking(Visit visit) {
  if (blocking_count_ == 0) return;
  for (stream& s : ordinary_)
    if (s.alive && !s.non_blocking) visit(s);
  for (auto& [thread, s] : per_thread_) visit(s);
}

bool virtual_streams::is_capturing(const stream& s) {
  bool is = s.capturing;
  if (s.kind == stream_kind::legacy_default) for_each_blocking([&](const stream& other) { is |= other.capturing; });
  return is;
}

std::uint64_t virtual_streams::stream::room_at(std::uint64_t now_ns, std::size_t launches_max) {
  if (launched.size() >= launches_max) now_ns = std::max(now_ns, launched[launched.size() - launches_max]);
  while (!launched.empty() && launched.front() <= now_ns) launched.pop_front();
  return now_ns;
}

std::uint64_t virtual_streams::put(stream& s, std::uint64_t now_ns, std::uint64_t duration_ns) {
  const auto after = [&](const stream& other) {
    s.ready_at_ns = std::max(s.ready_at_ns, other.ready_at_ns);
    order_.follow(s.slot, other.slot);
  };
  if (s.kind == stream_kind::legacy_default)
    for_each_blocking(after);
  else if (!s.non_blocking)
    after(legacy_);
  order_.enqueue(s.slot);
  s.ready_at_ns = std::max(s.ready_at_ns, now_ns) + duration_ns;
  return s.ready_at_ns;
}

std::uint64_t virtual_streams::all_complete_at() const {
  std::uint64_t latest = std::max(dead_ready_at_ns_, legacy_.ready_at_ns);
  for (const stream& s : ordinary_)
    if (s.alive) latest = std::max(latest, s.ready_at_ns);
  for (const auto& [thread, s] : per_thread_) latest = std::max(latest, s.ready_at_ns);
  return latest;
}

}  // namespace weir::sim
