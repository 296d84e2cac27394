// SPDX-License-Identifier: Apache-2.0
#include "cache/page_map.hpp"

#include <new>

namespace weir::cache {

constinit std::atomic<page_map::leaf*> page_map::root_[std::size_t{1} << root_bits]{};

namespace {

// The pages whose last byte lies in [base, base + bytes).
struct pages {
  std::uintptr_t first;
  std::uintptr_t end;
};

pages owned(const core::extent& e) noexcept {
  return {e.base >> page_map::page_bits, (e.base + e.bytes) >> page_map::page_bits};
}

}  // namespace

page_map::leaf* page_map::leaf_of(std::uintptr_t page) noexcept {
  std::atomic<leaf*>& slot = root_[page >> leaf_bits];
  if (leaf* l = slot.load(std::memory_order_acquire)) return l;
  leaf* fresh = new (std::nothrow) leaf{};
  leaf* expected = nullptr;
  if (!fresh || slot.compare_exchange_strong(expected, fresh, std::memory_order_acq_rel)) return fresh;
  delete fresh;
  return expected;
}

bool page_map::set(core::extent& e) noexcept {
  const pages p = owned(e);
  if ((p.end >> (leaf_bits + root_bits)) != 0) return false;
  for (std::uintptr_t page = p.first; page < p.end; ++page) {
    leaf* l = leaf_of(page);
    if (!l) {
      for (; page > p.first; --page)
        leaf_of(page - 1)->entries[(page - 1) & (leaf_count - 1)].store(nullptr, std::memory_order_relaxed);
      return false;
    }
    l->entries[page & (leaf_count - 1)].store(&e, std::memory_order_relaxed);
  }
  return true;
}

void page_map::clear(const core::extent& e) noexcept {
  const pages p = owned(e);
  for (std::uintptr_t page = p.first; page < p.end; ++page)
    if (leaf* l = root_[page >> leaf_bits].load(std::memory_order_acquire))
      l->entries[page & (leaf_count - 1)].store(nullptr, std::memory_order_relaxed);
}

}  // namespace weir::cache
