// SPDX-License-Identifier: Apache-2.0
//
// Our native allocations by address: a shadow of the native pool that answers what it will not say, whether an
// allocation would grow it, and by how many chunks.
//
// The native pool has whole chunks of physical memory. A chunk that none of our allocations touches is free, and may
// be mapped anywhere; one that is touched stays where it is. An allocation that begins in the free part of a touched
// chunk needs a chunk less, but which hole the pool will choose cannot be foreseen: counted in, the reference traces
// held up to 0.15 of peak live more, because the pool grew where it was not expected to. So it is not counted in.
//
// Only a small region may be made to measure for a hole: if it lands elsewhere, little was lost.
//
// All behind the reservoir's lock. Sorted by address; O(log n) to search and O(n) to change, for n native allocations:
// hundreds, and only when the caches have missed. Answers are O(1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir::core {

class shadow_map {
 public:
  explicit shadow_map(std::size_t chunk_bytes) : chunk_bytes_(chunk_bytes) {}

  void add(std::uintptr_t base, std::size_t bytes);
  // Precondition: it was added.
  void remove(std::uintptr_t base);

  // How many chunks the native pool would at most have to get from the driver to serve `bytes`, when it has `reserved`
  // bytes of them.
  std::size_t missing_chunks(std::size_t bytes, std::size_t reserved) const noexcept;
  // Chunks that no allocation touches.
  std::size_t free_chunks(std::size_t reserved) const noexcept;
  // The smallest free part, of at least `bytes`, of a chunk that is touched; 0 where there is none. O(n).
  std::size_t smallest_hole(std::size_t bytes) const noexcept;
  std::size_t touched_chunks() const noexcept { return touched_; }
  std::size_t chunk_bytes() const noexcept { return chunk_bytes_; }
  std::size_t count() const noexcept { return spans_.size(); }

 private:
  struct span {
    std::uintptr_t begin;
    std::uintptr_t end;
  };
  std::size_t alone(std::size_t index) const noexcept;

  std::size_t chunk_bytes_;
  std::size_t touched_ = 0;
  std::vector<span> spans_;
};

}  // namespace weir::core
