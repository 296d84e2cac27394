// SPDX-License-Identifier: Apache-2.0
#include "units.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
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

std::string_view take_digits(std::string_view& text) {
  const std::string_view digits = text.substr(0, std::min(text.find_first_not_of("0123456789"), text.size()));
  text.remove_prefix(digits.size());
  return digits;
}

std::optional<std::uint64_t> number_of(std::string_view digits) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code != std::errc()) return std::nullopt;
  return value;
}

// 0.DIGITS times 2^doublings, where that is a whole number: exactly, which a double is not above 2^53. DIGITS / 10^n is
// (DIGITS / 5^n) / 2^n.
std::optional<std::uint64_t> part_of(std::string_view digits, unsigned doublings) {
  while (digits.ends_with('0')) digits.remove_suffix(1);
  if (digits.empty()) return 0;
  const auto count = static_cast<unsigned>(digits.size());
  const auto part = number_of(digits);
  if (count > doublings || count > 18 || !part) return std::nullopt;
  std::uint64_t fives = 1;
  for (unsigned i = 0; i < count; ++i) fives *= 5;
  if (*part % fives != 0) return std::nullopt;
  return *part / fives << (doublings - count);
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
  const std::string_view whole = take_digits(text);
  std::string_view part;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    part = take_digits(text);
    if (part.empty()) return std::nullopt;
  }
  while (text.starts_with(' ')) text.remove_prefix(1);
  const auto power = power_of(text);
  const auto units = number_of(whole);
  if (!power || !units || *units > UINT64_MAX / 2 >> 10 * *power) return std::nullopt;
  const auto rest = part_of(part, 10 * static_cast<unsigned>(*power));
  if (!rest) return std::nullopt;
  return (*units << 10 * *power) + *rest;
}

}  // namespace weir::cli
