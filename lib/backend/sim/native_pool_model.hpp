// SPDX-License-Identifier: Apache-2.0
//
// A native pool as it was measured to behave (ARCHITECTURE.md, "The simulated device"), as pure arithmetic over
// addresses: no lock, no clock, no device. Physical memory comes in chunks mapped at chunk-aligned addresses.
//
// Every size, a power of two as well, begins at a multiple of the granularity and at no more than that, as measured.
//
// Chunks are cut for one stream and one kind of size, small or not, from the high end of a free range; between streams
// and kinds memory goes in whole chunks that are free and complete, whoever freed their parts (that is measured). The
// first is no measurement but what reproduces measured footprints: the
// device fills a fresh chunk upwards with sizes of both kinds, and a model that does comes out too low by up to 0.06 of
// peak live. An allocation is served by
//   1. best fit in the contiguous free ranges of its stream and kind, else
//   2. whole free chunks of others where they are, if complete or ordered before the stream, else
//   3. the address hole (unmapped addresses and the owner's free edges on both sides) that lacks the fewest chunks;
//      what it lacks is taken from whole free and complete chunks elsewhere (remap), and
//   4. what still lacks, from the device (growth), else
//   5. any free range large enough, for whose completion the stream then waits, else there is no room.
// Step 1 is O(log n) in the free ranges; 2 looks at ranges of a chunk or more, 3 at the unmapped gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "backend/sim/free_ranges.hpp"
#include "backend/sim/unfinished_frees.hpp"

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

  // The largest size, rounded, that counts as small. Any value from 4 KiB to 1 MiB gives about the same footprints.
  static constexpr std::uint64_t small_bytes_max = std::uint64_t{32} << 10;

  explicit native_pool_model(const config&);

  // `device_free`: bytes the device could still give. Nothing changes where there is no room.
  std::optional<allocation> allocate(std::uint64_t bytes, const taker&, std::uint64_t now_ns,
                                     std::uint64_t device_free);
  // False where no allocation begins there.
  bool deallocate(std::uint64_t address, const free_point&, std::uint64_t now_ns);
  // Rounded bytes of the allocation that begins there, 0 where none does.
  std::uint64_t bytes_of(std::uint64_t address) const;
  // Gives whole free chunks back until `bytes_to_keep` are reserved; the bytes given back. Only those whose every free
  // is in `seen`: that it is complete is not enough (measured).
  std::uint64_t trim(std::uint64_t bytes_to_keep, const vector_clock& seen, std::uint64_t now_ns);

  std::uint64_t reserved() const noexcept { return reserved_; }
  std::uint64_t reserved_high() const noexcept { return reserved_high_; }
  std::uint64_t used() const noexcept { return used_; }
  void reset_reserved_high() noexcept { reserved_high_ = reserved_; }
  // The most that allocate() could serve by growth and remap, for the error's message.
  std::uint64_t available(std::uint64_t device_free) const;

 private:
  struct request {
    std::uint64_t bytes = 0;  // rounded
    range_owner owner = 0;
    taker who;
  };
  struct placement {
    std::uint64_t begin = 0;
    std::uint64_t lacking = 0;  // chunks
  };
  struct run {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  request rounded(std::uint64_t bytes, const taker&) const;
  static range_owner owner_of(stream_slot, std::uint64_t rounded_bytes);
  allocation take(std::uint64_t address, const request&);
  std::optional<allocation> take_over(const request&);
  std::optional<allocation> fill_hole(const request&, std::uint64_t device_free);
  std::optional<allocation> take_late(const request&);

  std::optional<placement> best_hole(const request&, std::uint64_t gap_bytes_min) const;
  std::optional<std::uint64_t> lacking(std::uint64_t begin, const request&, std::uint64_t most) const;
  // Runs of whole free and complete chunks outside [keep.begin, keep.end), at most `most` chunks in all. With `seen`,
  // of those whose frees are in it.
  std::vector<run> spare_chunks(const run& keep, std::uint64_t most, const vector_clock* seen = nullptr) const;
  std::uint64_t chunks_in(const std::vector<run>&) const;
  std::uint64_t growth_limit(std::uint64_t device_free) const;
  void settle(std::uint64_t now_ns);
  void disown(std::uint64_t begin, std::uint64_t end);
  void unite(std::uint64_t chunk);
  void map_gaps(std::uint64_t begin, std::uint64_t end, range_owner);
  void map(std::uint64_t begin, std::uint64_t end, range_owner);
  void unmap(const run&);

  const config config_;
  free_ranges free_;
  unfinished_frees unfinished_;
  unfinished_frees frees_;                       // all of them, the point of each free range
  std::map<std::uint64_t, std::uint64_t> gaps_;  // unmapped addresses: begin, end
  std::unordered_map<std::uint64_t, std::uint64_t> live_;
  std::uint64_t reserved_ = 0;
  std::uint64_t reserved_high_ = 0;
  std::uint64_t used_ = 0;
};

}  // namespace weir::sim
