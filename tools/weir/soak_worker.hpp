// SPDX-License-Identifier: Apache-2.0
//
// One thread of a soak: allocates, fills, checks, uses on second streams, hands over and frees, as its seed has it. At
// its end it leaves its blocks to the others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "random_source.hpp"
#include "soak_stage.hpp"

namespace weir::cli {

class soak_worker {
 public:
  soak_worker(soak_stage& stage, std::uint64_t seed) : stage_(stage), random_(seed) {}

  // So many operations, or until the soak is over. In a thread of its own.
  void run(std::uint64_t operations);
  // Checks and frees whatever was left by others. Precondition: nobody works.
  void free_all_left();

  // The one that runs in the calling thread, or null.
  static soak_worker* of_this_thread() noexcept;
  // From the out-of-memory handler: frees some of its blocks; false where it has none or must not.
  bool relieve();

 private:
  void act();
  void allocate();
  void allocate_direct(std::size_t bytes);
  void keep(void* pointer, std::size_t bytes, const soak_lane&, bool is_direct);
  void out_of_memory(const error&, std::size_t bytes);
  std::string who_has_room(std::size_t bytes) const;
  void look_into(std::size_t bytes);
  bool had_room(const error&, std::size_t bytes) const;
  void use();
  void hand_over();
  void take_over();
  void free_one();

  // Behind the block's last use, on a stream that the caller holds.
  bool come_after(soak_block&, const soak_lane&);
  bool check(soak_block&, const soak_lane&);
  void fill(soak_block&, const soak_lane&);
  void release(soak_block, const soak_lane&);
  std::size_t size();
  soak_block take_own(std::size_t index);

  soak_stage& stage_;
  random_source random_;
  std::vector<soak_block> blocks_;
  const soak_lane* lane_ = nullptr;  // held while it allocates
};

}  // namespace weir::cli
