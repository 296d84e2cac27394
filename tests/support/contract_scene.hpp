// SPDX-License-Identifier: Apache-2.0
//
// The setting of a contract case: a fixture, one fresh backend, and what was taken from both, given back at the end in
// the right order.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "backend_contract.hpp"
#include "results.hpp"

namespace weir::test {

inline constexpr std::size_t KiB = std::size_t{1} << 10;
inline constexpr std::size_t MiB = std::size_t{1} << 20;
inline constexpr std::size_t GiB = std::size_t{1} << 30;

class scene {
 public:
  explicit scene(std::size_t pool_bytes_max = 0)
      : fixture_(make_backend_fixture()), backend_(fixture_->make_backend(pool_bytes_max)) {}

  ~scene() {
    (void)backend_->synchronize_device();
    for (void* pointer : live_) (void)backend_->deallocate(pointer, backend_->own_stream());
    for (backend_event* event : events_) backend_->destroy_event(event);
    (void)backend_->synchronize_device();
    for (stream_handle stream : streams_) fixture_->destroy_stream(stream);
  }
  scene(const scene&) = delete;
  scene& operator=(const scene&) = delete;

  backend_fixture& fixture() { return *fixture_; }
  backend& target() { return *backend_; }

  stream_handle stream() {
    const stream_handle made = fixture_->create_stream();
    streams_.insert(made);
    return made;
  }
  void destroy(stream_handle stream) {
    streams_.erase(stream);
    fixture_->destroy_stream(stream);
  }
  backend_event* event() {
    events_.push_back(must(backend_->create_event()));
    return events_.back();
  }

  void* allocate(std::size_t bytes, stream_handle stream) {
    void* pointer = must(backend_->allocate(bytes, stream));
    live_.insert(pointer);
    return pointer;
  }
  std::vector<void*> allocate(std::size_t count, std::size_t bytes, stream_handle stream) {
    std::vector<void*> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(allocate(bytes, stream));
    return all;
  }
  void deallocate(void* pointer, stream_handle stream) {
    live_.erase(pointer);
    must(backend_->deallocate(pointer, stream));
  }
  void deallocate_every_other(const std::vector<void*>& all, stream_handle stream) {
    for (std::size_t i = 0; i < all.size(); i += 2) deallocate(all[i], stream);
  }

  // All work is done, and the native pool has seen it: what was freed on a stream counts as complete for it once
  // something recorded behind the free has been waited for.
  void synchronize() {
    must(backend_->synchronize_device());
    backend_event* behind = event();
    for (stream_handle stream : streams_) {
      must(backend_->record(behind, stream));
      must(backend_->synchronize(behind));
    }
  }
  std::size_t reserved() { return must(backend_->pool_bytes()).reserved; }
  std::size_t used() { return must(backend_->pool_bytes()).used; }

 private:
  std::unique_ptr<backend_fixture> fixture_;
  std::unique_ptr<backend> backend_;
  std::set<void*> live_;
  std::vector<backend_event*> events_;
  std::set<stream_handle> streams_;
};

}  // namespace weir::test
