// SPDX-License-Identifier: Apache-2.0
//
// Statuses, and what the calling thread's last failure was.
#include <array>
#include <string>

#include "adapters/c/edge.hpp"
#include "weir/memory_report.hpp"
#include "weir/version.hpp"

namespace weir::c_edge {

namespace {

struct status_entry {
  weir_status status;
  errc code;
  const char* name;
};

#define WEIR_C_STATUS(NAME, CODE) \
  status_entry { WEIR_##NAME, errc::CODE, "WEIR_" #NAME }

constexpr std::array statuses{WEIR_C_STATUS(OK, ok),
                              WEIR_C_STATUS(OUT_OF_MEMORY, out_of_memory),
                              WEIR_C_STATUS(NO_CUDA_DEVICE, no_cuda_device),
                              WEIR_C_STATUS(BUILT_WITHOUT_CUDA, built_without_cuda),
                              WEIR_C_STATUS(NO_SUCH_DEVICE, no_such_device),
                              WEIR_C_STATUS(DEVICE_LOST, device_lost),
                              WEIR_C_STATUS(DRIVER_UNLOADING, driver_unloading),
                              WEIR_C_STATUS(CUDA, cuda),
                              WEIR_C_STATUS(NOT_SUPPORTED, not_supported),
                              WEIR_C_STATUS(STREAM_CAPTURING, stream_capturing),
                              WEIR_C_STATUS(INVALID_ARGUMENT, invalid_argument),
                              WEIR_C_STATUS(INVALID_ALIGNMENT, invalid_alignment),
                              WEIR_C_STATUS(INVALID_SIZE, invalid_size),
                              WEIR_C_STATUS(NULL_POOL, null_pool),
                              WEIR_C_STATUS(FOREIGN_POINTER, foreign_pointer),
                              WEIR_C_STATUS(DOUBLE_FREE, double_free),
                              WEIR_C_STATUS(SIZE_MISMATCH, size_mismatch),
                              WEIR_C_STATUS(WRONG_DEVICE, wrong_device),
                              WEIR_C_STATUS(STREAM_RETIRED, stream_retired),
                              WEIR_C_STATUS(STREAM_UNSUPPORTED, stream_unsupported),
                              WEIR_C_STATUS(LIMIT_BELOW_LIVE, limit_below_live),
                              WEIR_C_STATUS(FORKED, forked),
                              WEIR_C_STATUS(INTERNAL, internal)};

#undef WEIR_C_STATUS

// Each code has its status: a code that is new here does not compile.
static_assert(statuses.size() == static_cast<std::size_t>(errc::internal) + 1);

const status_entry* entry_of(int status) noexcept {
  const auto* const it =
      std::ranges::find_if(statuses, [&](const status_entry& each) { return int{each.status} == status; });
  return it == statuses.end() ? nullptr : it;
}

// The text is made when it is asked for: an allocation that fails and is tried again costs none.
struct last_failure {
  weir_status status = WEIR_OK;
  error why{.code = errc::ok};
  std::string text{};
  bool has_text = false;
};

last_failure& last() noexcept {
  static thread_local last_failure mine;
  return mine;
}

std::string text_of(const last_failure& failure) {
  if (failure.status == WEIR_OK) return "";
  if (failure.status != WEIR_BLOCKS_LIVE) return failure.why.message();
  return std::string(weir_status_text(failure.status)) + ": " + std::to_string(failure.why.bytes) + " bytes in " +
         std::to_string(failure.why.limit) + " blocks; free them, or call weir_pool_destroy_with_blocks";
}

}  // namespace

weir_status to_status(errc code) noexcept {
  const auto* const it = std::ranges::find(statuses, code, &status_entry::code);
  return it == statuses.end() ? WEIR_INTERNAL : it->status;
}

weir_status fail(error why) noexcept {
  const weir_status status = to_status(why.code);
  return fail_as(status, std::move(why));
}

weir_status fail_as(weir_status status, error why) noexcept {
  last_failure& mine = last();
  mine.status = status;
  mine.why = std::move(why);
  mine.has_text = false;
  return status;
}

weir_memory_report to_c(const memory_report& report) noexcept {
  return {.struct_bytes = sizeof(weir_memory_report),
          .requested = report.requested,
          .live = report.live,
          .direct = report.direct,
          .held = report.held,
          .cached = report.cached,
          .pending = report.pending,
          .too_small = report.too_small,
          .other_stream = report.other_stream,
          .largest_free = report.largest_free,
          .reserved = report.reserved,
          .bytes_max = report.bytes_max,
          .device_free = report.device_free,
          .device_total = report.device_total,
          .attempts = report.attempts};
}

}  // namespace weir::c_edge

using weir::c_edge::entry_of;
using weir::c_edge::invalid;
using weir::c_edge::last;
using weir::c_edge::last_failure;
using weir::c_edge::status_entry;
using weir::c_edge::text_of;
using weir::c_edge::to_c;
using weir::c_edge::write_struct;

const char* weir_status_name(int status) {
  if (status == WEIR_BLOCKS_LIVE) return "WEIR_BLOCKS_LIVE";
  const status_entry* entry = entry_of(status);
  return entry ? entry->name : "unknown status";
}

const char* weir_status_text(int status) {
  if (status == WEIR_BLOCKS_LIVE) return "blocks of the pool are live";
  const status_entry* entry = entry_of(status);
  return entry ? to_string(entry->code) : "unknown status";
}

const char* weir_version(void) { return weir::version(); }

const char* weir_last_error_text(void) {
  last_failure& mine = last();
  try {
    if (!mine.has_text) mine.text = text_of(mine);
    mine.has_text = true;
  } catch (...) {
    return weir_status_text(mine.status);
  }
  return mine.text.c_str();
}

weir_status weir_last_error(weir_error* error) {
  if (!error) return invalid("weir_last_error: no structure");
  const last_failure& mine = last();
  weir_error out{};
  out.status = mine.status;
  out.native_code = mine.why.native_code;
  out.bytes = mine.why.bytes;
  out.limit = mine.why.limit;
  out.has_report = mine.why.report != nullptr;
  return write_struct(out, error, "weir_error: struct_bytes");
}

weir_status weir_last_memory_report(weir_memory_report* report) {
  if (!report) return invalid("weir_last_memory_report: no structure");
  const last_failure& mine = last();
  const weir_memory_report out = mine.why.report ? to_c(*mine.why.report) : weir_memory_report{};
  return write_struct(out, report, "weir_memory_report: struct_bytes");
}
