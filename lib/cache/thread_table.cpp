// SPDX-License-Identifier: Apache-2.0
#include "cache/thread_table.hpp"

#include <algorithm>

namespace weir::cache {

namespace {

struct entry {
  std::uint64_t serial;
  std::shared_ptr<block_cache> cache;
  std::weak_ptr<cache_home> home;
};

// Plain and without a destructor, so that frees from later thread-local destructors still find it; the guard below
// is what runs at thread exit.
struct slots {
  std::uint64_t last_serial = 0;
  block_cache* last = nullptr;
  std::vector<entry>* entries = nullptr;
  bool is_exiting = false;
};

constinit thread_local slots mine;

void drop(std::vector<entry>& entries) noexcept {
  for (entry& e : entries) {
    if (e.cache->is_dead.load(std::memory_order_acquire)) continue;
    if (const auto home = e.home.lock()) home->thread_exits(*e.cache);
  }
}

struct exit_guard {
  ~exit_guard() {
    mine.is_exiting = true;
    mine.last_serial = 0;
    mine.last = nullptr;
    if (!mine.entries) return;
    drop(*mine.entries);
    delete mine.entries;
    mine.entries = nullptr;
  }
};

}  // namespace

block_cache* thread_table::find(std::uint64_t serial) noexcept {
  if (mine.last_serial == serial) return mine.last;
  if (!mine.entries) return nullptr;
  for (const entry& e : *mine.entries) {
    if (e.serial != serial) continue;
    mine.last_serial = serial;
    return mine.last = e.cache.get();
  }
  return nullptr;
}

bool thread_table::add(std::uint64_t serial, std::shared_ptr<block_cache> cache, std::weak_ptr<cache_home> home) {
  if (mine.is_exiting) return false;
  thread_local exit_guard guard;
  (void)&guard;  // its first mention makes it, and with it the destructor's turn at thread exit
  if (!mine.entries) mine.entries = new std::vector<entry>;
  std::erase_if(*mine.entries, [](const entry& e) { return e.cache->is_dead.load(std::memory_order_acquire); });
  mine.last_serial = 0;
  mine.entries->push_back({serial, std::move(cache), std::move(home)});
  return true;
}

void thread_table::forget() noexcept {
  mine.last_serial = 0;
  mine.last = nullptr;
  if (mine.entries) mine.entries->clear();
}

}  // namespace weir::cache
