// SPDX-License-Identifier: Apache-2.0
//
// What threads hold for streams, and getting it back. A reclaimer shuts the gates of all the caches it wants at once,
// empties them into lists, opens the gates, and only then brings the blocks home: so an owner waits for array
// operations only, and no lock of the pool is taken while a gate is shut.
#include "pool/pool_impl.hpp"

namespace weir::detail {

void stream_home::thread_exits(cache::block_cache& cache) noexcept {
  const std::lock_guard lock(mutex_);
  if (pool_) pool_->thread_exits(cache, *stream_);
}

void stream_home::detach() noexcept {
  const std::lock_guard lock(mutex_);
  pool_ = nullptr;
}

bool pool_impl::is_watched() const noexcept {
  return options_.observer || options_.checked || options_.bypass || options_.guard_capture;
}

std::vector<std::shared_ptr<cache::block_cache>> pool_impl::all_caches() const {
  std::vector<std::shared_ptr<cache::block_cache>> all;
  for (const stream_state* s : streams_.all()) {
    const std::lock_guard lock(s->mutex);
    all.insert(all.end(), s->caches.begin(), s->caches.end());
  }
  return all;
}

std::vector<cache::gate*> pool_impl::doors_of(std::span<const std::shared_ptr<cache::block_cache>> caches) {
  std::vector<cache::gate*> doors;
  for (const auto& c : caches) doors.push_back(&c->door());
  return doors;
}

// `for_good`: the caches are closed, their counts kept, and their owners make new ones if they come again.
void pool_impl::reclaim(std::span<const std::shared_ptr<cache::block_cache>> caches, bool for_good) noexcept {
  struct contents {
    std::vector<core::block> small;
    std::vector<cache::large_block> large;
  };
  std::vector<contents> got(caches.size());
  {
    const std::lock_guard alone(reclaim_mutex_);
    const auto doors = doors_of(caches);
    const cache::shut_gates shut(doors);
    for (std::size_t i = 0; i < caches.size(); ++i) {
      caches[i]->empty(got[i].small, got[i].large);
      if (!for_good || caches[i]->is_dead.exchange(true, std::memory_order_acq_rel)) continue;
      caches[i]->door().close();
      stream_state& s = streams_.at(caches[i]->stream());
      const std::lock_guard lock(s.mutex);
      cache::cached_blocks none;
      caches[i]->sum(s.counters, none);
      std::erase(s.caches, caches[i]);
    }
  }
  for (std::size_t i = 0; i < caches.size(); ++i) {
    stream_state& s = streams_.at(caches[i]->stream());
    if (!got[i].small.empty()) return_blocks(s, got[i].small);
    if (!got[i].large.empty()) return_large(s, got[i].large);
  }
}

// The blocks above 1 MiB of all caches, which have them alone: to the heaps and the reservoir, where what decides what
// to keep of free memory sees them, and where the next allocation finds them again for the price of a lock.
void pool_impl::reclaim_large() noexcept {
  auto caches = all_caches();
  std::erase_if(caches, [](const auto& c) { return !c->has_large(); });
  if (caches.empty()) return;
  std::vector<std::vector<cache::large_block>> got(caches.size());
  {
    const std::lock_guard alone(reclaim_mutex_);
    const auto doors = doors_of(caches);
    const cache::shut_gates shut(doors);
    for (std::size_t i = 0; i < caches.size(); ++i) caches[i]->empty_large(got[i]);
  }
  for (std::size_t i = 0; i < caches.size(); ++i)
    if (!got[i].empty()) return_large(streams_.at(caches[i]->stream()), got[i]);
}

// The large blocks of the calling thread, for whatever stream: its own gates need no barrier, so this is cheap enough
// for every miss. True: there were some.
bool pool_impl::reclaim_own_large() noexcept {
  struct contents {
    cache::block_cache* from;
    std::vector<cache::large_block> blocks;
  };
  std::vector<contents> got;
  cache::thread_table::each(this, [&](cache::block_cache& c) {
    if (c.has_large()) got.push_back({&c, {}});
  });
  if (got.empty()) return false;
  {
    const std::lock_guard alone(reclaim_mutex_);
    for (contents& c : got) {
      cache::gate* door = &c.from->door();
      const cache::shut_gates shut({&door, 1});
      c.from->empty_large(c.blocks);
    }
  }
  for (const contents& c : got) return_large(streams_.at(c.from->stream()), c.blocks);
  return true;
}

void pool_impl::thread_exits(cache::block_cache& cache, stream_state& s) noexcept {
  std::shared_ptr<cache::block_cache> mine;
  {
    const std::lock_guard lock(s.mutex);
    for (const auto& c : s.caches)
      if (c.get() == &cache) mine = c;
  }
  if (mine) reclaim({&mine, 1}, true);
}

void pool_impl::reclaim_caches() noexcept { reclaim(all_caches(), false); }

void pool_impl::reclaim_caches(stream_state& s, bool for_good) noexcept {
  std::vector<std::shared_ptr<cache::block_cache>> caches;
  {
    const std::lock_guard lock(s.mutex);
    caches = s.caches;
  }
  reclaim(caches, for_good);
}

}  // namespace weir::detail
