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

bool soak_stream::enter() noexcept {
  for (int users = users_; users != over;) {
    if (users == ending) {
      std::this_thread::yield();
      users = users_;
    } else if (users_.compare_exchange_weak(users, users + 1)) {
      return true;
    }
  }
  return false;
}

bool soak_stream::begin_end() noexcept {
  int nobody = 0;
  return users_.compare_exchange_strong(nobody, ending);
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

soak_lane soak_streams::pick(random_source& random) {
  for (;;) {
    std::shared_ptr<soak_stream> stream;
    {
      const std::lock_guard lock(mutex_);
      stream = streams_[random.below(streams_.size())];
    }
    if (stream->enter()) return soak_lane(std::move(stream));
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
  bool is_alone = old->begin_end();
  for (int tries = 0; !is_alone && tries < 1000; ++tries) {
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    is_alone = old->begin_end();
  }
  const auto done = retire(is_alone ? *old : **made);
  if (is_alone) old->finish();
  if (!done) return done.error();
  if (!is_alone) return false;
  const std::lock_guard lock(mutex_);
  streams_[index % streams_.size()] = std::move(*made);
  return true;
}

result<void> soak_streams::close() {
  for (const auto& stream : std::exchange(streams_, {}))
    if (stream->begin_end()) {
      auto done = retire(*stream);
      stream->finish();
      if (!done) return done;
    }
  return {};
}

std::shared_ptr<soak_event> soak_streams::record(soak_stream& stream) {
  if (!stream.enter()) return stream.end;
  auto event = soak_event::record(pool_.backend(), stream.handle);
  stream.leave();
  return event;
}

result<void> soak_streams::order(soak_stream& from, soak_stream& to) {
  if (&from == &to) return {};
  const auto event = record(from);
  if (!event) return error{.code = errc::cuda, .what = "an event between two streams"};
  return pool_.backend().wait(to.handle, event->get());
}

}  // namespace weir::cli
