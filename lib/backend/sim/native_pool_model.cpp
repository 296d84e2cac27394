// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/native_pool_model.hpp"

#include <algorithm>
#include <bit>
#include <iterator>
#include <utility>
#include <vector>

namespace weir::sim {
namespace {

std::uint64_t align_up(std::uint64_t n, std::uint64_t alignment) { return (n + alignment - 1) & ~(alignment - 1); }
std::uint64_t align_down(std::uint64_t n, std::uint64_t alignment) { return n & ~(alignment - 1); }

// Bytes of [begin, end) that are whole chunks outside [keep_begin, keep_end); `take(first, last)` is told of each run.
template <class Take>
void for_whole_chunks(std::uint64_t begin, std::uint64_t end, std::uint64_t keep_begin, std::uint64_t keep_end,
                      std::uint64_t chunk, Take take) {
  const auto whole = [&](std::uint64_t b, std::uint64_t e) {
    b = align_up(b, chunk);
    e = align_down(e, chunk);
    if (b < e) take(b, e);
  };
  if (keep_end <= begin || end <= keep_begin) return whole(begin, end);
  if (begin < keep_begin) whole(begin, keep_begin);
  if (keep_end < end) whole(keep_end, end);
}

}  // namespace

native_pool_model::native_pool_model(const config& c) : config_(c) { gaps_.emplace(c.address_begin, c.address_end); }

native_pool_model::request native_pool_model::rounded(std::uint64_t bytes, const taker& who) const {
  const std::uint64_t whole = align_up(bytes, config_.granularity);
  const bool aligned = std::has_single_bit(whole) && whole <= config_.chunk_bytes;
  return {whole, aligned ? whole : config_.granularity, &who};
}

std::optional<native_pool_model::allocation> native_pool_model::allocate(std::uint64_t bytes, const taker& who,
                                                                         std::uint64_t now_ns,
                                                                         std::uint64_t device_free) {
  if (bytes > config_.address_end - config_.address_begin) return std::nullopt;
  const request r = rounded(bytes, who);
  free_.settle(now_ns);
  if (const auto address = free_.best_fit(r.bytes, r.alignment, who)) return take(*address, r);
  if (const auto hole = best_hole(r))
    if (const auto filled = fill(*hole, r, device_free)) return filled;
  if (const auto pending = free_.best_fit_pending(r.bytes, r.alignment)) {
    allocation late = take(pending->first, r);
    late.wait_for = pending->second;
    return late;
  }
  return std::nullopt;
}

native_pool_model::allocation native_pool_model::take(std::uint64_t address, const request& r) {
  free_.remove(address, address + r.bytes);
  live_.emplace(address, r.bytes);
  used_ += r.bytes;
  return {address, 0, 0, {}};
}

bool native_pool_model::deallocate(std::uint64_t address, const free_point& point, std::uint64_t now_ns) {
  const auto it = live_.find(address);
  if (it == live_.end()) return false;
  used_ -= it->second;
  free_.insert(address, address + it->second, point.complete_at_ns <= now_ns ? free_point{} : point);
  live_.erase(it);
  return true;
}

std::uint64_t native_pool_model::bytes_of(std::uint64_t address) const {
  const auto it = live_.find(address);
  return it == live_.end() ? 0 : it->second;
}

// Placements worth a look begin where the free range before a gap begins, or end where the one after it ends.
std::optional<native_pool_model::placement> native_pool_model::best_hole(const request& r) const {
  std::optional<placement> best;
  const auto consider = [&](std::uint64_t begin) {
    const std::uint64_t most = best ? best->lacking - 1 : ~std::uint64_t{0};
    if (const auto lacks = lacking(begin, r, most)) best = placement{begin, *lacks};
  };
  for (const auto& [gap_begin, gap_end] : gaps_) {
    const auto* before = free_.ending_at(gap_begin);
    const bool edge = before && r.who->may_use(before->second.point);
    consider(align_up(edge ? before->first : gap_begin, r.alignment));
    const auto* after = free_.beginning_at(gap_end);
    if (!after || !r.who->may_use(after->second.point) || after->second.end < config_.address_begin + r.bytes) continue;
    consider(align_down(after->second.end - r.bytes, r.alignment));
  }
  return best;
}

// Chunks to map for [begin, begin + bytes), or nothing where a live byte or more than `most` chunks are in the way.
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
    } else if (range != free_.by_address().end() && range->first <= at && r.who->may_use(range->second.point)) {
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

std::uint64_t native_pool_model::stealable(std::uint64_t keep_begin, std::uint64_t keep_end,
                                           std::uint64_t most) const {
  std::uint64_t chunks = 0;
  const auto& sizes = free_.complete();
  for (auto it = sizes.lower_bound({config_.chunk_bytes, 0}); it != sizes.end() && chunks < most; ++it)
    for_whole_chunks(it->second, it->second + it->first, keep_begin, keep_end, config_.chunk_bytes,
                     [&](std::uint64_t b, std::uint64_t e) { chunks += (e - b) / config_.chunk_bytes; });
  return std::min(chunks, most);
}

// Unmaps up to `chunks` whole free chunks outside [keep_begin, keep_end), from the smallest ranges first.
std::uint64_t native_pool_model::steal(std::uint64_t chunks, std::uint64_t keep_begin, std::uint64_t keep_end) {
  std::uint64_t taken = 0;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> runs;
  const auto& sizes = free_.complete();
  for (auto it = sizes.lower_bound({config_.chunk_bytes, 0}); it != sizes.end() && taken < chunks; ++it)
    for_whole_chunks(it->second, it->second + it->first, keep_begin, keep_end, config_.chunk_bytes,
                     [&](std::uint64_t b, std::uint64_t e) {
                       const std::uint64_t n = std::min((e - b) / config_.chunk_bytes, chunks - taken);
                       if (n > 0) runs.emplace_back(e - n * config_.chunk_bytes, e);
                       taken += n;
                     });
  for (const auto& [b, e] : runs) unmap(b, e);
  return taken;
}

std::optional<native_pool_model::allocation> native_pool_model::fill(const placement& hole, const request& r,
                                                                     std::uint64_t device_free) {
  const std::uint64_t begin = hole.begin;
  const std::uint64_t end = begin + r.bytes;
  const std::uint64_t found = stealable(begin, end, hole.lacking);
  const std::uint64_t grown = hole.lacking - found;
  if (grown * config_.chunk_bytes > growth_limit(device_free)) return std::nullopt;
  steal(found, begin, end);
  map_gaps(begin, end);
  reserved_high_ = std::max(reserved_high_, reserved_);
  allocation made = take(begin, r);
  made.chunks_remapped = found;
  made.chunks_grown = grown;
  return made;
}

void native_pool_model::map_gaps(std::uint64_t begin, std::uint64_t end) {
  auto gap = gaps_.upper_bound(begin);
  if (gap != gaps_.begin() && std::prev(gap)->second > begin) --gap;
  while (gap != gaps_.end() && gap->first < end) {
    const auto [b, e] = *gap++;
    map(std::max(b, align_down(begin, config_.chunk_bytes)), std::min(e, align_up(end, config_.chunk_bytes)));
  }
}

// [begin, end) are chunks inside one gap.
void native_pool_model::map(std::uint64_t begin, std::uint64_t end) {
  const auto gap = std::prev(gaps_.upper_bound(begin));
  const auto [gap_begin, gap_end] = *gap;
  gaps_.erase(gap);
  if (gap_begin < begin) gaps_.emplace(gap_begin, begin);
  if (end < gap_end) gaps_.emplace(end, gap_end);
  free_.insert(begin, end, {});
  reserved_ += end - begin;
}

// [begin, end) are whole free chunks of one range.
void native_pool_model::unmap(std::uint64_t begin, std::uint64_t end) {
  free_.remove(begin, end);
  reserved_ -= end - begin;
  auto next = gaps_.lower_bound(begin);
  if (next != gaps_.end() && next->first == end) {
    end = next->second;
    next = gaps_.erase(next);
  }
  if (next != gaps_.begin() && std::prev(next)->second == begin) {
    std::prev(next)->second = end;
    return;
  }
  gaps_.emplace(begin, end);
}

std::uint64_t native_pool_model::trim(std::uint64_t bytes_to_keep, std::uint64_t now_ns) {
  free_.settle(now_ns);
  if (reserved_ <= bytes_to_keep) return 0;
  const std::uint64_t before = reserved_;
  steal((reserved_ - bytes_to_keep) / config_.chunk_bytes, 0, 0);
  return before - reserved_;
}

std::uint64_t native_pool_model::available(std::uint64_t device_free) const {
  return growth_limit(device_free) + stealable(0, 0, ~std::uint64_t{0}) * config_.chunk_bytes;
}

}  // namespace weir::sim
