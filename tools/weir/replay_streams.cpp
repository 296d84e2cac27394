// SPDX-License-Identifier: Apache-2.0
#include "replay_streams.hpp"

#include <utility>

namespace weir::cli {

replay_streams::~replay_streams() {
  if (event_) backend_->destroy_event(event_);
  // A stream that cannot be destroyed is the driver's to clean up: the process is about to end or the device is lost.
  for (stream_handle handle : handles_) static_cast<void>(backend_->destroy_stream(handle));
}

result<void> replay_streams::make(std::size_t count) {
  auto event = backend_->create_event();
  if (!event) return std::move(event).error();
  event_ = *event;
  handles_.reserve(count);
  while (handles_.size() < count) {
    auto handle = backend_->create_stream();
    if (!handle) return std::move(handle).error();
    handles_.push_back(*handle);
  }
  return {};
}

result<void> replay_streams::order(std::size_t earlier, std::size_t later) noexcept {
  if (auto done = backend_->record(event_, handles_[earlier]); !done) return done;
  return backend_->wait(handles_[later], event_);
}

}  // namespace weir::cli
