// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/native_pool_model.hpp"

#include <algorithm>
#include <iterator>

namespace weir::sim {
namespace {

std::uint64_t align_up(std::uint64_t n, std::uint64_t alignment) { return (n + alignment - 1) & ~(alignment - 1); }
std::uint64_t align_down(std::uint64_t n, std::uint64_t alignment) { return n & ~(alignment - 1); }

// A gap is taken where it has room for this many such requests, else any that will do: new address space is cheap, and
// filling the small gaps first would remap far fewer chunks than were measured.
constexpr std::uint64_t roomy = 4;

}  // namespace

native_pool_model::native_pool_model(const config& c) : config_(c), free_(c.chunk_bytes) {
  gaps_.emplace(c.address_begin, c.address_end);
}

range_owner native_pool_model::owner_of(stream_slot stream, std::uint64_t rounded_bytes) {
  return std::uint64_t{stream} * 2 + (rounded_bytes <= small_bytes_max ? 1 : 0);
}

native_pool_model::request native_pool_model::rounded(std::uint64_t bytes, const taker& who) const {
  const std::uint64_t whole = align_up(bytes, config_.granularity);
  return {whole, owner_of(who.stream, whole), who};
}

std::optional<native_pool_model::allocation> native_pool_model::allocate(std::uint64_t bytes, const taker& who,
                                                                         std::uint64_t now_ns,
                                                                         std::uint64_t device_free) {
  if (bytes > config_.address_end - config_.address_begin) return std::nullopt;
  const request r = rounded(bytes, who);
  settle(now_ns);
  if (const auto address = free_.best_fit(r.bytes, r.owner)) return take(*address, r);
  if (const auto taken = take_over(r)) return taken;
  if (const auto filled = fill_hole(r, device_free)) return filled;
  return take_late(r);
}

native_pool_model::allocation native_pool_model::take(std::uint64_t address, const request& r) {
  free_.remove(address, address + r.bytes);
  unfinished_.remove(address, address + r.bytes);
  frees_.remove(address, address + r.bytes);
  live_.emplace(address, r.bytes);
  used_ += r.bytes;
  return {address, 0, 0, {}};
}

// Whole free chunks of another owner, from the smallest range that has enough; what is left of the last one changes
// its owner with the rest.
std::optional<native_pool_model::allocation> native_pool_model::take_over(const request& r) {
  const auto& sizes = free_.large();
  for (auto it = sizes.lower_bound({r.bytes, 0}); it != sizes.end(); ++it) {
    const std::uint64_t begin = align_up(it->second, config_.chunk_bytes);
    const std::uint64_t end = begin + align_up(r.bytes, config_.chunk_bytes);
    if (end > it->second + it->first || !unfinished_.all_before(r.who, begin, end)) continue;
    free_.remove(begin, end);
    free_.insert(begin, end, r.owner);
    return take(begin, r);
  }
  return std::nullopt;
}

std::optional<native_pool_model::allocation> native_pool_model::fill_hole(const request& r, std::uint64_t device_free) {
  auto hole = best_hole(r, r.bytes * roomy);
  if (!hole) hole = best_hole(r, 0);
  if (!hole) return std::nullopt;
  const run place{hole->begin, hole->begin + r.bytes};
  const std::vector<run> spare = spare_chunks(place, hole->lacking);
  const std::uint64_t remapped = chunks_in(spare);
  const std::uint64_t grown = hole->lacking - remapped;
  if (grown * config_.chunk_bytes > growth_limit(device_free)) return std::nullopt;
  for (const run& chunks : spare) unmap(chunks);
  map_gaps(place.begin, place.end, r.owner);
  reserved_high_ = std::max(reserved_high_, reserved_);
  allocation made = take(place.begin, r);
  made.chunks_remapped = remapped;
  made.chunks_grown = grown;
  return made;
}

std::optional<native_pool_model::allocation> native_pool_model::take_late(const request& r) {
  const auto address = free_.best_fit_of_all(r.bytes);
  if (!address) return std::nullopt;
  const free_point last = unfinished_.last_in(*address, *address + r.bytes);
  allocation made = take(*address, r);
  made.wait_for = last;
  return made;
}

bool native_pool_model::deallocate(std::uint64_t address, const free_point& point, std::uint64_t now_ns) {
  const auto it = live_.find(address);
  if (it == live_.end()) return false;
  const std::uint64_t bytes = it->second;
  used_ -= bytes;
  live_.erase(it);
  free_.insert(address, address + bytes, owner_of(point.stream, bytes));
  frees_.insert(address, address + bytes, point);
  if (point.complete_at_ns > now_ns)
    unfinished_.insert(address, address + bytes, point);
  else
    disown(address, address + bytes);
  return true;
}

void native_pool_model::settle(std::uint64_t now_ns) {
  for (const auto& [begin, end] : unfinished_.settle(now_ns)) disown(begin, end);
}

// [begin, end) has become free and complete. Where that makes a chunk free and complete to its ends, it does not matter
// any more whose its parts were. Only the first and the last chunk can have parts of others.
void native_pool_model::disown(std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t first = align_down(begin, config_.chunk_bytes), last = align_down(end - 1, config_.chunk_bytes);
  unite(first);
  if (last != first) unite(last);
}

void native_pool_model::unite(std::uint64_t chunk) {
  const std::uint64_t end = chunk + config_.chunk_bytes;
  auto it = free_.by_address().upper_bound(chunk);
  if (it == free_.by_address().begin()) return;
  --it;
  if (it->second.end >= end) return;  // one owner's already, or none's
  const range_owner owner = it->second.owner;
  for (std::uint64_t at = chunk; at < end; at = it++->second.end)
    if (it == free_.by_address().end() || it->first > at || it->second.end <= at) return;
  if (unfinished_.any_in(chunk, end)) return;
  free_.remove(chunk, end);
  free_.insert(chunk, end, owner);
}

std::uint64_t native_pool_model::bytes_of(std::uint64_t address) const {
  const auto it = live_.find(address);
  return it == live_.end() ? 0 : it->second;
}

// Placements worth a look begin where the free range before a gap begins, or end where the one after it ends.
std::optional<native_pool_model::placement> native_pool_model::best_hole(const request& r,
                                                                         std::uint64_t gap_bytes_min) const {
  std::optional<placement> best;
  const auto consider = [&](std::uint64_t begin) {
    const std::uint64_t most = best ? best->lacking - 1 : ~std::uint64_t{0};
    if (const auto lacks = lacking(begin, r, most)) best = placement{begin, *lacks};
  };
  for (const auto& [gap_begin, gap_end] : gaps_) {
    if (gap_end - gap_begin < gap_bytes_min) continue;
    const auto* before = free_.ending_at(gap_begin);
    const bool edge = before && before->second.owner == r.owner;
    consider(edge ? before->first : gap_begin);
    const auto* after = free_.beginning_at(gap_end);
    if (after && after->second.owner == r.owner && after->second.end >= config_.address_begin + r.bytes)
      consider(after->second.end - r.bytes);
  }
  return best;
}

// Chunks to map for [begin, begin + bytes), or nothing where something else or more than `most` chunks is in the way.
std::optional<std::uint64_t> native_pool_model::lacking(std::uint64_t begin, const request& r,
                                                        std::uint64_t most) const {
  const std::uint64_t end = begin + r.bytes;
  if (begin < config_.address_begin || end > config_.address_end) return std::nullopt;
  std::uint64_t chunks = 0;
  auto gap = gaps_.upper_bound(begin);
  if (gap != gaps_.begin() && std::prev(gap)->second > begin) --gap;
  auto range = free_.by_address().upper_bound(begin);
  if (range != free_.by_address().begin() && std::prev(range)->second.end > begin) --range;
  for (std::uint64_t at = begin; at < end;) {
    if (gap != gaps_.end() && gap->first <= at) {
      const std::uint64_t until = std::min(gap->second, align_up(end, config_.chunk_bytes));
      chunks += (until - align_down(at, config_.chunk_bytes)) / config_.chunk_bytes;
      if (chunks > most) return std::nullopt;
      at = gap++->second;
    } else if (range != free_.by_address().end() && range->first <= at && range->second.owner == r.owner) {
      at = range++->second.end;
    } else {
      return std::nullopt;
    }
  }
  return chunks;
}

std::uint64_t native_pool_model::growth_limit(std::uint64_t device_free) const {
  const std::uint64_t room = config_.reserved_max > reserved_ ? config_.reserved_max - reserved_ : 0;
  return align_down(std::min(room, device_free), config_.chunk_bytes);
}

// From the smallest ranges first, and from their ends.
std::vector<native_pool_model::run> native_pool_model::spare_chunks(const run& keep, std::uint64_t most,
                                                                    const vector_clock* seen) const {
  const std::uint64_t chunk = config_.chunk_bytes;
  std::vector<run> spare;
  const auto& sizes = free_.large();
  for (auto it = sizes.begin(); it != sizes.end() && most > 0; ++it) {
    const std::uint64_t first = align_up(it->second, chunk);
    for (std::uint64_t end = align_down(it->second + it->first, chunk); end > first && most > 0; end -= chunk) {
      const std::uint64_t begin = end - chunk;
      if ((begin < keep.end && keep.begin < end) || unfinished_.any_in(begin, end)) continue;
      if (seen && !frees_.all_before({0, seen}, begin, end)) continue;
      --most;
      if (!spare.empty() && spare.back().begin == end)
        spare.back().begin = begin;
      else
        spare.push_back({begin, end});
    }
  }
  return spare;
}

std::uint64_t native_pool_model::chunks_in(const std::vector<run>& runs) const {
  std::uint64_t bytes = 0;
  for (const run& r : runs) bytes += r.end - r.begin;
  return bytes / config_.chunk_bytes;
}

void native_pool_model::map_gaps(std::uint64_t begin, std::uint64_t end, range_owner owner) {
  auto gap = gaps_.upper_bound(begin);
  if (gap != gaps_.begin() && std::prev(gap)->second > begin) --gap;
  while (gap != gaps_.end() && gap->first < end) {
    const auto [b, e] = *gap++;
    map(std::max(b, align_down(begin, config_.chunk_bytes)), std::min(e, align_up(end, config_.chunk_bytes)), owner);
  }
}

// [begin, end) are chunks inside one gap.
void native_pool_model::map(std::uint64_t begin, std::uint64_t end, range_owner owner) {
  const auto gap = std::prev(gaps_.upper_bound(begin));
  const auto [gap_begin, gap_end] = *gap;
  gaps_.erase(gap);
  if (gap_begin < begin) gaps_.emplace(gap_begin, begin);
  if (end < gap_end) gaps_.emplace(end, gap_end);
  free_.insert(begin, end, owner);
  reserved_ += end - begin;
}

void native_pool_model::unmap(const run& chunks) {
  free_.remove(chunks.begin, chunks.end);
  frees_.remove(chunks.begin, chunks.end);
  reserved_ -= chunks.end - chunks.begin;
  std::uint64_t end = chunks.end;
  auto next = gaps_.lower_bound(chunks.begin);
  if (next != gaps_.end() && next->first == end) {
    end = next->second;
    next = gaps_.erase(next);
  }
  if (next != gaps_.begin() && std::prev(next)->second == chunks.begin)
    std::prev(next)->second = end;
  else
    gaps_.emplace(chunks.begin, end);
}

std::uint64_t native_pool_model::trim(std::uint64_t bytes_to_keep, const vector_clock& seen, std::uint64_t now_ns) {
  settle(now_ns);
  if (reserved_ <= bytes_to_keep) return 0;
  const std::uint64_t before = reserved_;
  for (const run& chunks : spare_chunks({}, (reserved_ - bytes_to_keep) / config_.chunk_bytes, &seen)) unmap(chunks);
  return before - reserved_;
}

std::uint64_t native_pool_model::available(std::uint64_t device_free) const {
  return growth_limit(device_free) + chunks_in(spare_chunks({}, ~std::uint64_t{0})) * config_.chunk_bytes;
}

}  // namespace weir::sim
