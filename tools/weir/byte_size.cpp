// SPDX-License-Identifier: Apache-2.0
#include "byte_size.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace weir::tools {
namespace {

// The power of the prefix letter, 0 for none, -1 for no prefix at all.
int power_of(char letter) {
  switch (letter) {
    case 'k':
    case 'K':
      return 1;
    case 'm':
    case 'M':
      return 2;
    case 'g':
    case 'G':
      return 3;
    case 't':
    case 'T':
      return 4;
    default:
      return -1;
  }
}

std::optional<double> factor_of(std::string_view unit) {
  if (unit.empty() || unit == "B") return 1.0;
  const int power = power_of(unit.front());
  if (power < 0) return std::nullopt;
  unit.remove_prefix(1);
  if (unit.empty() || unit == "iB") return std::pow(1024.0, power);
  if (unit == "B") return std::pow(1000.0, power);
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> parse_bytes(std::string_view text) {
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (problem != std::errc{} || !(number >= 0)) return std::nullopt;
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  const auto factor = factor_of(unit);
  // 2^63 and not 2^64: no limit beyond is meant, and every double below converts.
  if (!factor || number * *factor >= 9.2e18) return std::nullopt;
  return static_cast<std::size_t>(number * *factor);
}

std::string format_bytes(std::size_t bytes) {
  static constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
  return text.data();
}

}  // namespace weir::tools
