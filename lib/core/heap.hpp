// SPDX-License-Identifier: Apache-2.0
//
// The free small and medium memory of one stream: regions, the free ranges in them, slabs of small blocks.
//
// Pure arithmetic over addresses it never dereferences: no lock (the caller has the stream's), no clock, no backend.
// It answers "here", or nothing.
//
// Order. All that is free here may be used by the heap's own stream at once. A free range remembers the epoch of that
// stream it was last used in; a taker for another stream gives `last_max`, the epoch it knows to have passed or has
// waited for, and gets nothing younger. What came back with tickets of other streams is `pending`: it is merged with
// nothing and found by nobody until settle() is told that its tickets have passed.
//
// Invariants (check()): the ranges of a region tile it; no two free ranges touch; a slab is listed when it has a free
// block, and dissolved when all are free; granules_free is the sum of the free ranges.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "base/list.hpp"
#include "core/extent.hpp"
#include "core/free_ranges.hpp"
#include "core/range_store.hpp"

namespace weir::core {

// A small block in hand: where it is, and its state in the slab.
struct block {
  void* pointer = nullptr;
  std::atomic<life>* state = nullptr;
};

class heap {
 public:
  // `pool`: the id that its slabs carry.
  heap(stream_index owner, range_store& store, std::uint64_t pool = 1) : owner_(owner), pool_(pool), store_(store) {}
  heap(const heap&) = delete;
  heap& operator=(const heap&) = delete;

  // Up to `count` blocks of a class, from slabs that have some, then from one new slab. Their state stays free. Where
  // there is no room for a usual slab, `tight` makes one of what fits, down to one block. `taker` is the number of who
  // gets them: a slab that another got blocks of comes after a new one, so that no two threads write to one descriptor.
  unsigned take_blocks(size_class, block* out, unsigned count, epoch last_max = epoch_any, bool tight = false,
                       std::uint64_t taker = 0) noexcept;
  // Precondition: the block was taken from this heap. `last` is this stream's epoch.
  void give_block(range* slab, unsigned block, epoch last) noexcept;

  // A medium range of at least `bytes`, at a multiple of `alignment` (a power of two). Null: there is none.
  range* take_range(std::size_t bytes, std::size_t alignment, epoch last_max = epoch_any) noexcept;
  void give_range(range*, epoch last) noexcept;

  // The same, with tickets of other streams that have not passed.
  void give_block_pending(range* slab, unsigned block, ticket_set);
  void give_range_pending(range*, ticket_set);
  // Frees what is pending and whose tickets all pass `passed`; it counts as last used in `last`. Bytes settled.
  template <class Passed>
  std::size_t settle(Passed passed, epoch last);
  template <class Visit>
  void each_pending(Visit visit) const {
    for (const pending& p : pending_) visit(p.tickets);
  }

  // A region, wholly free, from now on this heap's. Its parts count as last used in `last`.
  void add_region(region*, epoch last) noexcept;
  // A wholly free region, last used at or before `last_max`, and when that was; it leaves the heap. Null: there is
  // none.
  struct emptied {
    region* where = nullptr;
    epoch last = 0;
  };
  emptied remove_empty(epoch last_max) noexcept;
  // The epoch a wholly free region was last used in. Precondition: it is wholly free and of this heap.
  static epoch last_of(const region&) noexcept;

  base::list<region>& regions() noexcept { return regions_; }
  std::size_t bytes_held() const noexcept { return held_; }
  std::size_t bytes_free() const noexcept { return free_; }  // usable by the own stream: ranges and slab blocks
  std::size_t bytes_pending() const noexcept { return pending_bytes_; }
  std::size_t bytes_largest() const noexcept { return ranges_.largest() * granule_bytes; }
  unsigned empty_count() const noexcept { return empty_count_; }
  std::size_t bytes_empty() const noexcept;  // in wholly free regions

  std::uint64_t splits() const noexcept { return splits_; }
  std::uint64_t merges() const noexcept { return merges_; }

  // Every invariant above; appends what is broken.
  void check(std::vector<std::string>& broken) const;

 private:
  struct pending {
    range* where = nullptr;
    int block = -1;  // of a slab; -1: the whole range
    ticket_set tickets;
  };

  unsigned take_from_slabs(size_class, block* out, unsigned count, epoch last_max, std::uint64_t only) noexcept;
  range* new_slab(size_class, epoch last_max, bool tight) noexcept;
  void dissolve(range* slab) noexcept;
  void insert_free(range*) noexcept;
  void remove_free(range*) noexcept;
  range* split_front(range*, std::uint32_t count) noexcept;
  void enter(range*) noexcept;
  range* neighbour_before(range*) const noexcept;
  range* neighbour_after(range*) const noexcept;
  void check_region(const region&, std::vector<std::string>& broken) const;
  void settle_one(const pending&, epoch last) noexcept;

  stream_index owner_;
  std::uint64_t pool_;
  range_store& store_;
  free_ranges ranges_;
  std::array<base::list<range>, class_count> slabs_{};  // with at least one free block
  base::list<region> regions_;
  std::vector<pending> pending_;
  std::size_t held_ = 0;
  std::size_t free_ = 0;
  std::size_t pending_bytes_ = 0;
  unsigned empty_count_ = 0;
  std::uint64_t splits_ = 0;
  std::uint64_t merges_ = 0;
};

template <class Passed>
std::size_t heap::settle(Passed passed, epoch last) {
  const std::size_t before = pending_bytes_;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (pending_[i].tickets.all(passed)) {
      settle_one(pending_[i], last);
    } else {
      if (kept != i) pending_[kept] = std::move(pending_[i]);
      ++kept;
    }
  }
  pending_.resize(kept);
  return before - pending_bytes_;
}

}  // namespace weir::core
