// SPDX-License-Identifier: Apache-2.0
#include "soak_streams.hpp"

#include <chrono>
#include <thread>
#include <utility>

namespace weir::cli {
namespace {

// A stream takes device memory of its own.
bool is_no_room(const error& why) noexcept {
  constexpr int memory_allocation = 2;  // cudaErrorMemoryAllocation
  return why.code == errc::out_of_memory || why.native_code == memory_allocation;
}

}  // namespace

std::shared_ptr<soak_event> soak_event::record(backend& owner, stream_handle handle) {
  const auto made = owner.create_event();
  if (!made) return nullptr;
  auto event = std::make_shared<soak_event>(owner, *made);
  return owner.record(*made, handle) ? event : nullptr;
}

result<std::shared_ptr<soak_stream>> soak_streams::make() {
  auto handle = pool_.backend().create_stream();
  if (!handle) return std::move(handle).error();
  auto token = pool_.stream(*handle);
  if (!token) return std::move(token).error();
  auto stream = std::make_shared<soak_stream>();
  stream->handle = *handle;
  stream->token = std::move(*token);
  const std::lock_guard lock(mutex_);
  stream->number = next_number_++;
  return stream;
}

result<void> soak_streams::open() {
  for (auto& place : streams_) {
    auto made = make();
    if (!made) return std::move(made).error();
    place = std::move(*made);
  }
  return {};
}

soak_lane soak_streams::pick(seeded_random& random) {
  for (;;) {
    soak_lane lane;
    {
      const std::lock_guard lock(mutex_);
      lane.stream = streams_[random.below(streams_.size())];
    }
    lane.lock = std::shared_lock(lane.stream->mutex);
    if (!lane.stream->end) return lane;
  }
}

result<void> soak_streams::retire(soak_stream& stream) {
  auto end = soak_event::record(pool_.backend(), stream.handle);
  if (!end) return error{.code = errc::cuda, .what = "an event behind a stream that is retired"};
  if (auto done = pool_.retire(stream.token); !done) return done;
  stream.end = std::move(end);
  return pool_.backend().destroy_stream(stream.handle);
}

result<bool> soak_streams::replace(std::size_t index) {
  std::shared_ptr<soak_stream> old;
  {
    const std::lock_guard lock(mutex_);
    old = streams_[index % streams_.size()];
  }
  auto made = make();
  if (!made) return is_no_room(made.error()) ? result<bool>(false) : std::move(made).error();
  std::unique_lock alone(old->mutex, std::defer_lock);
  for (int tries = 0; !alone.try_lock(); ++tries) {
    if (tries < 1000) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
      continue;
    }
    if (auto done = retire(**made); !done) return std::move(done).error();
    return false;
  }
  if (auto done = retire(*old); !done) return std::move(done).error();
  alone.unlock();
  const std::lock_guard lock(mutex_);
  streams_[index % streams_.size()] = std::move(*made);
  return true;
}

result<void> soak_streams::close() {
  for (const auto& stream : std::exchange(streams_, {}))
    if (auto done = retire(*stream); !done) return done;
  return {};
}

result<void> soak_streams::order(soak_stream& from, soak_stream& to) {
  if (&from == &to) return {};
  const std::shared_lock lock(from.mutex);
  auto event = from.end ? from.end : soak_event::record(pool_.backend(), from.handle);
  if (!event) return error{.code = errc::cuda, .what = "an event between two streams"};
  return pool_.backend().wait(to.handle, event->get());
}

}  // namespace weir::cli
