// SPDX-License-Identifier: Apache-2.0
//
// Our native allocations by address: a shadow of the native pool that answers what it will not say, whether an
// allocation would grow it, and by how many chunks.
//
// The native pool has whole chunks of physical memory. A chunk that none of our allocations touches is free, and may
// be mapped into any hole of the address space; one that is touched stays where it is, and its free part serves only
// an allocation that lies there. So an allocation put into a hole costs as many free chunks as it is first to touch.
//
// All behind the reservoir's lock. Sorted by address; O(log n) to search, O(n) to change and to answer, for n native
// allocations: hundreds, and only when the caches have missed.
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

  // How many chunks the native pool would have to get from the driver to serve `bytes`, when `reserved` bytes of
  // chunks are mapped.
  std::size_t missing_chunks(std::size_t bytes, std::size_t reserved) const noexcept;
  // Chunks that no allocation touches.
  std::size_t free_chunks(std::size_t reserved) const noexcept;
  std::size_t touched_chunks() const noexcept { return touched_; }
  std::size_t chunk_bytes() const noexcept { return chunk_bytes_; }
  std::size_t count() const noexcept { return spans_.size(); }

 private:
  struct span {
    std::uintptr_t begin;
    std::uintptr_t end;
  };
  std::size_t alone(std::size_t index) const noexcept;
  std::size_t cost_at(std::uintptr_t begin, std::uintptr_t end, std::uintptr_t before,
                      std::uintptr_t after) const noexcept;

  std::size_t chunk_bytes_;
  std::size_t touched_ = 0;
  std::vector<span> spans_;
};

}  // namespace weir::core
