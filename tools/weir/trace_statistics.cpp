// SPDX-License-Identifier: Apache-2.0
#include "trace_statistics.hpp"

#include <algorithm>
#include <bit>

namespace weir::cli {

namespace {

// Bounds against hostile traces, far above what recordings hold.
constexpr std::size_t sizes_kept_max = std::size_t{1} << 22;
constexpr std::size_t numbers_kept_max = 65'536;

void keep(std::unordered_set<std::uint32_t>& numbers, std::uint32_t n) {
  if (numbers.size() < numbers_kept_max) numbers.insert(n);
}

bool is_allocation(trace::record_kind kind) {
  return kind == trace::record_kind::allocate || kind == trace::record_kind::live;
}

bool has_place(trace::record_kind kind) {
  return kind != trace::record_kind::fact && kind != trace::record_kind::site && kind != trace::record_kind::comment;
}

}  // namespace

void trace_statistics::add(const trace::record& r, const trace::observation& seen) {
  ++kinds_[static_cast<std::size_t>(r.kind)];
  if (has_place(r.kind)) {
    keep(threads_, r.thread);
    keep(devices_, r.device);
  }
  if (r.time_ns != 0) {
    if (last_ns_ == 0) first_ns_ = r.time_ns;
    first_ns_ = std::min(first_ns_, r.time_ns);
    last_ns_ = std::max(last_ns_, r.time_ns);
  }
  if (r.kind == trace::record_kind::stream_birth) streams_[r.stream].name = r.text;
  if (r.kind == trace::record_kind::lost) lost_ += r.count;
  if (is_allocation(r.kind)) add_allocation(r);
  if (r.kind == trace::record_kind::deallocate) add_free(r, seen);
}

void trace_statistics::add_allocation(const trace::record& r) {
  ++operations_;
  ++allocations_;
  bytes_total_ += r.bytes;
  bytes_min_ = std::min(bytes_min_, r.bytes);
  bytes_max_ = std::max(bytes_max_, r.bytes);
  size_statistics& bucket = sizes_[static_cast<std::size_t>(std::bit_width(r.bytes))];
  ++bucket.count;
  bucket.bytes += r.bytes;
  stream_statistics& stream = streams_[r.stream];
  ++stream.allocations;
  stream.bytes += r.bytes;
  if (seen_sizes_.contains(r.bytes))
    ++seen_before_;
  else if (!distinct_sizes_cut())
    seen_sizes_.insert(r.bytes);
}

void trace_statistics::add_free(const trace::record& r, const trace::observation& seen) {
  ++streams_[r.stream].frees;
  const std::uint64_t now = operations_++;
  if (seen.slot == trace::observation::no_slot) return;
  lifetimes_.add(now - seen.block.born);
  if (seen.block.stream != r.stream) ++frees_elsewhere_;
}

bool trace_statistics::distinct_sizes_cut() const noexcept { return seen_sizes_.size() == sizes_kept_max; }

double trace_statistics::seen_before_share() const noexcept {
  return allocations_ == 0 ? 0 : static_cast<double>(seen_before_) / static_cast<double>(allocations_);
}

}  // namespace weir::cli
