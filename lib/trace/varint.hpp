// SPDX-License-Identifier: Apache-2.0
//
// LEB128 varints and zigzag, and a cursor over bytes that cannot be made to read past its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::trace {

// Signed differences as small unsigned numbers: 0, -1, 1, -2 … become 0, 1, 2, 3 …. Both wrap modulo 2^64, so any two
// 64-bit numbers have a difference.
constexpr std::uint64_t zigzag(std::uint64_t difference) noexcept {
  return (difference << 1) ^ (difference >> 63 ? ~std::uint64_t{0} : 0);
}
constexpr std::uint64_t unzigzag(std::uint64_t coded) noexcept {
  return (coded >> 1) ^ (coded & 1 ? ~std::uint64_t{0} : 0);
}
static_assert(zigzag(0) == 0 && zigzag(~std::uint64_t{0}) == 1 && zigzag(1) == 2);
static_assert(unzigzag(zigzag(std::uint64_t{1} << 63)) == std::uint64_t{1} << 63);

inline void put_varint(std::string& out, std::uint64_t n) {
  while (n >= 0x80) {
    out += static_cast<char>(n | 0x80);
    n >>= 7;
  }
  out += static_cast<char>(n);
}

class cursor {
 public:
  explicit cursor(std::string_view bytes) noexcept : bytes_(bytes) {}

  std::size_t position() const noexcept { return at_; }
  std::size_t left() const noexcept { return bytes_.size() - at_; }

  // False, and nothing read, when the bytes end inside the number or it passes 64 bits.
  bool varint(std::uint64_t& n) noexcept {
    std::uint64_t value = 0;
    std::size_t at = at_;
    for (unsigned shift = 0; shift < 70 && at < bytes_.size(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_[at++]);
      if (shift == 63 && byte > 1) return false;
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        n = value;
        at_ = at;
        return true;
      }
    }
    return false;
  }

  // False, and nothing read, when there are fewer.
  bool take(std::uint64_t count, std::string_view& bytes) noexcept {
    if (count > left()) return false;
    bytes = bytes_.substr(at_, static_cast<std::size_t>(count));
    at_ += static_cast<std::size_t>(count);
    return true;
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
};

}  // namespace weir::trace
