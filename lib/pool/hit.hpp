// SPDX-License-Identifier: Apache-2.0
//
// What a hit executes: from the token to the calling thread's cache and back, inlined into weir::pool's calls. No lock,
// no atomic read-modify-write, no call of the backend, no host allocation. Whatever is unusual answers "no" here and
// takes the long way, which finds out why; that is left by a tail call, so a hit saves no registers.
//
//   take:  token -> this thread's cache of the stream used last -> magazine
//   give:  address -> page map -> range (one descriptor: pool, class, position) -> state byte -> magazine
//
// The cache knows the pool it is of, and is closed when its stream is retired or its pool gone; so nothing else needs
// to be asked. Pools whose operations are watched (observer, checked, bypass, guard_capture) have guarded caches, at
// whose gate the fast way ends.
#pragma once

#include "cache/page_map.hpp"
#include "cache/thread_table.hpp"
#include "pool/pool_impl.hpp"
#include "pool/raw_places.hpp"

namespace weir::detail {

[[gnu::always_inline]] inline cache::block_cache* met_cache(const pool_impl* pool, const stream_state* s) noexcept {
  cache::block_cache* cache = cache::thread_table::find_last(s);
  return cache && cache->pool() == pool ? cache : nullptr;
}

// The same for a stream that is not the last one used, which becomes the last.
inline cache::block_cache* other_cache(const pool_impl* pool, const stream_state* s) noexcept {
  cache::block_cache* cache = s ? cache::thread_table::find(s, s->serial) : nullptr;
  return cache && cache->pool() == pool ? cache : nullptr;
}

// True: `block` is what was asked for.
[[gnu::always_inline]] inline bool take_from(cache::block_cache* cache, std::size_t bytes, void*& block) noexcept {
  if (!cache || bytes - 1 >= core::small_bytes_max) [[unlikely]]
    return false;
  return cache->take(core::class_of_less_one(bytes - 1), block);
}

[[gnu::always_inline]] inline bool take_hit(const pool_impl* pool, const stream_state* s, std::size_t bytes,
                                            void*& block) noexcept {
  return take_from(met_cache(pool, s), bytes, block);
}

// `bytes` 0: not said.
[[gnu::always_inline]] inline bool give_to(cache::block_cache* cache, const pool_impl* pool, void* p,
                                           std::size_t bytes) noexcept {
  if (!cache) [[unlikely]]
    return false;
  const std::uintptr_t at = base::address(p);
  core::range* here = cache::page_map::find_range(at);
  if (!here || here->slab_of.load(std::memory_order_relaxed) != pool->id()) [[unlikely]]
    return false;
  const auto where = core::nearly_position_in(*here, at);
  if (!where.inside) [[unlikely]]
    return false;
  std::atomic<core::life>* const state = &here->states[where.block];
  if (state->load(std::memory_order_relaxed) != core::life_live) [[unlikely]]
    return false;
  if (bytes != 0 && (bytes > core::small_bytes_max || core::class_of(bytes) != here->index)) [[unlikely]]
    return false;
  return cache->give(here->index, {p, state});
}

[[gnu::always_inline]] inline bool give_hit(const pool_impl* pool, const stream_state* s, void* p,
                                            std::size_t bytes) noexcept {
  return give_to(met_cache(pool, s), pool, p, bytes);
}

// What is no hit at first sight may be one of another stream than the last, or of more than 1 MiB.
inline bool take_other_hit(const pool_impl* pool, const weir::stream& on, std::size_t bytes, void*& block) noexcept {
  cache::block_cache* cache = other_cache(pool, on.state());
  if (!cache) return false;
  if (bytes <= core::small_bytes_max) return take_from(cache, bytes, block);
  block = pool->take_large_hit(*cache, bytes);
  return block;
}

inline bool give_other_hit(const pool_impl* pool, const weir::stream& on, void* p, std::size_t bytes) noexcept {
  cache::block_cache* cache = other_cache(pool, on.state());
  return cache && (give_to(cache, pool, p, bytes) || pool->give_large_hit(*cache, p, bytes));
}

// The same with a raw handle. Both: `pool` may be null.
inline bool take_raw_hit(const pool_impl* pool, stream_handle handle, std::size_t bytes, void*& block) noexcept {
  const stream_state* s = pool ? raw_places::find(handle, pool->id()) : nullptr;
  if (!s || s->is_asked.load(std::memory_order_relaxed) || !pool->is_verified(handle, *s)) return false;
  cache::block_cache* cache = met_cache(pool, s);
  if (!cache) cache = other_cache(pool, s);
  if (!cache) return false;
  if (bytes <= core::small_bytes_max) return take_from(cache, bytes, block);
  block = pool->take_large_hit(*cache, bytes);
  return block;
}

inline bool give_raw_hit(const pool_impl* pool, stream_handle handle, void* p, std::size_t bytes) noexcept {
  const stream_state* s = pool ? raw_places::find(handle, pool->id()) : nullptr;
  // Only a call with the handle may record on the stream: what is asked of it is answered on the long way.
  if (!s || s->is_asked.load(std::memory_order_relaxed)) return false;
  cache::block_cache* cache = met_cache(pool, s);
  if (!cache) cache = other_cache(pool, s);
  return cache && (give_to(cache, pool, p, bytes) || pool->give_large_hit(*cache, p, bytes));
}

}  // namespace weir::detail
