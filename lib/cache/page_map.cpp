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
    (has_last_byte ? here->with_last : here->with_first).store(&e, std::memory_order_relaxed);
  }
  return true;
}

void page_map::clear(const core::extent& e) noexcept {
  const std::uintptr_t last = (e.base + e.bytes - 1) >> page_bits;
  for (std::uintptr_t page = e.base >> page_bits; page <= last; ++page) {
    entry* here = entry_of(page);
    if (!here) continue;
    for (auto* which : {&here->with_last, &here->with_first})
      if (which->load(std::memory_order_relaxed) == &e) which->store(nullptr, std::memory_order_relaxed);
  }
}

}  // namespace weir::cache
