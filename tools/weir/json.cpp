// SPDX-License-Identifier: Apache-2.0
#include "json.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>

namespace weir::cli {

namespace {

// Length of the UTF-8 sequence that begins here, 0 where none does.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(text[i])); };
  const unsigned lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xc2 ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
  if (length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (length < 3) return length;
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool surrogate_or_beyond = (lead == 0xed && byte(1) > 0x9f) || (lead == 0xf4 && byte(1) > 0x8f);
  return overlong || surrogate_or_beyond ? 0 : length;
}

std::string escape(char c) {
  if (c == '"' || c == '\\') return std::string("\\") + c;
  if (c == '\n') return "\\n";
  if (c == '\t') return "\\t";
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
  return text.data();
}

bool needs_escape(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\' || c == 0x7f; }

}  // namespace

void json::separate() {
  if (!first_) out_ += ',';
  first_ = false;
}

json& json::raw(std::string_view text) {
  separate();
  out_ += text;
  return *this;
}

json& json::open(char bracket) {
  separate();
  out_ += bracket;
  first_ = true;
  return *this;
}

json& json::close(char bracket) {
  out_ += bracket;
  first_ = false;
  return *this;
}

void json::quote(std::string_view text) {
  out_ += '"';
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0)
      out_ += "\xef\xbf\xbd";
    else if (length == 1 && needs_escape(text[0]))
      out_ += escape(text[0]);
    else
      out_ += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out_ += '"';
}

json& json::key(std::string_view name) {
  separate();
  quote(name);
  out_ += ':';
  first_ = true;
  return *this;
}

json& json::value(std::string_view text) {
  separate();
  quote(text);
  return *this;
}

json& json::value(bool b) { return raw(b ? "true" : "false"); }

json& json::value(double n) {
  if (!std::isfinite(n)) return null();
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.9g", n);
  return raw(text.data());
}

}  // namespace weir::cli
