// SPDX-License-Identifier: Apache-2.0
#include "units.hpp"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <system_error>

namespace weir::cli {

namespace {

std::string fixed(double value, int digits, const char* unit) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f %s", digits, value, unit);
  return text.data();
}

// Three significant digits, as far as decimals go.
int decimals(double value) { return value < 10 ? 2 : value < 100 ? 1 : 0; }

// The power of 1024 that a unit stands for: "", "b", "k", "kb", "kib", …
std::optional<int> power_of(std::string_view unit) {
  std::string lower;
  for (const char c : unit) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower.empty() || lower == "b") return 0;
  const std::size_t power = std::string_view("kmgt").find(lower[0]);
  const std::string_view rest = std::string_view(lower).substr(1);
  if (power == std::string_view::npos || !(rest.empty() || rest == "b" || rest == "ib")) return std::nullopt;
  return static_cast<int>(power) + 1;
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) value /= 1024, ++unit;
  return fixed(value, unit == 0 ? 0 : 2, units[unit]);
}

std::string human_ns(double ns) {
  constexpr std::array units = {"ns", "µs", "ms", "s"};
  std::size_t unit = 0;
  while (ns >= 1000 && unit + 1 < units.size()) ns /= 1000, ++unit;
  return fixed(ns, unit == 0 ? 0 : decimals(ns), units[unit]);
}

std::string human_count(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string human_share(double share) { return fixed(100 * share, 2, "%"); }

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  if (text.empty() || !std::isdigit(static_cast<unsigned char>(text[0]))) return std::nullopt;
  double value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, code] = std::from_chars(text.data(), last, value, std::chars_format::fixed);
  if (code != std::errc()) return std::nullopt;
  std::string_view unit(end, static_cast<std::size_t>(last - end));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto power = power_of(unit);
  if (!power) return std::nullopt;
  const double bytes = std::ldexp(value, 10 * *power);
  if (!(bytes < 9.2e18) || bytes != std::floor(bytes)) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace weir::cli
