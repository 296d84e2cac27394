// SPDX-License-Identifier: Apache-2.0
#include "cache/page_map.hpp"

#include <new>

namespace weir::cache {

constinit std::atomic<page_map::leaf*> page_map::root_[std::size_t{1} << root_bits]{};

page_map::leaf* page_map::leaf_of(std::uintptr_t page) noexcept {
  std::atomic<leaf*>& slot = root_[page >> leaf_bits];
  if (leaf* l = slot.load(std::memory_order_acquire)) return l;
  leaf* fresh = new (std::nothrow) leaf{};
  leaf* expected = nullptr;
  if (!fresh || slot.compare_exchange_strong(expected, fresh, std::memory_order_acq_rel)) return fresh;
  delete fresh;
  return expected;
}

page_map::entry* page_map::entry_of(std::uintptr_t page) noexcept {
  if (page >> (leaf_bits + root_bits)) return nullptr;
  leaf* l = leaf_of(page);
  return l ? &l->entries[page & (leaf_count - 1)] : nullptr;
}

std::uint64_t page_map::tagged(const core::extent& e, std::uintptr_t page) noexcept {
  const std::uintptr_t begin = page << page_bits;
  const std::uint64_t units = e.base > begin ? (e.base - begin) / begin_unit : 0;
  return units << begin_shift | reinterpret_cast<std::uintptr_t>(&e);
}

bool page_map::set(core::extent& e) noexcept {
  const std::uintptr_t first = e.base >> page_bits;
  const std::uintptr_t last = (e.base + e.bytes - 1) >> page_bits;
  for (std::uintptr_t page = first; page <= last; ++page) {
    entry* here = entry_of(page);
    if (!here) {
      clear(e);
      return false;
    }
    const bool has_last_byte = e.base + e.bytes >= (page + 1) << page_bits;
    if (has_last_byte)
      here->with_last.store(tagged(e, page), std::memory_order_relaxed);
    else
      here->with_first.store(&e, std::memory_order_relaxed);
  }
  return true;
}

void page_map::clear(const core::extent& e) noexcept {
  const std::uintptr_t last = (e.base + e.bytes - 1) >> page_bits;
  for (std::uintptr_t page = e.base >> page_bits; page <= last; ++page) {
    entry* here = entry_of(page);
    if (!here) continue;
    if (here->with_last.load(std::memory_order_relaxed) == tagged(e, page))
      here->with_last.store(0, std::memory_order_relaxed);
    if (here->with_first.load(std::memory_order_relaxed) == &e)
      here->with_first.store(nullptr, std::memory_order_relaxed);
  }
}

}  // namespace weir::cache
