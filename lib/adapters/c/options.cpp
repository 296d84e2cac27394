// SPDX-License-Identifier: Apache-2.0
//
// A C caller's options, as a pool has them.
#include "adapters/c/edge.hpp"
#include "weir/options_text.hpp"

namespace weir::c_edge {

namespace {

constexpr unsigned flags_known =
    WEIR_TRUST_HANDLES | WEIR_NO_CAPTURE_GUARD | WEIR_CHECKED | WEIR_BYPASS | WEIR_FROM_ENVIRONMENT;

void take_numbers(const weir_options& from, pool_options& to) {
  to.trust_handles = (from.flags & WEIR_TRUST_HANDLES) != 0;
  to.guard_capture = (from.flags & WEIR_NO_CAPTURE_GUARD) == 0;
  to.checked = (from.flags & WEIR_CHECKED) != 0;
  to.bypass = (from.flags & WEIR_BYPASS) != 0;
  to.handle_types = from.handle_types;
  if (from.bytes_max) to.bytes_max = from.bytes_max;
  if (from.soft_bytes_max) to.soft_bytes_max = from.soft_bytes_max;
}

void take_callbacks(const weir_options& from, pool_options& to) {
  if (from.on_out_of_memory) {
    to.on_out_of_memory = [ask = from.on_out_of_memory, context = from.context](std::size_t bytes, unsigned attempt,
                                                                                const memory_report& report) {
      const weir_memory_report said = to_c(report);
      return ask(context, bytes, attempt, &said) != 0;
    };
  }
  if (from.on_soft_limit) {
    to.on_soft_limit = [tell = from.on_soft_limit, context = from.context](std::size_t bytes, std::size_t limit) {
      tell(context, bytes, limit);
    };
  }
}

}  // namespace

weir_status read_options(const weir_options* options, pool_options& out) noexcept {
  weir_options given;
  if (const weir_status read = read_struct(options, given, "weir_options: struct_bytes"); read != WEIR_OK) return read;
  if (given.flags & ~flags_known) return fail({.code = errc::not_supported, .what = "weir_options: flags"});
  return guarded([&] {
    pool_options base;
    take_numbers(given, base);
    take_callbacks(given, base);
    if (given.text) {
      auto parsed = parse_pool_options(given.text, std::move(base));
      if (!parsed) return fail(std::move(parsed).error());
      base = std::move(*parsed);
    }
    if (given.flags & WEIR_FROM_ENVIRONMENT) {
      auto parsed = options_from_environment(std::move(base));
      if (!parsed) return fail(std::move(parsed).error());
      base = std::move(*parsed);
    }
    out = std::move(base);
    return WEIR_OK;
  });
}

}  // namespace weir::c_edge
