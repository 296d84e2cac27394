// SPDX-License-Identifier: Apache-2.0
//
// The frame of the binary form: header, chunks, end. docs/trace-format.md is the specification.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::trace {

// A byte above 127 and both kinds of line end, in the manner of PNG: what a transfer as text would damage is seen.
inline constexpr std::string_view binary_magic = "\x89WEIR\r\n\x1a";
inline constexpr std::string_view chunk_magic = "WCHK";
inline constexpr std::uint16_t version_major = 1;
inline constexpr std::uint16_t version_minor = 0;

inline constexpr std::size_t file_header_bytes = 16;   // magic, major, minor, crc32 of these 12 bytes
inline constexpr std::size_t chunk_header_bytes = 20;  // magic, type, encoding, 0, stored, raw, crc32
inline constexpr std::size_t chunk_crc_offset = 16;
// A chunk unpacks to at most this: what a reader holds at once, whatever a file claims.
inline constexpr std::size_t chunk_bytes_max = std::size_t{1} << 20;

enum class chunk_type : std::uint8_t { records = 1, end = 2 };
enum class chunk_encoding : std::uint8_t { stored = 0, deflate = 1 };

inline void store_u16(char* to, std::uint16_t n) noexcept {
  to[0] = static_cast<char>(n & 0xff);
  to[1] = static_cast<char>(n >> 8);
}
inline void store_u32(char* to, std::uint32_t n) noexcept {
  for (unsigned i = 0; i < 4; ++i) to[i] = static_cast<char>((n >> (8 * i)) & 0xff);
}
inline std::uint16_t load_u16(const char* from) noexcept {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(from[0]) | static_cast<unsigned char>(from[1]) << 8);
}
inline std::uint32_t load_u32(const char* from) noexcept {
  std::uint32_t n = 0;
  for (unsigned i = 0; i < 4; ++i) n |= std::uint32_t{static_cast<unsigned char>(from[i])} << (8 * i);
  return n;
}

}  // namespace weir::trace
