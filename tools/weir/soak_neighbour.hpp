// SPDX-License-Identifier: Apache-2.0
//
// Somebody else on the same card, who takes device memory and gives it back when told: a second process of this program
// on a CUDA device, spoken to over pipes in lines of one number; on the simulated device its own neighbour.
#pragma once

#include <cstddef>
#include <cstdio>
#include <memory>
#include <sys/types.h>

#include "replay_device.hpp"

namespace weir::cli {

class soak_neighbour {
 public:
  // Starts the process, which ends with this object, or with our process. Throws std::runtime_error.
  explicit soak_neighbour(const replay_device&);
  ~soak_neighbour();
  soak_neighbour(const soak_neighbour&) = delete;
  soak_neighbour& operator=(const soak_neighbour&) = delete;

  // Has that much from now on, or less where there is no room: what it has is the answer. `free`: of the device, now.
  std::size_t hold(std::size_t bytes, std::size_t free);
  std::size_t held() const noexcept { return held_; }

 private:
  void start(int ordinal);

  std::shared_ptr<sim::device> sim_;
  std::size_t held_ = 0;
  pid_t child_ = 0;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
};

}  // namespace weir::cli
