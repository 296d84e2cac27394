// SPDX-License-Identifier: Apache-2.0
//
// The streams of a soak, which end and are replaced while threads work on them and blocks were last used on them.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <vector>

#include "seeded_random.hpp"
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

// One stream, from its birth to its retirement. Whoever works on it holds the mutex shared.
struct soak_stream {
  stream_handle handle = nullptr;
  weir::stream token;
  unsigned number = 0;
  std::shared_mutex mutex;          // guards what follows, and the stream's life
  std::shared_ptr<soak_event> end;  // all it did; set when it is over
};

// A stream that cannot end meanwhile. The mutex outlives the lock.
struct soak_lane {
  std::shared_ptr<soak_stream> stream;
  std::shared_lock<std::shared_mutex> lock;
  soak_stream* operator->() const noexcept { return stream.get(); }
};

class soak_streams {
 public:
  soak_streams(weir::pool& pool, unsigned count) : pool_(pool), streams_(count) {}

  // All of them; the first error there is.
  result<void> open();
  soak_lane pick(seeded_random&);
  // Retires one and puts another in its place; false where it is never left alone, or there is no room for
  // another.
  result<bool> replace(std::size_t index);
  // Retires all. Precondition: nobody works.
  result<void> close();

  // Work put on `to` comes after all that `from` has so far. The caller holds `to`, and not `from` unless they are one.
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
