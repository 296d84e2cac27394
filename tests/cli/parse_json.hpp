// SPDX-License-Identifier: Apache-2.0
//
// Enough of a JSON reader for tests to look into what the command line writes. Throws on anything that is not JSON.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace weir::test {

struct json {
  using array = std::vector<json>;
  using object = std::map<std::string, json>;
  std::variant<std::nullptr_t, bool, double, std::string, array, object> value;

  const json& operator[](const std::string& key) const { return std::get<object>(value).at(key); }
  const array& items() const { return std::get<array>(value); }
  const object& members() const { return std::get<object>(value); }
  const std::string& text() const { return std::get<std::string>(value); }
  double number() const { return std::get<double>(value); }
};

json parse_json(std::string_view text);

}  // namespace weir::test
