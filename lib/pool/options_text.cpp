// SPDX-License-Identifier: Apache-2.0
//
// One table of the options that have a text, by which they are read and written.
#include "weir/options_text.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "base/environment.hpp"
#include "pool/options_check.hpp"
#include "pool/text_values.hpp"

namespace weir {

namespace {

using rule = trim_policy::rule;

// Cuts `text` at each `mark` outside parentheses.
std::vector<std::string_view> parts_of(std::string_view text, char mark) {
  std::vector<std::string_view> parts;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '(') ++depth;
    if (i < text.size() && text[i] == ')') --depth;
    if (i < text.size() && (text[i] != mark || depth > 0)) continue;
    parts.push_back(detail::without_blanks(text.substr(begin, i - begin)));
    begin = i + 1;
  }
  return parts;
}

// --- policies -------------------------------------------------------------------------------------------------------

constexpr const char* policies_accepted =
    "retain, release_above(BYTES), watermark(LOW,HIGH), decay(TIME), idle(TIME), on_pressure(BYTES), "
    "defragment_above(RATIO), joined by +; BYTES as 64MiB, TIME as 500ms, RATIO from 0 to 1";

struct policy_name {
  const char* name;
  rule kind;
  std::size_t arguments;
};

constexpr std::array policy_names{policy_name{"retain", rule::retain, 0},
                                  policy_name{"release_above", rule::release_above, 1},
                                  policy_name{"watermark", rule::watermark, 2},
                                  policy_name{"decay", rule::decay, 1},
                                  policy_name{"idle", rule::idle, 1},
                                  policy_name{"on_pressure", rule::on_pressure, 1},
                                  policy_name{"defragment_above", rule::defragment_above, 1}};

template <class Value>
bool take(std::optional<Value> from, Value& to) {
  if (from) to = *from;
  return from.has_value();
}

bool take_arguments(const std::vector<std::string_view>& given, trim_policy& p) {
  switch (p.kind) {
    case rule::retain: return true;
    case rule::release_above:
    case rule::on_pressure: return take(detail::bytes_from(given[0]), p.bytes);
    case rule::watermark:
      return take(detail::bytes_from(given[0]), p.bytes) && take(detail::bytes_from(given[1]), p.bytes_high);
    case rule::decay:
    case rule::idle: return take(detail::time_from(given[0]), p.time);
    case rule::defragment_above: return take(detail::share_from(given[0]), p.ratio);
  }
  return false;
}

bool take_policy(std::string_view text, trim_policy& p) {
  const std::size_t open = std::min(text.find('('), text.size());
  const std::string_view name = detail::without_blanks(text.substr(0, open));
  std::vector<std::string_view> arguments;
  if (open < text.size()) {
    if (!text.ends_with(')')) return false;
    const std::string_view inside = detail::without_blanks(text.substr(open + 1, text.size() - open - 2));
    if (!inside.empty()) arguments = parts_of(inside, ',');
  }
  const auto known =
      std::find_if(policy_names.begin(), policy_names.end(), [&](const auto& n) { return name == n.name; });
  if (known == policy_names.end() || arguments.size() != known->arguments) return false;
  p.kind = known->kind;
  return take_arguments(arguments, p);
}

bool take_policies(std::string_view text, std::vector<trim_policy>& all) {
  all.clear();
  for (const std::string_view part : parts_of(text, '+'))
    if (!take_policy(part, all.emplace_back())) return false;
  return true;
}

std::string text_of(const std::vector<trim_policy>& all) {
  std::string text;
  for (const trim_policy& p : all) text += (text.empty() ? "" : "+") + to_text(p);
  return text.empty() ? "retain" : text;
}

// --- the table ------------------------------------------------------------------------------------------------------

struct option {
  const char* key;
  const char* accepted;
  bool (*take)(std::string_view, pool_options&);
  std::string (*text)(const pool_options&);
};

constexpr const char* bytes_accepted = "bytes, as 4096, 64MiB or 1.5GiB";
constexpr const char* limit_accepted = "bytes, as 4096, 64MiB or 1.5GiB, or none";
constexpr const char* share_accepted = "a number from 0 to 1";
constexpr const char* flag_accepted = "1 or 0, true or false, on or off, yes or no";

template <auto Member>
constexpr option bytes_option(const char* key) {
  return {key, bytes_accepted,
          [](std::string_view t, pool_options& o) { return take(detail::bytes_from(t), o.*Member); },
          [](const pool_options& o) { return detail::text_of_bytes(o.*Member); }};
}

template <auto Member>
constexpr option limit_option(const char* key) {
  return {key, limit_accepted,
          [](std::string_view t, pool_options& o) { return take(detail::limit_from(t), o.*Member); },
          [](const pool_options& o) { return detail::text_of_limit(o.*Member); }};
}

template <auto Member>
constexpr option share_option(const char* key) {
  return {key, share_accepted,
          [](std::string_view t, pool_options& o) { return take(detail::share_from(t), o.*Member); },
          [](const pool_options& o) { return detail::text_of_share(o.*Member); }};
}

template <auto Member>
constexpr option flag_option(const char* key) {
  return {key, flag_accepted, [](std::string_view t, pool_options& o) { return take(detail::flag_from(t), o.*Member); },
          [](const pool_options& o) { return std::string(o.*Member ? "1" : "0"); }};
}

template <auto Member>
constexpr option order_option(const char* key) {
  return {key, flag_accepted,
          [](std::string_view t, pool_options& o) { return take(detail::flag_from(t), o.order.*Member); },
          [](const pool_options& o) { return std::string(o.order.*Member ? "1" : "0"); }};
}

bool take_background(std::string_view text, pool_options& o) {
  const auto time = detail::time_from(text);
  if (!time) return false;
  o.background = std::chrono::duration_cast<std::chrono::milliseconds>(*time);
  return o.background == *time;
}

constexpr std::array options{
    limit_option<&pool_options::bytes_max>("bytes_max"),
    limit_option<&pool_options::soft_bytes_max>("soft_bytes_max"),
    option{"trim", policies_accepted, [](std::string_view t, pool_options& o) { return take_policies(t, o.trim); },
           [](const pool_options& o) { return text_of(o.trim); }},
    option{"background", "whole milliseconds, as 10ms or 2s, or 0 for none", take_background,
           [](const pool_options& o) { return detail::text_of_time(o.background); }},
    flag_option<&pool_options::trust_handles>("trust_handles"),
    flag_option<&pool_options::guard_capture>("guard_capture"),
    flag_option<&pool_options::checked>("checked"),
    flag_option<&pool_options::bypass>("bypass"),
    order_option<&order_steps::other_streams_passed>("order.other_streams_passed"),
    order_option<&order_steps::recycle>("order.recycle"),
    order_option<&order_steps::recycle_unfinished>("order.recycle_unfinished"),
    order_option<&order_steps::other_streams_wait>("order.other_streams_wait"),
    bytes_option<&pool_options::region_bytes>("region_bytes"),
    bytes_option<&pool_options::region_bytes_min>("region_bytes_min"),
    share_option<&pool_options::big_cache_share>("big_cache_share"),
    share_option<&pool_options::big_cache_fit>("big_cache_fit"),
    bytes_option<&pool_options::cache_bytes_max>("cache_bytes_max"),
    share_option<&pool_options::slack>("slack"),
    option{"handle_types", "a whole number: the bits of cudaMemAllocationHandleType",
           [](std::string_view t, pool_options& o) { return take(detail::number_from(t), o.handle_types); },
           [](const pool_options& o) { return std::to_string(o.handle_types); }},
};

std::string keys() {
  std::string all;
  for (const option& o : options) all += (all.empty() ? "" : ", ") + std::string(o.key);
  return all;
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

const option* option_of(std::string_view key) noexcept {
  const auto at = std::find_if(options.begin(), options.end(), [&](const option& o) { return key == o.key; });
  return at == options.end() ? nullptr : &*at;
}

}  // namespace

result<pool_options> parse_pool_options(std::string_view text, pool_options base) {
  if (detail::without_blanks(text).empty()) return base;
  std::array<bool, options.size()> is_given{};
  for (const std::string_view item : parts_of(text, ',')) {
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos)
      return detail::bad_option("options", quoted(item), "KEY=VALUE, joined by commas");
    const std::string_view key = detail::without_blanks(item.substr(0, equals));
    const std::string_view value = detail::without_blanks(item.substr(equals + 1));
    const option* known = option_of(key);
    if (!known) return detail::bad_option("options", "no option is called " + quoted(key), keys());
    bool& given = is_given[static_cast<std::size_t>(known - options.data())];
    if (given) return detail::bad_option(known->key, quoted(value) + " is its second value", "one");
    given = true;
    if (!known->take(value, base)) return detail::bad_option(known->key, quoted(value), known->accepted);
  }
  if (auto good = detail::check(base); !good) return std::move(good).error();
  return base;
}

std::string to_text(const pool_options& o, const pool_options& base) {
  std::string text;
  for (const option& each : options) {
    const std::string value = each.text(o);
    if (value != each.text(base)) text += (text.empty() ? "" : ",") + std::string(each.key) + "=" + value;
  }
  return text;
}

std::string to_text(const trim_policy& p) {
  switch (p.kind) {
    case rule::retain: return "retain";
    case rule::release_above: return "release_above(" + detail::text_of_bytes(p.bytes) + ")";
    case rule::watermark:
      return "watermark(" + detail::text_of_bytes(p.bytes) + "," + detail::text_of_bytes(p.bytes_high) + ")";
    case rule::decay: return "decay(" + detail::text_of_time(p.time) + ")";
    case rule::idle: return "idle(" + detail::text_of_time(p.time) + ")";
    case rule::on_pressure: return "on_pressure(" + detail::text_of_bytes(p.bytes) + ")";
    case rule::defragment_above: return "defragment_above(" + detail::text_of_share(p.ratio) + ")";
  }
  return "no policy";
}

result<pool_options> options_from_environment(pool_options base) {
  const char* text = base::environment_value("WEIR_OPTIONS");
  if (!text) return base;
  auto parsed = parse_pool_options(text, std::move(base));
  if (!parsed)
    parsed.error().detail = std::make_shared<const std::string>(*parsed.error().detail + " (from WEIR_OPTIONS)");
  return parsed;
}

}  // namespace weir
