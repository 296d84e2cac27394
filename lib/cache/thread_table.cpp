// SPDX-License-Identifier: Apache-2.0
#include "cache/thread_table.hpp"

#include <algorithm>

namespace weir::cache {

thread_local constinit thread_table::slots thread_table::mine;

thread_table::exit_guard::~exit_guard() {
  mine.is_exiting = true;
  forget_met();
  if (!mine.entries) return;
  for (entry& e : *mine.entries) {
    if (e.cache->is_dead.load(std::memory_order_acquire)) continue;
    if (const auto home = e.home.lock()) home->thread_exits(*e.cache);
  }
  delete mine.entries;
  mine.entries = nullptr;
}

block_cache* thread_table::find_listed(const void* stream, std::uint64_t serial) noexcept {
  if (!mine.entries) return nullptr;
  for (const entry& e : *mine.entries) {
    if (e.stream != stream || e.cache->is_dead.load(std::memory_order_acquire)) continue;
    mine.met[serial % mine.met.size()] = {stream, e.cache.get()};
    mine.last = reinterpret_cast<std::uintptr_t>(stream);
    return mine.last_cache = e.cache.get();
  }
  return nullptr;
}

bool thread_table::add(const void* stream, std::shared_ptr<const void> alive, std::shared_ptr<block_cache> cache,
                       std::weak_ptr<cache_home> home) {
  if (mine.is_exiting) return false;
  thread_local exit_guard guard;
  (void)&guard;  // its first mention makes it, and with it the destructor's turn at thread exit
  if (!mine.entries) mine.entries = new std::vector<entry>;
  forget_met();
  std::erase_if(*mine.entries, [](const entry& e) { return e.cache->is_dead.load(std::memory_order_acquire); });
  mine.entries->push_back({stream, std::move(alive), std::move(cache), std::move(home)});
  return true;
}

void thread_table::forget() noexcept {
  forget_met();
  if (mine.entries) mine.entries->clear();
}

}  // namespace weir::cache
