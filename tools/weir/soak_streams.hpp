// SPDX-License-Identifier: Apache-2.0
//
// The streams of a soak, which end and are replaced while threads work on them and blocks were last used on them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "random_source.hpp"
#include "weir/pool.hpp"

namespace weir::cli {

// Destroyed with its event, when nobody has it any more.
class soak_event {
 public:
  // Null where the backend makes none.
  static std::shared_ptr<soak_event> record(backend&, stream_handle);
  soak_event(backend& owner, backend_event* event) noexcept : owner_(owner), event_(event) {}
  ~soak_event() { owner_.destroy_event(event_); }
  soak_event(const soak_event&) = delete;
  soak_event& operator=(const soak_event&) = delete;
  backend_event* get() const noexcept { return event_; }

 private:
  backend& owner_;
  backend_event* event_;
};

// One stream, from its birth to its retirement. Whoever puts work on it enters it first; it ends while nobody is in. No
// lock: threads are in several at once, in any order, and who would end one gives up where somebody is in.
class soak_stream {
 public:
  stream_handle handle = nullptr;
  weir::stream token;
  unsigned number = 0;
  std::shared_ptr<soak_event> end;  // behind all it did, once it is over

  // False when it is over.
  bool enter() noexcept;
  void leave() noexcept { --users_; }
  // False where somebody is in; else nobody enters until finish(), and then it is over.
  bool begin_end() noexcept;
  void finish() noexcept { users_ = over; }

 private:
  static constexpr int ending = -1;
  static constexpr int over = -2;
  std::atomic<int> users_{0};
};

// A stream that one is in.
class soak_lane {
 public:
  soak_lane() = default;
  // Precondition: entered.
  explicit soak_lane(std::shared_ptr<soak_stream> stream) noexcept : stream_(std::move(stream)) {}
  soak_lane(soak_lane&&) noexcept = default;
  soak_lane& operator=(soak_lane&&) = delete;
  ~soak_lane() {
    if (stream_) stream_->leave();
  }
  const std::shared_ptr<soak_stream>& stream() const noexcept { return stream_; }
  soak_stream* operator->() const noexcept { return stream_.get(); }

 private:
  std::shared_ptr<soak_stream> stream_;
};

class soak_streams {
 public:
  soak_streams(weir::pool& pool, unsigned count) : pool_(pool), streams_(count) {}

  // All of them; the first error there is.
  result<void> open();
  soak_lane pick(random_source&);
  // Retires one and puts another in its place; false where it is never left alone, or there is no room for
  // another.
  result<bool> replace(std::size_t index);
  // Retires all. Precondition: nobody works.
  result<void> close();

  // What is recorded behind all that the stream has so far; null where that failed.
  std::shared_ptr<soak_event> record(soak_stream&);
  // Work put on `to`, which the caller is in, comes after all that `from` has so far.
  result<void> order(soak_stream& from, soak_stream& to);

 private:
  result<std::shared_ptr<soak_stream>> make();
  result<void> retire(soak_stream&);

  weir::pool& pool_;
  std::mutex mutex_;  // guards what follows
  std::vector<std::shared_ptr<soak_stream>> streams_;
  unsigned next_number_ = 0;
};

}  // namespace weir::cli
