// SPDX-License-Identifier: Apache-2.0
//
// The device a replay runs on: a CUDA device or a simulated one. It makes backends, each with a native pool of its own.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "weir/backend.hpp"
#include "weir/sim.hpp"

namespace weir::cli {

class replay_device {
 public:
  // "sim", "cuda", "cuda:N", or empty: the first GPU if there is one, else the simulated device, and choice() says why.
  // errc::invalid_argument for another name; whatever the CUDA backend answers where it was asked for.
  static result<replay_device> open(const std::string& name, std::size_t sim_bytes);

  // `bytes_max` limits the native pool; 0: only the device does.
  result<std::unique_ptr<backend>> make_backend(std::size_t bytes_max = 0) const;

  bool is_simulated() const noexcept { return sim_ != nullptr; }
  // Null of a CUDA device, whose ordinal() is asked instead.
  const std::shared_ptr<sim::device>& simulated() const noexcept { return sim_; }
  int ordinal() const noexcept { return ordinal_; }
  const char* kind() const noexcept { return is_simulated() ? "sim" : "cuda"; }
  const std::string& name() const noexcept { return name_; }
  std::size_t bytes_total() const noexcept { return bytes_total_; }
  // Why the simulated device stands in: "no CUDA device found"; empty where it was asked for by name.
  const std::string& choice() const noexcept { return choice_; }

 private:
  static result<replay_device> open_cuda(int ordinal);
  static result<replay_device> open_sim(std::size_t bytes, std::string choice);
  static result<replay_device> choose(std::size_t sim_bytes);
  result<void> learn();

  std::shared_ptr<sim::device> sim_;
  int ordinal_ = 0;
  std::string name_;
  std::string choice_;
  std::size_t bytes_total_ = 0;
};

}  // namespace weir::cli
