// SPDX-License-Identifier: Apache-2.0
#include "pool/native_frees.hpp"

#include <algorithm>

namespace weir::detail {

native_frees::frees_of* native_frees::find(const stream_state& stream) noexcept {
  const auto at = std::find_if(all_.begin(), all_.end(), [&](const frees_of& each) { return each.stream == &stream; });
  return at == all_.end() ? nullptr : &*at;
}

void native_frees::settle(frees_of& f) noexcept {
  const core::epoch passed = f.stream->passed.load(std::memory_order_acquire);
  for (; !f.unfinished.empty() && f.unfinished.front().behind <= passed; f.unfinished.pop_front())
    f.bytes -= f.unfinished.front().bytes;
}

void native_frees::freed(stream_state& on, std::size_t bytes) {
  frees_of* f = find(on);
  if (!f) f = &all_.emplace_back(frees_of{&on, {}, 0});
  core::epoch behind;
  {
    const std::lock_guard lock(on.mutex);
    behind = on.now().epoch;
    on.unseen = behind;
  }
  f->bytes += bytes;
  if (!f->unfinished.empty() && f->unfinished.back().behind == behind)
    f->unfinished.back().bytes += bytes;
  else
    f->unfinished.push_back({behind, bytes});
}

// Which of them it took nobody knows. The youngest were freed for it.
void native_frees::took(const stream_state& on, std::size_t bytes) noexcept {
  frees_of* const f = find(on);
  while (f && bytes > 0 && !f->unfinished.empty()) {
    free_bytes& youngest = f->unfinished.back();
    const std::size_t part = std::min(bytes, youngest.bytes);
    youngest.bytes -= part;
    f->bytes -= part;
    bytes -= part;
    if (youngest.bytes == 0) f->unfinished.pop_back();
  }
}

bool native_frees::has_unfinished(const stream_state& on) noexcept {
  frees_of* const f = find(on);
  if (!f) return false;
  settle(*f);
  return !f->unfinished.empty();
}

std::size_t native_frees::unfinished_elsewhere(const stream_state& on) noexcept {
  std::size_t bytes = 0;
  for (frees_of& f : all_) {
    if (f.stream == &on) continue;
    settle(f);
    bytes += f.bytes;
  }
  return bytes;
}

std::vector<stream_state*> native_frees::streams() const {
  std::vector<stream_state*> streams;
  for (const frees_of& f : all_) streams.push_back(f.stream);
  return streams;
}

}  // namespace weir::detail
