// SPDX-License-Identifier: Apache-2.0
//
// Size classes of small blocks: eight a doubling, all multiples of 256 bytes, so that rounding up to a class wastes at
// most 12.5 % over the size rounded to 256 bytes. Both ways are a few instructions; a hit looks the index up, in 4 KiB,
// which is fewer.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/bits.hpp"

namespace weir::core {

inline constexpr std::size_t unit_bytes = 256;                   // alignment of every block
inline constexpr std::size_t small_bytes_max = base::mib;        // served from slabs, through caches
inline constexpr std::size_t medium_bytes_max = 16 * base::mib;  // served from regions; above: native blocks

using size_class = std::uint8_t;

// Precondition: 0 < bytes <= small_bytes_max.
constexpr size_class class_of(std::size_t bytes) noexcept {
  const std::size_t v = (bytes - 1) / unit_bytes;
  const unsigned shift = static_cast<unsigned>(std::bit_width(v | 8)) - 4;
  return static_cast<size_class>(shift * 8 + (v >> shift));
}

inline constexpr unsigned class_count = class_of(small_bytes_max) + 1;

constexpr std::size_t class_bytes(unsigned index) noexcept {
  const unsigned shift = index < 16 ? 0 : index / 8 - 1u;
  return (static_cast<std::size_t>(index - shift * 8u) + 1) << (shift + 8);
}

namespace detail {

consteval auto make_class_table() {
  std::array<size_class, small_bytes_max / unit_bytes> table{};
  for (std::size_t units = 0; units < table.size(); ++units) table[units] = class_of((units + 1) * unit_bytes);
  return table;
}
inline constexpr auto class_table = make_class_table();

consteval bool waste_is_bounded() {
  for (std::size_t units = 1; units <= small_bytes_max / unit_bytes; ++units) {
    const std::size_t bytes = units * unit_bytes;
    const std::size_t rounded = class_bytes(class_of(bytes));
    if (rounded < bytes || 8 * (rounded - bytes) > bytes) return false;
    if (class_of(bytes - unit_bytes + 1) != class_of(bytes)) return false;  // all of a unit in one class
  }
  return true;
}

consteval bool classes_are_their_own() {
  for (unsigned index = 0; index < class_count; ++index)
    if (class_of(class_bytes(static_cast<size_class>(index))) != index) return false;
  return true;
}

static_assert(waste_is_bounded(), "at most 12.5 % over the size rounded to 256 bytes");
static_assert(classes_are_their_own());
static_assert(class_count == 80 && class_bytes(class_count - 1) == small_bytes_max);

}  // namespace detail

// As class_of(bytes), of bytes - 1.
inline size_class class_of_less_one(std::size_t bytes_less_one) noexcept {
  return detail::class_table[bytes_less_one / unit_bytes];
}

}  // namespace weir::core
