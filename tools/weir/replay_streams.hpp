// SPDX-License-Identifier: Apache-2.0
//
// The streams of one replay: as many as the trace has, all ordinary and non-blocking whatever they were when recorded,
// so that none waits for another unless the trace says so.
#pragma once

#include <cstddef>
#include <vector>

#include "weir/backend.hpp"

namespace weir::cli {

class replay_streams {
 public:
  explicit replay_streams(weir::backend& backend) noexcept : backend_(&backend) {}
  ~replay_streams();
  replay_streams(const replay_streams&) = delete;
  replay_streams& operator=(const replay_streams&) = delete;

  result<void> make(std::size_t count);
  stream_handle operator[](std::size_t index) const noexcept { return handles_[index]; }
  std::size_t count() const noexcept { return handles_.size(); }
  // `later` waits for what `earlier` has so far.
  result<void> order(std::size_t earlier, std::size_t later) noexcept;

 private:
  weir::backend* backend_;
  std::vector<stream_handle> handles_;
  backend_event* event_ = nullptr;
};

}  // namespace weir::cli
