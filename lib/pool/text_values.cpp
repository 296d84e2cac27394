// SPDX-License-Identifier: Apache-2.0
#include "pool/text_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

namespace weir::detail {

namespace {

struct unit {
  std::string_view name;
  std::uint64_t worth;
};

constexpr std::array byte_units{unit{"B", 1}, unit{"KiB", std::uint64_t{1} << 10}, unit{"MiB", std::uint64_t{1} << 20},
                                unit{"GiB", std::uint64_t{1} << 30}, unit{"TiB", std::uint64_t{1} << 40}};
constexpr std::array time_units{unit{"ns", 1},
                                unit{"us", 1000},
                                unit{"ms", 1'000'000},
                                unit{"s", 1'000'000'000},
                                unit{"min", 60'000'000'000},
                                unit{"h", 3'600'000'000'000}};

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

bool is_same(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

// "K", "KB" and "KiB" are one unit here, as on the command line.
std::optional<std::uint64_t> byte_unit(std::string_view name) noexcept {
  if (name.empty()) return 1;
  for (const unit& u : byte_units)
    if (is_same(name, u.name) ||
        (u.worth > 1 && (is_same(name, u.name.substr(0, 1)) ||
                         (name.size() == 2 && lower(name[0]) == lower(u.name[0]) && lower(name[1]) == 'b'))))
      return u.worth;
  return std::nullopt;
}

std::optional<std::uint64_t> time_unit(std::string_view name) noexcept {
  if (is_same(name, "\xC2\xB5s")) return 1000;  // µs
  const auto at =
      std::find_if(time_units.begin(), time_units.end(), [&](const unit& u) { return is_same(name, u.name); });
  if (at == time_units.end()) return std::nullopt;
  return at->worth;
}

// A number of digits with at most one point, and what follows it.
struct quantity {
  std::string_view whole, part, rest;
};

std::optional<quantity> split(std::string_view text) noexcept {
  text = without_blanks(text);
  const auto digits = [&] {
    const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
    const auto taken = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(taken.size());
    return taken;
  };
  quantity q;
  q.whole = digits();
  if (q.whole.empty()) return std::nullopt;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    q.part = digits();
    if (q.part.empty()) return std::nullopt;
  }
  q.rest = without_blanks(text);
  return q;
}

// whole.part times worth, where that is a whole number that fits.
std::optional<std::uint64_t> product(const quantity& q, std::uint64_t worth) noexcept {
  const auto number = [](std::string_view digits, std::uint64_t& value) {
    return std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc();
  };
  std::uint64_t whole = 0, part = 0, scale = 1;
  if (!number(q.whole, whole) || whole > UINT64_MAX / worth) return std::nullopt;
  std::string_view digits = q.part;
  while (digits.ends_with('0')) digits.remove_suffix(1);
  if (digits.size() > 18) return std::nullopt;
  for (std::size_t i = 0; i < digits.size(); ++i) scale *= 10;
  if (!digits.empty() && !number(digits, part)) return std::nullopt;
  // part * worth / scale, without the product.
  const std::uint64_t common = std::gcd(worth, scale);
  if (part % (scale / common) != 0) return std::nullopt;
  const std::uint64_t of_part = part / (scale / common) * (worth / common);
  if (of_part > UINT64_MAX - whole * worth) return std::nullopt;
  return whole * worth + of_part;
}

template <class Units>
std::string in_largest(std::uint64_t value, const Units& units) {
  const unit* best = &units[0];
  for (const unit& u : units)
    if (value != 0 && value % u.worth == 0) best = &u;
  return std::to_string(value / best->worth) + std::string(best->name);
}

}  // namespace

std::string_view without_blanks(std::string_view text) noexcept {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<std::size_t> bytes_from(std::string_view text) noexcept {
  const auto q = split(text);
  const auto worth = q ? byte_unit(q->rest) : std::nullopt;
  return worth ? product(*q, *worth) : std::nullopt;
}

std::optional<std::size_t> limit_from(std::string_view text) noexcept {
  if (is_same(without_blanks(text), "none")) return std::numeric_limits<std::size_t>::max();
  return bytes_from(text);
}

std::optional<std::chrono::nanoseconds> time_from(std::string_view text) noexcept {
  const auto q = split(text);
  if (!q) return std::nullopt;
  const bool is_zero = q->rest.empty() && product(*q, 1) == 0;
  const auto worth = is_zero ? std::optional<std::uint64_t>(1) : time_unit(q->rest);
  const auto ns = worth ? product(*q, *worth) : std::nullopt;
  if (!ns || *ns > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(*ns));
}

std::optional<double> share_from(std::string_view text) noexcept {
  text = without_blanks(text);
  double value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, code] = std::from_chars(text.data(), last, value);
  if (code != std::errc() || end != last || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<bool> flag_from(std::string_view text) noexcept {
  text = without_blanks(text);
  for (const char* yes : {"1", "true", "on", "yes"})
    if (is_same(text, yes)) return true;
  for (const char* no : {"0", "false", "off", "no"})
    if (is_same(text, no)) return false;
  return std::nullopt;
}

std::optional<unsigned> number_from(std::string_view text) noexcept {
  text = without_blanks(text);
  unsigned value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, code] = std::from_chars(text.data(), last, value);
  if (code != std::errc() || end != last) return std::nullopt;
  return value;
}

std::string text_of_bytes(std::size_t bytes) {
  std::string text = in_largest(bytes, byte_units);
  if (text.ends_with("iB")) return text;
  text.pop_back();  // plain bytes have no unit
  return text;
}

std::string text_of_limit(std::size_t bytes) {
  return bytes == std::numeric_limits<std::size_t>::max() ? "none" : text_of_bytes(bytes);
}

std::string text_of_time(std::chrono::nanoseconds time) {
  if (time.count() == 0) return "0";
  const std::string sign = time.count() < 0 ? "-" : "";
  const auto magnitude = static_cast<std::uint64_t>(time.count());
  return sign + in_largest(time.count() < 0 ? 0 - magnitude : magnitude, time_units);
}

std::string text_of_share(double value) {
  std::array<char, 32> text{};
  const auto [end, code] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end};
}

}  // namespace weir::detail
