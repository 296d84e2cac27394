// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <vector>

#include "trace/excerpt.hpp"
#include "trace/record_source.hpp"
#include "trace/text_form.hpp"

namespace weir::trace {

namespace {

class text_source final : public record_source {
 public:
  explicit text_source(input bytes) : in_(std::move(bytes)) {}

  result<bool, file_error> next(record& r) override {
    while (pending_at_ == pending_.size()) {
      auto more = read_line();
      if (!more || !*more) return more;
    }
    r = pending_[pending_at_++];
    any_record_ = any_record_ || r.kind != record_kind::comment;
    return true;
  }

  file_error refuse(file_error_kind kind, std::string reason) const override {
    return {kind, in_.name(), position_unit::line, line_, std::move(reason)};
  }
  std::uint64_t skipped() const override { return 0; }
  const input& bytes() const override { return in_; }

 private:
  // Fills `pending_` with what the next line holds: nothing, one record, or several. False at the end.
  result<bool, file_error> read_line() {
    pending_.clear();
    pending_at_ = 0;
    auto line = in_.read_line(text_bytes_max);
    if (!line) return place(std::move(line).error());
    if (!*line) return finish();
    ++line_;
    if (!(**line).whole) {
      return refuse(file_error_kind::truncated, "the last line has no newline: the file is cut");
    }
    std::string_view text = (**line).text;
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (auto done = take_line(text); !done) return done.error();
    return true;
  }

  // A line that is too long is told by its number; damage to the bytes by theirs.
  file_error place(file_error e) const {
    if (e.kind != file_error_kind::limit) return e;
    file_error at_line = refuse(e.kind, std::move(e.reason));
    ++at_line.position;
    return at_line;
  }

  result<void, file_error> take_line(std::string_view text) {
    switch (classify_line(text)) {
      case line_kind::blank: return {};
      case line_kind::header: return take_header(text);
      case line_kind::streams: return take_all(parse_streams(text));
      case line_kind::event: return take_event(text);
      case line_kind::comment: pending_.push_back({.kind = record_kind::comment, .text = text.substr(1)}); return {};
      case line_kind::unknown: break;
    }
    return refuse(file_error_kind::malformed, "neither an event (a, f, c) nor a comment (#): " + excerpt(text));
  }

  result<void, file_error> take_header(std::string_view text) {
    if (line_ != 1) return refuse(file_error_kind::malformed, "a second header; the first line alone may be one");
    auto facts = parse_header(text);
    if (!facts) {
      const bool later = facts.error().starts_with("version");
      return refuse(later ? file_error_kind::unsupported : file_error_kind::malformed, std::move(facts).error());
    }
    any_record_ = true;
    facts_ = std::move(*facts);
    for (const fact& f : facts_) {
      pending_.push_back({.kind = record_kind::fact, .quoted = f.quoted, .name = f.key, .text = f.value});
    }
    return {};
  }

  result<void, file_error> take_all(result<std::vector<record>, std::string> records) {
    if (!records) return refuse(file_error_kind::malformed, std::move(records).error());
    pending_.swap(*records);
    return {};
  }

  result<void, file_error> take_event(std::string_view text) {
    auto r = parse_event(text);
    if (!r) return refuse(file_error_kind::malformed, std::move(r).error());
    pending_.push_back(*r);
    return {};
  }

  result<bool, file_error> finish() {
    if (any_record_) return false;
    return refuse(file_error_kind::not_a_trace, "no trace: the file holds neither a header nor an event");
  }

  input in_;
  std::uint64_t line_ = 0;
  std::vector<record> pending_;
  std::size_t pending_at_ = 0;
  std::vector<fact> facts_;  // what the records of the header point into
  bool any_record_ = false;  // a header counts, a comment does not
};

}  // namespace

std::unique_ptr<record_source> make_text_source(input bytes) { return std::make_unique<text_source>(std::move(bytes)); }

}  // namespace weir::trace
