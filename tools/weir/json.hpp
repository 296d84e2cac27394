// SPDX-License-Identifier: Apache-2.0
//
// Writes JSON as it is told, commas and escapes taken care of.
//
//     json out;
//     out.begin_object().key("runs").begin_array().value(1).value("two").end_array().end_object();
//     std::cout << out.text() << '\n';
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::cli {

class json {
 public:
  json& begin_object() { return open('{'); }
  json& end_object() { return close('}'); }
  json& begin_array() { return open('['); }
  json& end_array() { return close(']'); }
  json& key(std::string_view);

  json& value(std::string_view);  // bytes that are not UTF-8 become U+FFFD
  json& value(const char* text) { return value(std::string_view(text)); }
  json& value(bool);
  json& value(double);  // null where it is not finite
  template <std::integral Number>
  json& value(Number n) {
    return raw(std::to_string(n));
  }
  json& null() { return raw("null"); }
  template <class Value>
  json& value(const std::optional<Value>& v) {
    return v ? value(*v) : null();
  }

  template <class Value>
  json& member(std::string_view name, const Value& v) {
    return key(name).value(v);
  }

  const std::string& text() const noexcept { return out_; }

 private:
  json& raw(std::string_view);
  json& open(char);
  json& close(char);
  void separate();
  void quote(std::string_view);

  std::string out_;
  bool first_ = true;  // in the innermost object or array, or right after a key
};

}  // namespace weir::cli
