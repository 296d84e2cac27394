// SPDX-License-Identifier: Apache-2.0
//
// The thread of a soak that trims, brings memory together, sets limits and tides, retires streams, moves the neighbour
// and looks at everything while the world stands still.
#pragma once

#include <cstddef>
#include <cstdint>

#include "random_source.hpp"
#include "soak_stage.hpp"

namespace weir::cli {

class soak_upkeep {
 public:
  soak_upkeep(soak_stage& stage, std::uint64_t seed) : stage_(stage), random_(seed) {}

  // Until the soak is over.
  void run();

 private:
  void act();
  void trim();
  void defragment();
  void set_limit();
  void set_tide();
  void replace_stream();
  void move_neighbour();
  void look();
  void validate();

  soak_stage& stage_;
  random_source random_;
  std::size_t limit_ = SIZE_MAX;
  std::uint64_t steps_ = 0;
};

}  // namespace weir::cli
