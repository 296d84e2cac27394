// SPDX-License-Identifier: Apache-2.0
#include "trace/text_form.hpp"

#include <algorithm>
#include <charconv>

#include "trace/excerpt.hpp"

namespace weir::trace {

namespace {

bool is_space(char c) noexcept { return c == ' ' || c == '\t'; }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_control(char c) noexcept { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string_view skip_spaces(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

// The next word, taken off `text`; empty at the end.
std::string_view take_word(std::string_view& text) noexcept {
  text = skip_spaces(text);
  const auto end = std::find_if(text.begin(), text.end(), is_space);
  const std::string_view word = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(word.size());
  return word;
}

template <class Number>
bool parse_number(std::string_view word, Number& n) noexcept {
  const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), n);
  return code == std::errc() && end == word.data() + word.size();
}

bool needs_quotes(std::string_view value) noexcept {
  return value.starts_with('"') || std::any_of(value.begin(), value.end(), is_space);
}

// `prefix` and then a digit.
bool begins(std::string_view line, std::string_view prefix) noexcept {
  return line.size() > prefix.size() && line.starts_with(prefix) && is_digit(line[prefix.size()]);
}

// Words of an event, with the first complaint kept.
class words {
 public:
  words(std::string_view line, const char* shape) : rest_(line), shape_(shape) {}

  template <class Number>
  void number(Number& n, const char* what) {
    const std::string_view word = take_word(rest_);
    if (!why_.empty() || (!word.empty() && parse_number(word, n))) return;
    if (word.empty()) return complain(std::string(what) + " is missing");
    complain(std::string(what) + " is no number of " + std::to_string(8 * sizeof(Number)) + " bits: " + excerpt(word));
  }

  result<record, std::string> finish(const record& r) {
    const std::string_view more = skip_spaces(rest_);
    if (why_.empty() && !more.empty()) complain("more than expected: " + excerpt(more));
    if (!why_.empty()) return why_;
    return r;
  }

 private:
  void complain(std::string what) { why_ = std::move(what) + "; expected \"" + shape_ + "\""; }

  std::string_view rest_;
  const char* shape_;
  std::string why_;
};

struct event_shape {
  std::string_view word;
  record_kind kind;
  bool has_id, has_bytes, has_stream;
  const char* shape;
};
constexpr event_shape event_shapes[] = {
    {"a", record_kind::allocate, true, true, true, "a ID BYTES STREAM"},
    {"f", record_kind::deallocate, true, false, true, "f ID STREAM"},
    {"c", record_kind::reusable, true, false, false, "c ID"},
    {"# S", record_kind::native_allocate, true, true, true, "# S ID BYTES STREAM"},
    {"# s", record_kind::native_deallocate, true, false, false, "# s ID"},
    {"# O", record_kind::failure, false, true, true, "# O BYTES STREAM"},
};

const event_shape* shape_of(std::string_view line) noexcept {
  for (const event_shape& shape : event_shapes) {
    const std::size_t length = shape.word.size();
    if (line.starts_with(shape.word) && (line.size() == length || is_space(line[length]))) return &shape;
  }
  return nullptr;
}

const event_shape* shape_of(record_kind kind) noexcept {
  if (kind == record_kind::live) kind = record_kind::allocate;
  for (const event_shape& shape : event_shapes) {
    if (shape.kind == kind) return &shape;
  }
  return nullptr;
}

void append_number(std::string& out, std::uint64_t n) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
  out += ' ';
  out.append(digits, end);
}

// A value in quotes, taken off `text`; \" and \\ are the escapes. Null, or what is wrong.
const char* take_quoted(std::string_view& text, std::string& value) {
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return !text.empty() && !is_space(text.front()) ? "a quote ends inside a word" : nullptr;
    }
    if (text[i] == '\\' && (++i == text.size() || (text[i] != '"' && text[i] != '\\'))) {
      return "a backslash before neither a quote nor a backslash";
    }
    value += text[i];
  }
  return "a quote does not end";
}

// One key=value off `text`, which begins with it.
const char* take_fact(std::string_view& text, fact& f) {
  const std::size_t equals = text.find('=');
  const auto space = static_cast<std::size_t>(std::find_if(text.begin(), text.end(), is_space) - text.begin());
  if (equals == 0 || equals == std::string_view::npos || equals > space) return "a word that is no key=value";
  f.key = text.substr(0, equals);
  text.remove_prefix(equals + 1);
  if (text.empty() || text.front() != '"') {
    f.value = text.empty() || is_space(text.front()) ? std::string_view() : take_word(text);
    return nullptr;
  }
  const char* why = take_quoted(text, f.value);
  f.quoted = !needs_quotes(f.value);
  return why;
}

constexpr std::string_view header_word = "# trace v";
constexpr std::string_view streams_word = "# streams ";

}  // namespace

line_kind classify_line(std::string_view line) noexcept {
  if (skip_spaces(line).empty()) return line_kind::blank;
  if (line.front() != '#') return shape_of(line) ? line_kind::event : line_kind::unknown;
  if (begins(line, header_word)) return line_kind::header;
  if (begins(line, streams_word)) return line_kind::streams;
  if (begins(line, "# S ") || begins(line, "# s ") || begins(line, "# O ")) return line_kind::event;
  return line_kind::comment;
}

result<std::vector<fact>, std::string> parse_header(std::string_view line) {
  line.remove_prefix(header_word.size());
  const std::string_view version = take_word(line);
  if (version != "1") return "version " + excerpt(version) + " of the text form, this reads 1";
  std::vector<fact> facts;
  for (line = skip_spaces(line); !line.empty(); line = skip_spaces(line)) {
    const std::string_view at = line;
    if (const char* why = take_fact(line, facts.emplace_back())) return std::string(why) + ": " + excerpt(at);
  }
  return facts;
}

result<std::vector<record>, std::string> parse_streams(std::string_view line) {
  line.remove_prefix(streams_word.size());
  std::vector<record> births;
  for (line = skip_spaces(line); !line.empty(); line = skip_spaces(line)) {
    const std::string_view word = take_word(line);
    const std::size_t equals = std::min(word.find('='), word.size());
    record& birth = births.emplace_back(record{.kind = record_kind::stream_birth});
    if (equals == word.size() || !parse_number(word.substr(0, equals), birth.stream)) {
      return "a stream that is no NUMBER=NAME: " + excerpt(word);
    }
    birth.text = word.substr(equals + 1);
  }
  return births;
}

result<record, std::string> parse_event(std::string_view line) {
  const event_shape& shape = *shape_of(line);
  record r{.kind = shape.kind};
  words rest(line.substr(shape.word.size()), shape.shape);
  if (shape.has_id) rest.number(r.id, "the id");
  if (shape.has_bytes) rest.number(r.bytes, "the number of bytes");
  if (shape.has_stream) rest.number(r.stream, "the stream");
  return rest.finish(r);
}

bool fits_word(std::string_view text) noexcept {
  return std::none_of(text.begin(), text.end(), [](char c) { return is_space(c) || is_control(c); });
}

bool fits_header(const fact& f) noexcept {
  return !f.key.empty() && fits_word(f.key) && f.key.find('=') == std::string::npos &&
         std::none_of(f.value.begin(), f.value.end(), is_control);
}

std::string render_header(const std::vector<fact>& facts) {
  std::string line = "# trace v1";
  for (const fact& f : facts) {
    line.append(" ").append(f.key) += '=';
    if (!f.quoted && !needs_quotes(f.value)) {
      line += f.value;
      continue;
    }
    line += '"';
    for (const char c : f.value) {
      if (c == '"' || c == '\\') line += '\\';
      line += c;
    }
    line += '"';
  }
  return line;
}

void append_event(std::string& out, const record& r) {
  const event_shape& shape = *shape_of(r.kind);
  out += shape.word;
  if (shape.has_id) append_number(out, r.id);
  if (shape.has_bytes) append_number(out, r.bytes);
  if (shape.has_stream) append_number(out, r.stream);
}

}  // namespace weir::trace
