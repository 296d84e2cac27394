// SPDX-License-Identifier: Apache-2.0
#include "cache/page_map.hpp"

#include <cstdlib>

namespace weir::cache {

constinit std::atomic<page_map::leaf*> page_map::root_[std::size_t{1} << root_bits]{};

// Zeroes from the host are pages that nothing has touched yet; value-initialised, half a megabyte would be.
page_map::leaf* page_map::leaf_of(std::uintptr_t page) noexcept {
  if (page >> (leaf_bits + root_bits)) return nullptr;
  std::atomic<leaf*>& slot = root_[page >> leaf_bits];
  if (leaf* l = slot.load(std::memory_order_acquire)) return l;
  auto* fresh = static_cast<leaf*>(std::calloc(1, sizeof(leaf)));
  leaf* expected = nullptr;
  if (!fresh || slot.compare_exchange_strong(expected, fresh, std::memory_order_acq_rel)) return fresh;
  std::free(fresh);
  return expected;
}

std::uint64_t page_map::tagged(const core::extent& e, std::uintptr_t page) noexcept {
  const std::uintptr_t begin = page << page_bits;
  const std::uint64_t units = e.base > begin ? (e.base - begin) / begin_unit : 0;
  return units << begin_shift | reinterpret_cast<std::uintptr_t>(&e);
}

bool page_map::set(core::extent& e, std::uintptr_t table_of_zero) noexcept {
  const std::uintptr_t first = e.base >> page_bits;
  const std::uintptr_t last = (e.base + e.reach - 1) >> page_bits;
  for (std::uintptr_t page = first; page <= last; ++page) {
    leaf* here = leaf_of(page);
    if (!here) {
      clear(e);
      return false;
    }
    const std::size_t at = page & (leaf_count - 1);
    const bool has_last_byte = e.base + e.bytes >= (page + 1) << page_bits;
    if (has_last_byte) {
      here->table[at].store(table_of_zero, std::memory_order_relaxed);
      here->with_last[at].store(tagged(e, page), std::memory_order_relaxed);
    } else {
      here->with_first[at].store(&e, std::memory_order_relaxed);
    }
  }
  return true;
}

void page_map::clear(const core::extent& e) noexcept {
  const std::uintptr_t last = (e.base + e.reach - 1) >> page_bits;
  for (std::uintptr_t page = e.base >> page_bits; page <= last; ++page) {
    leaf* here = leaf_of(page);
    if (!here) continue;
    const std::size_t at = page & (leaf_count - 1);
    if (here->with_last[at].load(std::memory_order_relaxed) == tagged(e, page)) {
      here->with_last[at].store(0, std::memory_order_relaxed);
      here->table[at].store(0, std::memory_order_relaxed);
    }
    if (here->with_first[at].load(std::memory_order_relaxed) == &e)
      here->with_first[at].store(nullptr, std::memory_order_relaxed);
  }
}

}  // namespace weir::cache
