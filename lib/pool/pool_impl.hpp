// SPDX-License-Identifier: Apache-2.0
//
// The pool behind weir::pool: cache, heap and reservoir put together.
//
//   allocate.cpp    hit, miss, and where memory comes from in between
//   deallocate.cpp  one descriptor read, and the way back
//   capture.cpp     scopes of CUDA graphs, and what they allocate from
//   pressure.cpp    what happens when there is no room
//   streams.cpp     tokens, raw handles, retiring
//   caches.cpp      what threads hold, and getting it back
//   trim.cpp        trims, defragmentation
//   policies.cpp    trim policies: when they run, and what they give back
//   share.cpp       other devices, other processes
//   watch.cpp       statistics, walk, validate, leaks
//
// Locks, in the order they are taken, none of them held while another pool call is made: a graph memory's; the
// reservoir's growth lock; the reclaimers'; the reservoir's short one; one stream's; the table's of streams. A stream's
// handle lock is held for one call of the backend with the handle, and nothing is taken inside.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "cache/thread_table.hpp"
#include "pool/background.hpp"
#include "pool/pinned_memory.hpp"
#include "pool/reservoir.hpp"
#include "pool/trim_plan.hpp"
#include "weir/pool.hpp"

namespace weir::detail {

class pool_impl {
 public:
  static result<std::unique_ptr<pool_impl>> make(std::unique_ptr<backend>, pool_options) noexcept;
  ~pool_impl();

  result<void*> allocate(std::size_t bytes, stream_state&, std::size_t alignment) noexcept;
  result<void> deallocate(void*, std::size_t bytes, stream_state&) noexcept;  // bytes 0: not said
  result<void> deallocate_late(void*, std::size_t bytes, stream_state&) noexcept;
  result<void*> allocate_direct(std::size_t bytes) noexcept;
  result<void> deallocate_direct(void*) noexcept;
  result<void> record_use(void*, stream_state&) noexcept;

  // The state a call speaks of. Of a token: errc::stream_retired, errc::wrong_device. Of a raw handle: met, and its
  // identity verified.
  result<stream_state*> resolve(const weir::stream&) const noexcept;
  result<stream_state*> resolve(raw_stream) noexcept;
  // Whether a handle still means the stream it meant.
  bool is_verified(stream_handle, const stream_state&) const noexcept;
  result<weir::stream> token(raw_stream) noexcept;
  result<weir::stream> identify(raw_stream) noexcept;
  bool has_met(const stream_state& s) const noexcept { return streams_.by_id(s.id) == &s; }
  result<void> retire(stream_state&) noexcept;

  // capture.cpp. The scope of a stream; the last three for pinned_memory, with its lock held.
  result<capture_scope> capture(stream_state&, const graph_memory&) noexcept;
  stream_state& new_arena(const stream_state&);
  void enter_scope(stream_state&, stream_state& arena) noexcept;
  void unpin(const std::vector<stream_state*>& arenas, stream_state* after) noexcept;

  result<trim_report> trim(std::size_t bytes_to_keep, const stream_state* caller = nullptr) noexcept;
  result<trim_report> synchronize_and_trim(std::size_t bytes_to_keep) noexcept;
  result<trim_report> trim_by_policy() noexcept;
  result<defragment_report> defragment() noexcept;
  result<void> set_bytes_max(std::size_t) noexcept;

  // share.cpp
  result<void> allow_peer(int peer) noexcept;
  result<exported_pool> export_pool(unsigned handle_type) noexcept;
  result<exported_block> export_block(const void*) noexcept;

  statistics read_statistics() const;
  void walk(const std::function<void(const block_info&)>&) const;
  std::vector<std::string> validate() const;

  // A hit of more than 1 MiB (hit.hpp); null or false: it is none.
  void* take_large_hit(cache::block_cache&, std::size_t bytes) const noexcept;
  bool give_large_hit(cache::block_cache&, void*, std::size_t bytes) const noexcept;

  // What the background thread does each period.
  void tick() noexcept;

  // Blocks of an exiting thread's cache go to their heaps, without a call of the backend.
  void thread_exits(cache::block_cache&, stream_state&) noexcept;

  std::uint64_t id() const noexcept { return id_; }
  const pool_options& options() const noexcept { return options_; }
  backend& device_backend() const noexcept { return *backend_; }
  int device() const noexcept { return backend_->capabilities().device; }

 private:
  // What a heap is asked for.
  struct heap_request {
    bool is_small = true;
    bool is_tight = false;      // small: rather a slab of one block than none
    bool is_desperate = false;  // small: rather a block of a larger class than none
    core::size_class index = 0;
    std::size_t bytes = 0;
    std::size_t alignment = 0;
    core::life state = core::life_live;
  };

  pool_impl(std::unique_ptr<backend>, pool_options, std::uint64_t id) noexcept;
  result<void> start_background();

  // streams.cpp
  result<stream_state*> resolve_slowly(raw_stream) noexcept;
  stream_state* in_scope(stream_handle) const noexcept;

  // allocate.cpp
  result<void*> allocate_unobserved(std::size_t bytes, stream_state&, std::size_t alignment) noexcept;
  result<void*> direct_unobserved(std::size_t bytes, std::size_t alignment) noexcept;
  void say_failed(const error&) noexcept;
  result<void*> allocate_from_heap(const heap_request&, stream_state&) noexcept;
  result<void*> heap_miss(const heap_request&, stream_state&) noexcept;
  void* take(const heap_request&, stream_state& home, core::epoch last_max, stream_state& taker,
             core::region* joining = nullptr) noexcept;
  void* take_small(const heap_request&, stream_state& home, core::epoch last_max, stream_state& taker,
                   core::region* joining) noexcept;
  void* take_medium(const heap_request&, stream_state& home, core::epoch last_max, core::region* joining) noexcept;
  bool settle(stream_state&, const stream_state* caller) noexcept;
  bool settle_known(stream_state&) noexcept;
  std::size_t settle_locked(stream_state&) noexcept;
  result<bool> settle_waiting(stream_state&) noexcept;
  result<void*> from_others(const heap_request&, stream_state& taker, bool wait) noexcept;
  result<void*> borrow(const heap_request&, stream_state& home, stream_state& taker, bool wait) noexcept;
  result<void*> grow(const heap_request&, stream_state&) noexcept;
  void* past_native_pool(std::size_t bytes, std::size_t alignment) noexcept;
  result<void> order_fresh(core::ticket, stream_state&) noexcept;
  bool has_surplus(const heap_request&, const stream_state&) const noexcept;
  void grow_for_hand_over(std::size_t bytes, stream_state&) noexcept;
  result<void*> allocate_big(std::size_t bytes, std::size_t alignment, core::life, stream_state&) noexcept;
  result<void*> big_miss(std::size_t bytes, std::size_t alignment, core::life, stream_state&) noexcept;
  result<void*> big_waiting(std::size_t bytes, std::size_t alignment, core::life, stream_state&) noexcept;
  reservoir::fit large_fit(std::size_t bytes) const noexcept;
  cache::block_cache* cache_for(stream_state&) noexcept;

  // capture.cpp
  result<void*> allocate_pinned(std::size_t bytes, stream_state& arena, std::size_t alignment) noexcept;
  result<void*> grow_pinned(const heap_request&, stream_state& arena) noexcept;

  // deallocate.cpp
  template <class Free>
  result<void> once(void*, std::size_t given, Free) noexcept;
  result<void> deallocate_found(void*, std::size_t bytes, stream_state&) noexcept;
  result<void> free_direct(void*, std::size_t bytes) noexcept;
  result<void> deallocate_block(core::region&, std::uintptr_t, std::size_t bytes, stream_state&) noexcept;
  result<void> free_small(core::range& slab, unsigned block, core::life, std::uintptr_t, stream_state&) noexcept;
  result<void> deallocate_big(core::big_block&, std::uintptr_t, std::size_t bytes, stream_state&) noexcept;
  cache::large_block find_large(std::uintptr_t, std::size_t bytes) const noexcept;
  result<void> free_large(const cache::large_block&, core::life, std::uintptr_t, stream_state&) noexcept;
  void return_blocks(stream_state& from, std::span<const core::block>) noexcept;
  void return_large(stream_state& from, std::span<const cache::large_block>) noexcept;
  void return_large(stream_state& from, std::span<const cache::large_block>, const core::ticket_set&) noexcept;
  void return_pending(stream_state& home, core::range& slab, unsigned block, core::ticket_set) noexcept;
  core::ticket_set tickets_of_free(std::uintptr_t, core::life, stream_state& freed_on) noexcept;

  // pressure.cpp
  using attempt_again = std::function<result<void*>()>;
  result<void*> under_pressure(std::size_t bytes, const stream_state* caller, const attempt_again&) noexcept;
  bool has_freed_since(std::size_t bytes) const noexcept;
  void relieve(bool synchronize, const stream_state* caller) noexcept;
  memory_report report(std::size_t bytes, unsigned attempts) const noexcept;
  bool ask_handler(std::size_t bytes, unsigned& asked) noexcept;

  // caches.cpp
  void reclaim_caches() noexcept;
  void reclaim_large() noexcept;
  bool reclaim_own_large() noexcept;
  void reclaim_caches(stream_state&, bool for_good = false) noexcept;
  static std::vector<cache::gate*> doors_of(std::span<const std::shared_ptr<cache::block_cache>>);
  void reclaim(std::span<const std::shared_ptr<cache::block_cache>>, bool for_good) noexcept;
  std::vector<std::shared_ptr<cache::block_cache>> all_caches() const;
  bool is_watched() const noexcept;  // no hit may pass unseen

  // trim.cpp
  void gather(const stream_state* caller) noexcept;
  result<void> trim_native(std::size_t keep) noexcept;
  trim_report report_trim(std::size_t reserved_before) const;

  // policies.cpp
  void run_policies() noexcept;
  bool are_policies_due() noexcept;
  enum class thoroughness { cheap, periodic, whole };  // on the slow path, in a tick, on demand
  void run_policies(thoroughness) noexcept;
  trim_numbers numbers_for_policies(thoroughness) noexcept;
  void carry_out(const trim_plan&, const trim_numbers&, thoroughness) noexcept;
  void give_back(std::size_t keep, thoroughness) noexcept;
  void take_back_large(thoroughness) noexcept;
  void give_back_idle(std::uint64_t duration_ns, std::uint64_t now_ns) noexcept;
  void take_back_idle_caches(std::uint64_t duration_ns, std::uint64_t now_ns) noexcept;
  void tell_soft_limit() noexcept;

  // watch.cpp
  struct cache_sums;
  cache_sums sum_caches() const;
  cache::block_counters past_counters() const;
  void report_leaks() noexcept;
  void sample_peak() noexcept;

  bool is_mine() const noexcept;  // not in a child after fork
  void say_allocated(void*, std::size_t bytes, std::size_t alignment, const stream_state*, allocation_kind) noexcept;
  // Before the block can be anybody's again.
  void say_deallocated(std::uintptr_t, std::size_t given, std::size_t has, const stream_state*,
                       allocation_kind) noexcept;
  void abandon() noexcept;

  const std::uint64_t id_;
  const unsigned fork_generation_;
  std::unique_ptr<backend> backend_;
  const pool_options options_;
  stream_table streams_;
  order order_;
  reservoir reservoir_;

  std::mutex pinned_mutex_;  // alone
  std::vector<std::weak_ptr<pinned_memory>> pinned_;

  // Blocks with uses announced on further streams, by address.
  std::mutex uses_mutex_;
  std::unordered_map<std::uintptr_t, std::vector<stream_state*>> uses_;
  // One reclaimer at a time, and exact statistics. Nothing else is taken under it but a stream's lock.
  mutable std::mutex reclaim_mutex_;
  // Checked mode: what each block was asked for with, by address; of one freed until the address is handed out again.
  struct request {
    std::size_t bytes = 0;
    bool is_live = false;
  };
  std::mutex checked_mutex_;
  std::unordered_map<std::uintptr_t, request> requested_;

  std::atomic<std::uint64_t> served_heap_{0}, served_big_{0}, served_passed_{0}, served_waited_{0}, served_native_{0},
      served_direct_{0};
  std::atomic<std::uint64_t> medium_allocations_{0}, medium_deallocations_{0}, big_allocations_{0},
      big_deallocations_{0}, direct_allocations_{0}, direct_deallocations_{0};
  std::atomic<std::size_t> medium_live_{0};
  std::atomic<std::uint64_t> failures_{0}, pressure_events_{0};
  std::atomic<std::size_t> allocated_peak_{0};
  std::atomic<std::size_t> sampled_at_reserved_{0};

  // Policies. One run at a time, over native calls, before any other lock; the slow path only tries for it. It guards
  // what a run remembers; the atomics say whether the next is due.
  const trim_needs needs_;
  std::mutex run_mutex_;
  trim_state trim_state_;
  sightings sightings_;
  low_water unused_;
  std::uint64_t next_gather_ns_ = 0, next_take_back_ns_ = 0;
  std::atomic<std::uint64_t> native_calls_seen_{0}, next_run_ns_{0}, next_look_at_device_ns_{0};
  background background_;  // the last: what it uses is there for as long as it runs
};

}  // namespace weir::detail
