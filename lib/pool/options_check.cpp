// SPDX-License-Identifier: Apache-2.0
#include "pool/options_check.hpp"

#include <bit>

#include "base/bits.hpp"
#include "pool/text_values.hpp"
#include "weir/options_text.hpp"

namespace weir::detail {

namespace {

constexpr std::size_t first_region_bytes_least = 4 * base::mib;
constexpr std::size_t region_bytes_least = 32 * base::mib;
constexpr std::size_t region_bytes_max = 1024 * base::mib;

bool is_share(double value) noexcept { return value >= 0 && value <= 1; }  // not a number is none

result<void> check_share(const char* key, double value) {
  if (is_share(value)) return {};
  return bad_option(key, text_of_share(value), "a number from 0 to 1");
}

result<void> check_policy(const trim_policy& p) {
  const auto no = [&](const char* accepted) { return bad_option("trim", to_text(p), accepted, p.bytes); };
  switch (p.kind) {
    case trim_policy::rule::watermark:
      if (p.bytes > p.bytes_high) return no("a low mark at or below the high one");
      break;
    case trim_policy::rule::decay:
      if (p.time.count() <= 0) return no("a half life above 0");
      break;
    case trim_policy::rule::idle:
      if (p.time.count() <= 0) return no("a duration above 0");
      break;
    case trim_policy::rule::defragment_above:
      if (!is_share(p.ratio)) return no("a ratio from 0 to 1");
      break;
    case trim_policy::rule::on_pressure:
      if (p.bytes == 0) return no("more than 0 bytes: less than none is never free");
      break;
    case trim_policy::rule::retain:
    case trim_policy::rule::release_above: break;
    default: return no("a policy made by retain(), release_above() and so on");
  }
  return {};
}

result<void> check_limits(const pool_options& o) {
  if (o.soft_bytes_max <= o.bytes_max || o.soft_bytes_max == SIZE_MAX) return {};
  return bad_option("soft_bytes_max", text_of_limit(o.soft_bytes_max),
                    "at most bytes_max, " + text_of_limit(o.bytes_max), o.soft_bytes_max);
}

result<void> check_background(const pool_options& o) {
  if (o.background.count() < 0) return bad_option("background", text_of_time(o.background), "0 (none) or more");
  return {};
}

// A limit below one chunk would let nothing be allocated.
result<void> check_chunk(const char* key, std::size_t bytes, const backend_capabilities& c) {
  if (bytes >= c.chunk_bytes) return {};
  return bad_option(key, text_of_bytes(bytes), "at least one chunk of the native pool, " + text_of_bytes(c.chunk_bytes),
                    bytes);
}

result<void> check_policy(const trim_policy& p, const backend_capabilities& c) {
  if (p.kind == trim_policy::rule::on_pressure && p.bytes > c.device_bytes_total)
    return bad_option("trim", to_text(p), "at most the device's " + text_of_bytes(c.device_bytes_total), p.bytes);
  if (!c.can_trim && p.kind != trim_policy::rule::retain && p.kind != trim_policy::rule::defragment_above)
    return bad_option("trim", to_text(p), "retain or defragment_above: a pool with handle_types cannot be trimmed");
  return {};
}

}  // namespace

error bad_option(const char* key, const std::string& given, const std::string& accepted, std::size_t bytes) {
  return {.code = errc::invalid_argument,
          .bytes = bytes,
          .what = key,
          .detail = std::make_shared<const std::string>(given + "; accepted: " + accepted)};
}

result<void> check(const pool_options& o) {
  if (!std::has_single_bit(o.region_bytes) || o.region_bytes < region_bytes_least || o.region_bytes > region_bytes_max)
    return bad_option("region_bytes", text_of_bytes(o.region_bytes), "a power of two from 32 MiB to 1 GiB",
                      o.region_bytes);
  if (!std::has_single_bit(o.region_bytes_min) || o.region_bytes_min < first_region_bytes_least ||
      o.region_bytes_min > o.region_bytes)
    return bad_option("region_bytes_min", text_of_bytes(o.region_bytes_min),
                      "a power of two from 4 MiB to region_bytes, " + text_of_bytes(o.region_bytes),
                      o.region_bytes_min);
  if (auto good = check_share("big_cache_share", o.big_cache_share); !good) return good;
  if (auto good = check_share("big_cache_fit", o.big_cache_fit); !good) return good;
  if (auto good = check_share("slack", o.slack); !good) return good;
  if (auto good = check_limits(o); !good) return good;
  if (auto good = check_background(o); !good) return good;
  for (const trim_policy& p : o.trim)
    if (auto good = check_policy(p); !good) return good;
  return {};
}

result<void> check(const pool_options& o, const backend_capabilities& c) {
  if (auto good = check(o); !good) return good;
  if (auto good = check_chunk("bytes_max", o.bytes_max, c); !good) return good;
  if (auto good = check_chunk("soft_bytes_max", o.soft_bytes_max, c); !good) return good;
  for (const trim_policy& p : o.trim)
    if (auto good = check_policy(p, c); !good) return good;
  return {};
}

}  // namespace weir::detail
