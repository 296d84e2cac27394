// SPDX-License-Identifier: Apache-2.0
//
// A native pool as it was measured to behave (ARCHITECTURE.md, "The simulated device"), as pure arithmetic over
// addresses: no lock, no clock, no device. Physical memory comes in chunks mapped at chunk-aligned addresses.
// An allocation is served by
//   1. best fit among contiguous free ranges that its stream may use, else
//   2. the address hole (unmapped addresses and the free edges on both sides) that lacks the fewest chunks; what it
//      lacks is taken from whole free chunks elsewhere (remap), and
//   3. what still lacks, from the device (growth), else
//   4. a range whose free is not complete yet, for which its stream then waits, else there is no room.
// Step 1 is O(log n) in the free ranges; 2 and 3 look at every unmapped gap, of which there are at most as many as
// chunks, and at one range per chunk taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>

#include "backend/sim/free_ranges.hpp"

namespace weir::sim {

class native_pool_model {
 public:
  struct config {
    std::uint64_t address_begin = 0;  // a multiple of chunk_bytes, as is address_end
    std::uint64_t address_end = 0;
    std::uint64_t chunk_bytes = 0;  // a power of two
    std::uint64_t granularity = 0;
    std::uint64_t reserved_max = 0;
  };
  struct allocation {
    std::uint64_t address = 0;
    std::uint64_t chunks_remapped = 0;
    std::uint64_t chunks_grown = 0;
    free_point wait_for;  // stream 0: nothing to wait for
  };

  explicit native_pool_model(const config&);

  // `device_free`: bytes the device could still give. Nothing changes where there is no room.
  std::optional<allocation> allocate(std::uint64_t bytes, const taker&, std::uint64_t now_ns,
                                     std::uint64_t device_free);
  // False where no allocation begins there.
  bool deallocate(std::uint64_t address, const free_point&, std::uint64_t now_ns);
  // Rounded bytes of the allocation that begins there, 0 where none does.
  std::uint64_t bytes_of(std::uint64_t address) const;
  // Gives whole free and complete chunks back until `bytes_to_keep` are reserved; the bytes given back.
  std::uint64_t trim(std::uint64_t bytes_to_keep, std::uint64_t now_ns);

  std::uint64_t reserved() const noexcept { return reserved_; }
  std::uint64_t reserved_high() const noexcept { return reserved_high_; }
  std::uint64_t used() const noexcept { return used_; }
  void reset_reserved_high() noexcept { reserved_high_ = reserved_; }
  // The most that allocate() could serve by growth and remap, for the error's message.
  std::uint64_t available(std::uint64_t device_free) const;

 private:
  struct placement {
    std::uint64_t begin = 0;
    std::uint64_t lacking = 0;  // chunks
  };
  struct request {
    std::uint64_t bytes = 0;  // rounded
    std::uint64_t alignment = 0;
    const taker* who = nullptr;
  };

  request rounded(std::uint64_t bytes, const taker&) const;
  std::optional<placement> best_hole(const request&) const;
  std::optional<std::uint64_t> lacking(std::uint64_t begin, const request&, std::uint64_t most) const;
  std::optional<allocation> fill(const placement&, const request&, std::uint64_t device_free);
  std::uint64_t steal(std::uint64_t chunks, std::uint64_t keep_begin, std::uint64_t keep_end);
  std::uint64_t stealable(std::uint64_t keep_begin, std::uint64_t keep_end, std::uint64_t most) const;
  void map_gaps(std::uint64_t begin, std::uint64_t end);
  void map(std::uint64_t begin, std::uint64_t end);
  void unmap(std::uint64_t begin, std::uint64_t end);
  std::uint64_t growth_limit(std::uint64_t device_free) const;
  allocation take(std::uint64_t address, const request&);

  const config config_;
  free_ranges free_;
  std::map<std::uint64_t, std::uint64_t> gaps_;  // unmapped addresses: begin, end
  std::unordered_map<std::uint64_t, std::uint64_t> live_;
  std::uint64_t reserved_ = 0;
  std::uint64_t reserved_high_ = 0;
  std::uint64_t used_ = 0;
};

}  // namespace weir::sim
