// SPDX-License-Identifier: Apache-2.0
#include "core/heap.hpp"

#include <algorithm>
#include <bit>

#include "base/assert.hpp"

namespace weir::core {

namespace {

constexpr std::uint64_t bits_of(unsigned count) noexcept {
  return count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

// Sixteen blocks, or 2 MiB of them, and at least one; whole granules; at most 64 blocks. Every class above 128 KiB is
// a multiple of a granule, so only slabs of small classes have a tail, of under a granule.
constexpr std::uint32_t slab_granules(size_class index) noexcept {
  const std::size_t bytes = class_bytes(index);
  const std::size_t blocks = std::clamp<std::size_t>(2 * base::mib / bytes, 1, 16);
  return static_cast<std::uint32_t>(base::divide_up(blocks * bytes, granule_bytes));
}

constexpr unsigned slab_blocks(size_class index, std::uint32_t granules) noexcept {
  return static_cast<unsigned>(std::min<std::size_t>(granules * granule_bytes / class_bytes(index), slab_blocks_max));
}

// Of the slabs that other takers have.
constexpr unsigned slabs_looked_at_max = 8;

// What position_in multiplies with to divide by a block's units.
constexpr std::uint32_t inverse_of(std::size_t bytes) noexcept {
  return static_cast<std::uint32_t>(base::divide_up(std::size_t{1} << block_inverse_shift, bytes / unit_bytes));
}

consteval bool slab_inverse_is_exact() {
  for (unsigned index = 0; index < class_count; ++index) {
    const std::uint64_t units = class_bytes(index) / unit_bytes;
    const auto of = static_cast<size_class>(index);
    const std::uint64_t blocks = slab_blocks(of, slab_granules(of));
    // At the two ends of each block: in between it cannot be wrong.
    for (std::uint64_t n = 0; n < blocks; ++n)
      for (const std::uint64_t at : {n * units, n * units + units - 1})
        if ((at * inverse_of(units * unit_bytes)) >> block_inverse_shift != n) return false;
  }
  return true;
}
static_assert(slab_inverse_is_exact());

// Cuts `r` after its first `count` granules and answers the rest, as old as r. Neither is in a list or in the table.
range* cut(range* r, std::uint32_t count, range_store& store) noexcept {
  range* rest = store.take();
  rest->home = r->home;
  rest->first = r->first + count;
  rest->count = r->count - count;
  rest->last = r->last;
  r->count = count;
  return rest;
}

}  // namespace

// --- ranges -------------------------------------------------------------------------------------------------------

void heap::enter(range* r) noexcept {
  region& home = *r->home;
  home.table[r->first].store(r, std::memory_order_relaxed);
  home.table[r->first + r->count - 1].store(r, std::memory_order_relaxed);
}

void heap::insert_free(range* r) noexcept {
  r->kind.store(range_kind::free, std::memory_order_relaxed);
  enter(r);
  ranges_.insert(r);
  region& home = *r->home;
  home.granules_free += r->count;
  free_ += r->count * granule_bytes;
  if (home.is_empty()) ++empty_count_;
}

void heap::remove_free(range* r) noexcept {
  region& home = *r->home;
  if (home.is_empty()) --empty_count_;
  home.granules_free -= r->count;
  free_ -= r->count * granule_bytes;
  ranges_.remove(r);
}

range* heap::neighbour_before(range* r) const noexcept {
  return r->first == 0 ? nullptr : r->home->table[r->first - 1].load(std::memory_order_relaxed);
}

range* heap::neighbour_after(range* r) const noexcept {
  const std::uint32_t end = r->first + r->count;
  return end == r->home->granules ? nullptr : r->home->table[end].load(std::memory_order_relaxed);
}

// Cuts `r`, which is in no list, to its first `count` granules; the rest becomes a free range as old as r was.
range* heap::split_front(range* r, std::uint32_t count) noexcept {
  if (r->count == count) return r;
  ++splits_;
  insert_free(cut(r, count, store_));
  return r;
}

range* heap::take_range(std::size_t bytes, std::size_t alignment, epoch last_max) noexcept {
  const auto count = static_cast<std::uint32_t>(base::divide_up(bytes, granule_bytes));
  const std::uint32_t slack = alignment > granule_bytes ? static_cast<std::uint32_t>(alignment / granule_bytes) - 1 : 0;
  range* r = ranges_.find(count + slack, last_max);
  if (!r) return nullptr;
  remove_free(r);
  const std::uintptr_t at = r->home->at(r->first);
  if (const auto skip = static_cast<std::uint32_t>((base::round_up(at, alignment) - at) / granule_bytes)) {
    range* front = r;
    r = cut(front, skip, store_);
    insert_free(front);
    ++splits_;
  }
  split_front(r, count);
  r->states[0].store(life_free, std::memory_order_relaxed);
  r->kind.store(range_kind::medium, std::memory_order_relaxed);
  enter(r);
  return r;
}

void heap::give_range(range* r, epoch last) noexcept {
  r->last = last;
  for (range* beside : {neighbour_before(r), neighbour_after(r)}) {
    if (!beside || beside->kind.load(std::memory_order_relaxed) != range_kind::free) continue;
    ++merges_;
    remove_free(beside);
    r->first = std::min(r->first, beside->first);
    r->count += beside->count;
    r->last = std::max(r->last, beside->last);
    store_.give(beside);
  }
  insert_free(r);
}

// --- slabs --------------------------------------------------------------------------------------------------------

range* heap::new_slab(size_class index, epoch last_max, bool tight) noexcept {
  const auto least = static_cast<std::uint32_t>(base::divide_up(class_bytes(index), granule_bytes));
  std::uint32_t granules = slab_granules(index);
  range* r = take_range(granules * granule_bytes, 1, last_max);
  while (!r && tight && granules > least) {
    granules = std::max(granules / 2, least);
    r = take_range(granules * granule_bytes, 1, last_max);
  }
  if (!r) return nullptr;
  r->index = index;
  r->block_count = static_cast<std::uint8_t>(slab_blocks(index, granules));
  r->free_bits = bits_of(r->block_count);
  r->blocks_begin = r->home->at(r->first);
  r->block_bytes = static_cast<std::uint32_t>(class_bytes(index));
  r->block_inverse = inverse_of(class_bytes(index));
  for (auto& state : r->states) state.store(life_free, std::memory_order_relaxed);
  r->kind.store(range_kind::slab, std::memory_order_relaxed);
  r->slab_of.store(pool_, std::memory_order_relaxed);
  // At each granule that a block begins in; take_range entered the first and the last.
  const std::uint32_t step = r->block_bytes % granule_bytes ? 1 : r->block_bytes / std::uint32_t{granule_bytes};
  for (std::uint32_t g = r->first; g < r->first + r->count; g += step)
    r->home->table[g].store(r, std::memory_order_relaxed);
  slabs_[index].push_front(r);
  free_ += r->block_count * class_bytes(index);
  return r;
}

void heap::dissolve(range* slab) noexcept {
  slabs_[slab->index].remove(slab);
  free_ -= slab->block_count * class_bytes(slab->index);
  slab->slab_of.store(0, std::memory_order_relaxed);
  give_range(slab, slab->last);
}

// From the slabs that have some; `only`: from those that nobody else got blocks of, among the first few.
unsigned heap::take_from_slabs(size_class index, block* out, unsigned count, epoch last_max,
                               std::uint64_t only) noexcept {
  unsigned taken = 0;
  unsigned looked_at = 0;
  for (range* slab = slabs_[index].front(); slab && taken < count;) {
    range* const next = slab->next;
    if (only && slab->taker != only && ++looked_at > slabs_looked_at_max) break;
    if (slab->last <= last_max && (!only || slab->taker == only)) {
      for (; slab->free_bits && taken < count; ++taken) {
        const auto bit = static_cast<unsigned>(std::countr_zero(slab->free_bits));
        slab->free_bits &= slab->free_bits - 1;
        const std::uintptr_t at = slab->blocks_begin + bit * std::size_t{slab->block_bytes};
        out[taken] = {base::pointer(at), &slab->states[bit]};
      }
      if (!slab->free_bits) slabs_[index].remove(slab);
    }
    slab = next;
  }
  free_ -= taken * class_bytes(index);
  return taken;
}

// One new slab at a time, and only for someone who would go away with nothing.
unsigned heap::take_blocks(size_class index, block* out, unsigned count, epoch last_max, bool tight,
                           std::uint64_t taker) noexcept {
  unsigned taken = taker ? take_from_slabs(index, out, count, last_max, taker) : 0;
  if (taken) return taken;
  if (!taker) taken = take_from_slabs(index, out, count, last_max, 0);
  if (taken) return taken;
  if (range* fresh = new_slab(index, last_max, tight)) {
    fresh->taker = taker;
    return take_from_slabs(index, out, count, last_max, taker);
  }
  return taker ? take_from_slabs(index, out, count, last_max, 0) : 0;
}

void heap::give_block(range* slab, unsigned block, epoch last) noexcept {
  const std::uint64_t bit = std::uint64_t{1} << block;
  WEIR_ASSERT(!(slab->free_bits & bit));
  if (!slab->free_bits) slabs_[slab->index].push_front(slab);
  slab->free_bits |= bit;
  slab->states[block].store(life_free, std::memory_order_relaxed);
  slab->last = std::max(slab->last, last);
  free_ += class_bytes(slab->index);
  if (slab->free_bits == bits_of(slab->block_count)) dissolve(slab);
}

// --- pending ------------------------------------------------------------------------------------------------------

void heap::give_block_pending(range* slab, unsigned block, ticket_set tickets) {
  slab->states[block].store(life_free, std::memory_order_relaxed);
  pending_bytes_ += class_bytes(slab->index);
  pending_.push_back({slab, static_cast<int>(block), std::move(tickets)});
}

void heap::give_range_pending(range* r, ticket_set tickets) {
  r->kind.store(range_kind::pending, std::memory_order_relaxed);
  pending_bytes_ += r->count * granule_bytes;
  pending_.push_back({r, -1, std::move(tickets)});
}

void heap::settle_one(const pending& p, epoch last) noexcept {
  if (p.block < 0) {
    pending_bytes_ -= p.where->count * granule_bytes;
    give_range(p.where, last);
  } else {
    pending_bytes_ -= class_bytes(p.where->index);
    give_block(p.where, static_cast<unsigned>(p.block), last);
  }
}

// --- regions ------------------------------------------------------------------------------------------------------

void heap::add_region(region* added, epoch last) noexcept {
  added->heap = owner_;
  added->granules_free = 0;
  regions_.push_front(added);
  held_ += added->granules * granule_bytes;
  range* whole = store_.take();
  whole->home = added;
  whole->first = 0;
  whole->count = added->granules;
  whole->last = last;
  insert_free(whole);
}

epoch heap::last_of(const region& empty) noexcept { return empty.table[0].load(std::memory_order_relaxed)->last; }

std::size_t heap::bytes_empty() const noexcept {
  std::size_t bytes = 0;
  for (const region* r = regions_.front(); r; r = r->next) bytes += r->is_empty() ? r->bytes : 0;
  return bytes;
}

heap::emptied heap::remove_empty(epoch last_max) noexcept {
  if (!empty_count_) return {};
  for (region* r = regions_.front(); r; r = r->next) {
    if (!r->is_empty() || last_of(*r) > last_max) continue;
    const epoch last = last_of(*r);
    range* whole = r->table[0].load(std::memory_order_relaxed);
    remove_free(whole);
    store_.give(whole);
    regions_.remove(r);
    held_ -= r->granules * granule_bytes;
    return {r, last};
  }
  return {};
}

// --- check --------------------------------------------------------------------------------------------------------

void heap::check_region(const region& r, std::vector<std::string>& broken) const {
  const auto say = [&](const char* what, std::uint32_t granule) {
    broken.push_back("heap " + std::to_string(owner_) + ", granule " + std::to_string(granule) + ": " + what);
  };
  if (r.heap != owner_) say("region of another heap", 0);
  std::uint32_t granules_free = 0;
  bool free_before = false;
  for (std::uint32_t g = 0; g < r.granules;) {
    const range* here = r.table[g].load(std::memory_order_relaxed);
    if (!here || here->home != &r || here->first != g || here->count == 0 || g + here->count > r.granules)
      return say("the ranges of a region do not tile it", g);
    const bool is_free = here->kind.load(std::memory_order_relaxed) == range_kind::free;
    if (is_free && free_before) say("two free ranges touch", g);
    if (is_free) granules_free += here->count;
    if (here->kind.load(std::memory_order_relaxed) == range_kind::slab && here->free_bits == bits_of(here->block_count))
      say("a slab that is wholly free was not dissolved", g);
    free_before = is_free;
    g += here->count;
  }
  if (granules_free != r.granules_free) say("granules_free is not the sum of free ranges", r.granules_free);
}

void heap::check(std::vector<std::string>& broken) const {
  std::size_t held = 0;
  unsigned empties = 0;
  for (const region* r = regions_.front(); r; r = r->next) {
    check_region(*r, broken);
    held += r->granules * granule_bytes;
    empties += r->is_empty();
  }
  if (held != held_) broken.push_back("heap " + std::to_string(owner_) + ": held is not the sum of its regions");
  if (empties != empty_count_) broken.push_back("heap " + std::to_string(owner_) + ": empty_count is wrong");
}

}  // namespace weir::core
