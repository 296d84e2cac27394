// SPDX-License-Identifier: Apache-2.0
#include "simulate_backend.hpp"

#include <algorithm>
#include <iterator>

namespace weir::simulation {

namespace {

error too_many() noexcept { return {.code = errc::device_lost, .what = "an operation that calls for ever"}; }

}  // namespace

void watched_backend::look() noexcept {
  if (const auto now = inner_->pool_bytes()) seen_.reserved_most = std::max(seen_.reserved_most, now->reserved);
}

void watched_backend::pause() noexcept {
  if (seen_.meanwhile_in != 0 && --seen_.meanwhile_in == 0) seen_.meanwhile();
}

result<void*> watched_backend::allocate(std::size_t bytes, stream_handle s) noexcept {
  if (!count()) return too_many();
  auto p = inner_->allocate(bytes, s);
  look();
  if (p) seen_.allocations_most = std::max(seen_.allocations_most, ++seen_.allocations_live);
  return p;
}

result<void> watched_backend::deallocate(void* pointer, stream_handle s) noexcept {
  if (!count()) return too_many();
  if (plant_ == plant::leak) return {};
  auto done = inner_->deallocate(pointer, s);
  if (done) --seen_.allocations_live;
  return done;
}

result<void> watched_backend::trim(std::size_t bytes_to_keep) noexcept {
  if (!count()) return too_many();
  return inner_->trim(bytes_to_keep);
}

result<device_memory> watched_backend::memory() noexcept {
  if (!count()) return too_many();
  return inner_->memory();
}

result<void*> watched_backend::allocate_direct(std::size_t bytes) noexcept {
  if (!count()) return too_many();
  auto p = inner_->allocate_direct(bytes);
  if (p) seen_.direct[reinterpret_cast<std::uintptr_t>(*p)] = bytes;
  return p;
}

result<void> watched_backend::deallocate_direct(void* pointer) noexcept {
  if (!count()) return too_many();
  auto done = inner_->deallocate_direct(pointer);
  if (done) seen_.direct.erase(reinterpret_cast<std::uintptr_t>(pointer));
  return done;
}

std::size_t watched_backend::watch::direct_bytes_at(std::uintptr_t at) const {
  const auto after = direct.upper_bound(at);
  if (after == direct.begin()) return 0;
  const auto& [begin, bytes] = *std::prev(after);
  return at - begin < bytes ? bytes : 0;
}

result<std::uint64_t> watched_backend::identify(stream_handle s) noexcept {
  if (!count()) return too_many();
  return inner_->identify(s);
}

result<stream_identity> watched_backend::examine(stream_handle s) noexcept {
  if (!count()) return too_many();
  return inner_->examine(s);
}

result<bool> watched_backend::is_idle(stream_handle s) noexcept {
  if (!count()) return too_many();
  if (plant_ == plant::query) return true;
  const auto answer = inner_->is_idle(s);
  pause();
  return answer;
}

result<backend_event*> watched_backend::create_event() noexcept {
  if (!count()) return too_many();
  return inner_->create_event();
}

result<void> watched_backend::record(backend_event* e, stream_handle s) noexcept {
  if (!count()) return too_many();
  ++seen_.records;
  const auto answer = inner_->record(e, s);
  pause();
  return answer;
}

result<bool> watched_backend::query(backend_event* e) noexcept {
  if (!count()) return too_many();
  if (plant_ == plant::query) return true;
  const auto answer = inner_->query(e);
  pause();
  return answer;
}

result<void> watched_backend::wait(stream_handle s, backend_event* e) noexcept {
  if (!count()) return too_many();
  ++seen_.waits;
  if (plant_ == plant::wait) return {};
  return inner_->wait(s, e);
}

result<void> watched_backend::synchronize(backend_event* e) noexcept {
  if (!count()) return too_many();
  return inner_->synchronize(e);
}

result<void> watched_backend::synchronize_device() noexcept {
  if (!count()) return too_many();
  ++seen_.waits;
  const auto answer = inner_->synchronize_device();
  pause();
  return answer;
}

}  // namespace weir::simulation
