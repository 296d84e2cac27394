// SPDX-License-Identifier: Apache-2.0
#include "trace/excerpt.hpp"

namespace weir::trace {

std::string escaped(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out.append("\\x") += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t shown = 40;
  const bool cut = text.size() > shown;
  return "\"" + escaped(text.substr(0, shown)) + (cut ? "…\"" : "\"");
}

}  // namespace weir::trace
