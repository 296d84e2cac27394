// SPDX-License-Identifier: Apache-2.0
#include "cli/parse_json.hpp"

#include <charconv>
#include <stdexcept>

namespace weir::test {
namespace {

class parser {
 public:
  explicit parser(std::string_view text) : rest_(text) {}

  json whole() {
    json result = value();
    skip_space();
    if (!rest_.empty()) fail("something after the end");
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw std::runtime_error("JSON: " + why + " before: " + std::string(rest_.substr(0, 40)));
  }
  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  bool take(std::string_view token) {
    skip_space();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void require(std::string_view token) {
    if (!take(token)) fail("expected " + std::string(token));
  }

  json value() {
    if (take("{")) return {members()};
    if (take("[")) return {items()};
    if (take("\"")) return {string()};
    if (take("true")) return {true};
    if (take("false")) return {false};
    if (take("null")) return {nullptr};
    return {number()};
  }

  json::object members() {
    json::object all;
    if (take("}")) return all;
    do {
      require("\"");
      const std::string key = string();
      require(":");
      if (!all.emplace(key, value()).second) fail("a key twice: " + key);
    } while (take(","));
    require("}");
    return all;
  }

  json::array items() {
    json::array all;
    if (take("]")) return all;
    do all.push_back(value());
    while (take(","));
    require("]");
    return all;
  }

  // After the opening quote. \uXXXX is kept as it stands: no test needs it.
  std::string string() {
    std::string text;
    for (;;) {
      if (rest_.empty()) fail("a string without end");
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return text;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
      if (c == '\\' && !rest_.empty() && rest_.front() != 'u') {
        text += rest_.front();
        rest_.remove_prefix(1);
      } else {
        text += c;
      }
    }
  }

  double number() {
    double result = 0;
    const auto [end, problem] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), result);
    if (problem != std::errc{}) fail("no value");
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return result;
  }

  std::string_view rest_;
};

}  // namespace

json parse_json(std::string_view text) { return parser(text).whole(); }

}  // namespace weir::test
