// SPDX-License-Identifier: Apache-2.0
//
// Looking at a pool and tidying it up, in C.
#include "adapters/c/edge.hpp"

namespace weir::c_edge {

namespace {

weir_statistics in_c(const weir::statistics& from) noexcept {
  weir_statistics to{};
  to.allocated = from.allocated;
  to.free = from.free;
  to.held = from.held;
  to.reserved = from.reserved;
  to.direct = from.direct;
  to.cached = from.cached;
  to.cached_large = from.cached_large;
  to.pending = from.pending;
  to.largest_free = from.largest_free;
  to.fragmentation = from.fragmentation;
  to.allocated_peak = from.allocated_peak;
  to.held_peak = from.held_peak;
  to.reserved_peak = from.reserved_peak;
  to.allocations = from.allocations;
  to.deallocations = from.deallocations;
  to.failures = from.failures;
  to.live_count = from.live_count;
  to.served_cache = from.served.cache;
  to.served_heap = from.served.heap;
  to.served_big_cache = from.served.big_cache;
  to.served_other_passed = from.served.other_passed;
  to.served_native = from.served.native;
  to.served_other_waited = from.served.other_waited;
  to.served_direct = from.served.direct;
  to.native_allocate = from.native.allocate;
  to.native_deallocate = from.native.deallocate;
  to.native_grow = from.native.grow;
  to.native_trim = from.native.trim;
  to.native_record = from.native.record;
  to.native_query = from.native.query;
  to.native_wait = from.native.wait;
  to.native_synchronize = from.native.synchronize;
  to.waits_inserted = from.waits_inserted;
  to.waits_fresh = from.waits_fresh;
  to.splits = from.splits;
  to.merges = from.merges;
  to.pressure_events = from.pressure_events;
  to.stream_count = from.streams.size();
  to.cached_rate = from.cached_rate();
  to.hit_rate = from.hit_rate();
  to.pinned = from.pinned;
  return to;
}

weir_trim_report in_c(const trim_report& from) noexcept {
  return {.struct_bytes = 0,
          .reserved_before = from.reserved_before,
          .reserved_after = from.reserved_after,
          .kept_live = from.kept_live,
          .kept_pending = from.kept_pending,
          .kept_partial = from.kept_partial,
          .kept_free = from.kept_free};
}

weir_defragment_report in_c(const defragment_report& from) noexcept {
  return {.struct_bytes = 0,
          .fragmentation_before = from.fragmentation_before,
          .fragmentation_after = from.fragmentation_after,
          .largest_free_before = from.largest_free_before,
          .largest_free_after = from.largest_free_after,
          .merged = from.merged,
          .gathered = from.gathered};
}

weir_block in_c(const block_info& from) noexcept {
  return {.struct_bytes = sizeof(weir_block),
          .pointer = from.pointer,
          .bytes = from.bytes,
          .state = static_cast<weir_block_state>(from.state),
          .is_direct = from.direct,
          .stream_id = from.stream_id};
}
static_assert(static_cast<int>(block_state::live) == WEIR_BLOCK_LIVE);
static_assert(static_cast<int>(block_state::cached) == WEIR_BLOCK_CACHED);
static_assert(static_cast<int>(block_state::free) == WEIR_BLOCK_FREE);
static_assert(static_cast<int>(block_state::pending) == WEIR_BLOCK_PENDING);

// A report the caller may do without. One with a bad size is refused before anything is done.
template <class Struct, class Act>
weir_status reporting(const weir_pool* pool, Struct* report, const char* what, Act act) noexcept {
  if (report && report->struct_bytes < sizeof(std::size_t)) return invalid(what);
  return on_pool(pool, [&](weir::pool& own) {
    auto done = act(own);
    if (!done) return fail(std::move(done).error());
    return report ? write_struct(in_c(*done), report, what) : WEIR_OK;
  });
}

}  // namespace

}  // namespace weir::c_edge

using weir::c_edge::answer;
using weir::c_edge::guarded;
using weir::c_edge::in_c;
using weir::c_edge::invalid;
using weir::c_edge::on_pool;
using weir::c_edge::reporting;
using weir::c_edge::write_struct;

weir_status weir_get_statistics(const weir_pool* pool, weir_statistics* statistics) {
  if (!statistics) return invalid("weir_get_statistics: no structure");
  return on_pool(pool, [&](const weir::pool& own) {
    return guarded([&] { return write_struct(in_c(own.statistics()), statistics, "weir_statistics: struct_bytes"); });
  });
}

weir_status weir_trim(weir_pool* pool, size_t bytes_to_keep, weir_trim_report* report) {
  return reporting(pool, report, "weir_trim_report: struct_bytes",
                   [&](weir::pool& own) { return own.trim(bytes_to_keep); });
}

weir_status weir_synchronize_and_trim(weir_pool* pool, size_t bytes_to_keep, weir_trim_report* report) {
  return reporting(pool, report, "weir_trim_report: struct_bytes",
                   [&](weir::pool& own) { return own.synchronize_and_trim(bytes_to_keep); });
}

weir_status weir_trim_by_policy(weir_pool* pool, weir_trim_report* report) {
  return reporting(pool, report, "weir_trim_report: struct_bytes", [](weir::pool& own) { return own.trim(); });
}

weir_status weir_defragment(weir_pool* pool, weir_defragment_report* report) {
  return reporting(pool, report, "weir_defragment_report: struct_bytes",
                   [](weir::pool& own) { return own.defragment(); });
}

weir_status weir_set_bytes_max(weir_pool* pool, size_t bytes) {
  return on_pool(pool, [&](weir::pool& own) { return answer(own.set_bytes_max(bytes)); });
}

weir_status weir_walk(const weir_pool* pool, void (*visit)(void* context, const weir_block* block), void* context) {
  if (!visit) return invalid("weir_walk: nobody to tell");
  return on_pool(pool, [&](const weir::pool& own) {
    return guarded([&] {
      own.walk([&](const weir::block_info& info) {
        const weir_block block = in_c(info);
        visit(context, &block);
      });
      return WEIR_OK;
    });
  });
}
