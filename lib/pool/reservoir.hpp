// SPDX-License-Identifier: Apache-2.0
//
// What a device holds for all its streams: native allocations, the big blocks kept for reuse, direct allocations, the
// limit. The only caller of the backend's allocation calls.
//
// Two locks. `mutex_` is short and never held over a backend call; every hit takes no other. `growth_` puts the native
// calls of one device one behind the other, as the driver would: what a decision was based on stays true until the
// call it led to has been made, so a limit is never passed, not even for a moment. It is taken first.
//
// Native calls are made on the reservoir's own stream (stream_table's index 0), or, where a stream is ahead of the
// device, on that (native_frees). What comes from one carries a ticket of the stream; what goes back is first waited
// for there.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "cache/block_cache.hpp"
#include "core/big_cache.hpp"
#include "core/shadow_map.hpp"
#include "pool/native_frees.hpp"
#include "pool/order.hpp"
#include "weir/observer.hpp"
#include "weir/pool_options.hpp"
#include "weir/statistics.hpp"

namespace weir::detail {

class reservoir {
 public:
  // `gather` brings free blocks together in the heaps; called before the native pool would grow, with growth_ held.
  reservoir(backend&, const pool_options&, stream_table&, order&, std::uint64_t pool_id,
            std::function<void(const stream_state* caller)> gather);
  ~reservoir();

  // --- big blocks ---
  // A kept block that fits and is ready for the taker, live from now on. Null: none.
  // `came_home`: it was allocated on the taker and freed on another stream.
  core::big_block* take_kept(std::size_t bytes, std::size_t alignment, const stream_state& taker, core::life,
                             bool* came_home = nullptr) noexcept;
  // How many that would fit were allocated on this stream, freed on others, and are not ready for it.
  std::size_t count_pending(std::size_t bytes, const stream_state& home) const noexcept;
  // The same with tickets still to be waited for: claimed, so nobody else gets it. give_back_claim undoes it.
  core::big_block* claim_kept(std::size_t bytes, std::size_t alignment, const stream_state& taker) noexcept;
  void give_back_claim(core::big_block*) noexcept;
  void publish_claim(core::big_block*, std::size_t bytes, std::size_t alignment, const stream_state& on,
                     core::life) noexcept;
  // Looks at the streams behind kept blocks that would fit, so that take_kept may find more.
  void look_at_fits(std::size_t bytes, const stream_state* caller) noexcept;
  // The big ones among blocks that come back, with these tickets.
  void keep_cached(std::span<const cache::large_block>, const core::ticket_set&) noexcept;
  // The bytes of a block that serves a request, at least and at most.
  struct fit {
    std::size_t bytes, bytes_max;
  };
  fit fit_of(std::size_t bytes, std::size_t alignment) const noexcept;
  // A new one, with the reservoir's ticket.
  // `ahead` of need nothing is given back for it.
  enum class urgency { now, ahead };
  result<core::big_block*> grow_big(std::size_t bytes, std::size_t alignment, const stream_state* caller,
                                    urgency = urgency::now) noexcept;

  // --- regions ---
  // One that holds at least `bytes` in one range, with the reservoir's ticket.
  result<core::region*> grow_region(std::size_t bytes, const stream_state* caller, urgency = urgency::now) noexcept;
  // A wholly free region in some heap but the taker's, last used before what is ready for the taker, or null. With
  // `wait`, the first there is, and the taker is made to wait.
  result<core::region*> adopt_region(std::size_t bytes, stream_state& taker, bool wait) noexcept;
  // A region that nobody could be made to wait for: adopt_region finds it.
  void shelve(core::region*) noexcept;

  // --- giving back ---
  // Gives free native memory back to the native pool: kept blocks and empty regions. Without `wait` only what has
  // passed. Bytes given.
  std::size_t release_free(bool wait, const stream_state* caller) noexcept;
  result<void> trim_native(std::size_t bytes_to_keep) noexcept;

  // --- giving back by amount and by age: reservoir_release.cpp ---
  // Gives free native memory back to the native pool until all but `keep` bytes of chunks are free there: kept blocks,
  // the oldest first, then wholly free regions. Only what has passed. Bytes given.
  std::size_t release_until(std::size_t keep) noexcept;
  // Gives back those kept blocks and wholly free regions that have passed and that `picks`, called with locks held,
  // says yes to. It is shown them all, with a mark that changes when they are used.
  using picker = std::function<bool(const core::extent&, std::uint64_t mark)>;
  std::size_t release_picked(const picker& picks) noexcept;
  // Bytes of whole chunks free in the native pool: now, and the least since this was last asked.
  std::size_t native_free() const noexcept;
  std::size_t take_native_free_low() noexcept;
  // What is free natively, or could be.
  struct free_bytes {
    std::size_t native = 0;           // whole chunks in the native pool
    std::size_t kept = 0, empty = 0;  // passed: kept blocks, wholly free regions
    std::size_t kept_pending = 0, empty_pending = 0;
    std::size_t all() const noexcept { return native + kept + empty + kept_pending + empty_pending; }
  };
  free_bytes free_now() const noexcept;

  // --- direct ---
  result<void*> allocate_direct(std::size_t bytes, std::size_t alignment) noexcept;
  bool has_direct(const void*) const noexcept;
  // Bytes it had; errc::foreign_pointer.
  result<std::size_t> deallocate_direct(void*) noexcept;
  std::size_t direct_bytes_of(const void*) const noexcept;

  // --- limit ---
  std::size_t bytes_max() const noexcept { return bytes_max_.load(std::memory_order_relaxed); }
  result<void> set_bytes_max(std::size_t) noexcept;
  // The soft one: whether `more` would pass it, by how much it is passed, and whether it has been since this was last
  // asked. No lock where it has not.
  bool would_pass_soft(std::size_t more) const noexcept;
  std::size_t past_soft() const noexcept;
  bool take_soft_crossing() noexcept;

  // --- numbers ---
  struct numbers {
    std::size_t held = 0, held_peak = 0, reserved = 0, reserved_peak = 0;
    // Live: out of the reservoir, blocks in caches of threads too.
    std::size_t direct = 0, big_live = 0, big_kept = 0, big_kept_largest = 0, big_live_peak = 0;
    std::size_t big_claimed = 0;  // neither live nor kept: in the hands of a call
    std::size_t used_peak = 0;    // of held less kept
    std::size_t touched = 0;      // bytes of chunks that something native is in
    std::uint64_t big_live_count = 0, direct_live_count = 0;
  };
  numbers read() const noexcept;
  std::size_t kept_pending() const noexcept;  // bytes of kept blocks with tickets not passed
  native_counts calls() const noexcept;
  // Grows with each native allocation and free.
  std::uint64_t native_changes() const noexcept {
    return calls_allocate_.load(std::memory_order_relaxed) + calls_deallocate_.load(std::memory_order_relaxed);
  }
  void walk(const std::function<void(const block_info&)>&) const;
  // While it is held nothing native changes. check() wants it.
  std::unique_lock<std::mutex> stand_still() const { return std::unique_lock(growth_); }
  void check(std::vector<std::string>& broken) const;
  // Live big and direct blocks: count, bytes, oldest.
  void leaks(leak_event&) const noexcept;

  // Everything native goes, whatever its state: at the end of the pool, after the device was synchronised.
  void release_all() noexcept;
  // Nothing is called; addresses are forgotten.
  void abandon() noexcept;

 private:
  struct native_range {
    std::uintptr_t base;
    std::size_t bytes;
    core::ticket fresh;
  };
  // Where native calls are made, and the stream of the call whose work they may stand behind: null where none.
  struct native_place {
    stream_state* on;
    const stream_state* behind = nullptr;
  };
  native_place own_place() const noexcept { return {&streams_.at(0)}; }
  native_place place_for(const stream_state* caller) noexcept;
  native_place place_to_recycle(const stream_state* caller) noexcept;
  result<native_range> call_native(std::size_t bytes, stream_state& on) noexcept;
  result<native_range> allocate_in_hole(std::size_t made_for, std::size_t usual, const stream_state* caller) noexcept;
  // `usual` bytes, or `least` where those would grow the native pool.
  result<native_range> allocate_native(std::size_t usual, std::size_t least, const stream_state* caller,
                                       urgency) noexcept;
  result<void> trim_locked(std::size_t bytes_to_keep) noexcept;
  void show_frees() noexcept;
  result<void> make_room(std::size_t bytes, const stream_state& on) noexcept;
  std::size_t region_bytes_for(const stream_state* caller) const noexcept;
  bool has_passed(const core::big_block&) const noexcept;
  bool may_go(const core::big_block&, const native_place&) const noexcept;
  static core::epoch last_to_go(const stream_state&, const native_place&) noexcept;
  bool is_ahead_of_device(const stream_state& caller) const noexcept;
  void recycle_for(std::size_t bytes, const native_place&, const stream_state* caller) noexcept;
  bool has_slack_for(std::size_t bytes, const stream_state& on) noexcept;
  bool recycle_one_kept(std::size_t missing, const native_place&) noexcept;
  bool is_keeping_too_much(const native_place&) const noexcept;
  void shrink_kept(const native_place&) noexcept;
  void look_at_all(const stream_state* caller, bool will_record = false) noexcept;
  bool free_native(core::extent&, const core::ticket_set&, const native_place&) noexcept;
  static bool enter(core::extent&) noexcept;  // into the page map
  void forget(core::extent&) noexcept;
  void read_reserved() noexcept;
  void claim(core::big_block*) noexcept;
  core::big_block* new_big();
  core::region* new_region(std::uint32_t granules);
  void begin_live(core::big_block&, std::size_t bytes, std::size_t alignment, const stream_state& on,
                  core::life) noexcept;
  void keep_locked(core::big_block*, core::ticket_set) noexcept;
  void tell(native_call, const void*, std::size_t bytes) const noexcept;
  std::size_t missing_bytes(std::size_t bytes, const stream_state& on) noexcept;
  std::size_t release_until_locked(std::size_t keep) noexcept;
  bool has_something_free() const noexcept;
  void look_behind_free() noexcept;
  std::size_t release_oldest_kept(const native_place&) noexcept;
  std::size_t release_claimed(core::big_block*, const native_place&) noexcept;
  std::size_t release_region(stream_state&, core::heap::emptied, const native_place&) noexcept;
  std::size_t release_one_region(const native_place&) noexcept;
  std::vector<core::big_block*> claim_picked(const picker&) noexcept;
  static std::vector<core::heap::emptied> take_picked(stream_state&, const picker&) noexcept;
  void make_soft_room(std::size_t bytes) noexcept;
  // Both with mutex_ held, after reserved or direct bytes have changed, or what is free natively.
  void note_soft() noexcept;
  void note_native_free() noexcept;

  backend& backend_;
  const pool_options& options_;
  stream_table& streams_;
  order& order_;
  const std::uint64_t pool_id_;
  const std::function<void(const stream_state*)> gather_;
  std::atomic<std::size_t> bytes_max_;
  const std::size_t granularity_;  // of native sizes
  const std::size_t native_max_;   // the native pool's own limit, which protects growth while no direct bytes count

  native_frees frees_;
  mutable std::mutex growth_;
  mutable std::mutex mutex_;
  core::shadow_map shadow_;
  core::big_cache kept_;
  std::unordered_map<std::uintptr_t, core::extent*> extents_;  // all native ones, by base
  struct direct_block {
    std::size_t bytes;  // as asked for
    std::uint64_t sequence;
    void* native;  // where it begins, and bytes it has: more than asked for where that was aligned far
    std::size_t taken;
  };
  std::unordered_map<std::uintptr_t, direct_block> direct_;
  std::deque<core::big_block> big_store_;
  std::vector<core::big_block*> big_unused_;
  std::deque<core::region> region_store_;
  std::vector<core::region*> region_unused_;
  std::uint64_t sequence_ = 0;
  numbers numbers_{};
  std::size_t native_free_low_ = 0;
  bool is_past_soft_ = false;
  std::atomic<bool> is_soft_due_{false};

  std::atomic<std::uint64_t> calls_allocate_{0}, calls_deallocate_{0}, calls_grow_{0}, calls_trim_{0};
};

}  // namespace weir::detail
