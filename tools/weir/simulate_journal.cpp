// SPDX-License-Identifier: Apache-2.0
#include "simulate_journal.hpp"

#include <utility>

namespace weir::simulation {

using trace::record_kind;

void journal::say(std::string line) {
  if (!lines_.empty() && lines_.back() == line) {
    ++repeated_;
    return;
  }
  if (repeated_ > 0) lines_.back() += ", " + std::to_string(std::exchange(repeated_, 0) + 1) + " times";
  lines_.push_back(std::move(line));
}

void journal::add(trace::record r, std::string text) {
  r.time_ns = now_ns;
  r.thread = thread;
  entries_.push_back({r, std::move(text)});
}

void journal::allocate(std::uintptr_t at, std::size_t bytes, std::size_t alignment, unsigned stream, bool is_direct) {
  ids_[at] = next_id_;
  add({.kind = record_kind::allocate,
       .memory = is_direct ? trace::memory_kind::direct : trace::memory_kind::pool,
       .stream = stream,
       .id = next_id_++,
       .bytes = bytes,
       .alignment = alignment > 256 ? alignment : 0});
}

void journal::deallocate(std::uintptr_t at, unsigned stream) {
  add({.kind = record_kind::deallocate, .stream = stream, .id = ids_[at]});
}

void journal::use(std::uintptr_t at, unsigned stream) {
  add({.kind = record_kind::use, .stream = stream, .id = ids_[at]});
}

void journal::order(unsigned earlier, unsigned later) {
  add({.kind = record_kind::event, .stream = earlier, .id = next_event_});
  add({.kind = record_kind::wait, .stream = later, .id = next_event_++});
}

void journal::synchronize(trace::sync_scope scope, unsigned stream) {
  add({.kind = record_kind::synchronize, .scope = scope, .stream = stream});
}

void journal::birth(unsigned stream, std::string name) {
  add({.kind = record_kind::stream_birth, .stream = stream}, std::move(name));
}

void journal::retirement(unsigned stream) { add({.kind = record_kind::stream_retirement, .stream = stream}); }

void journal::failed(std::size_t bytes, std::size_t alignment, unsigned stream, std::string why) {
  add({.kind = record_kind::failure, .stream = stream, .bytes = bytes, .alignment = alignment > 256 ? alignment : 0},
      std::move(why));
}

void journal::mark(std::string what) { add({.kind = record_kind::mark}, std::move(what)); }

}  // namespace weir::simulation
