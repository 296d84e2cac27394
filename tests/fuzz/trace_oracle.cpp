// SPDX-License-Identifier: Apache-2.0
#include "fuzz/trace_oracle.hpp"

#include <algorithm>
#include <span>
#include <sstream>

#include "fuzz/fuzz_input.hpp"
#include "weir/trace/validator.hpp"

namespace weir::fuzz {

namespace {

using trace::file_error;
using trace::form;
using trace::record;

void check_message(const file_error& e) {
  std::string text = e.message();
  require(!text.empty(), "an error without a message");
  if (const std::size_t cut = text.find("…"); cut != std::string::npos) text.erase(cut, std::string("…").size());
  for (const char c : text) require(c >= ' ' && c <= '~', "a message that is not one printable line");
}

void keep(reading& got, record r) {
  r.name = got.texts.emplace_back(r.name);
  r.text = got.texts.emplace_back(r.text);
  got.records.push_back(r);
}

reading read_to_end(result<trace::reader, file_error> in) {
  reading got;
  if (!in) {
    got.failure = in.error();
    return got;
  }
  got.facts.assign(in->facts().begin(), in->facts().end());
  trace::validator check;
  record r;
  for (;;) {
    const auto more = in->next(r);
    if (!more) got.failure = more.error();
    if (!more || !*more) break;
    keep(got, r);
    if (const auto seen = check.observe(r); !seen)
      check_message(in->refuse(trace::file_error_kind::invalid, seen.error()));
  }
  require(in->records_read() == got.records.size(), "records_read counts otherwise");
  got.skipped = in->records_skipped();
  const auto again = in->next(r);
  require(again.has_value() != got.failure.has_value() && (!again || !*again), "a reader changed its mind");
  return got;
}

// A value that needs quotes in text has them there, whatever a binary trace says of it.
bool same_facts(const reading& a, const reading& b) {
  return std::ranges::equal(a.facts, b.facts, [](const trace::fact& x, const trace::fact& y) {
    const bool needs_quotes = x.value.empty() || x.value.find_first_of(" \t\"\\") != std::string::npos;
    return x.key == y.key && x.value == y.value && (x.quoted == y.quoted || needs_quotes);
  });
}

struct written {
  std::string bytes;
  bool is_lossless = true;
};

written write_all(const reading& what, trace::writer_options options) {
  options.facts = what.facts;
  std::ostringstream bytes;
  auto out = trace::writer::create(bytes, "memory", options);
  require(out.has_value(), "facts that were read cannot be written");
  for (const record& r : what.records) require(out->write(r).has_value(), "a record that was read cannot be written");
  require(out->finish().has_value(), "a trace that was read cannot be finished");
  return {std::move(bytes).str(), out->losses().empty()};
}

void check_same(const reading& a, const reading& b, const std::string& what) {
  if (!same_facts(a, b) || a.records != b.records) fail(what);
}

void check_streamed(std::string_view bytes, const reading& whole) {
  std::istringstream stream{std::string(bytes)};
  const reading again = read_to_end(trace::reader::open(stream, "memory"));
  check_same(whole, again, "a stream says other than memory");
  require(whole.failure.has_value() == again.failure.has_value(), "a stream ends other than memory");
  if (whole.failure) require(whole.failure->message() == again.failure->message(), "a stream fails other than memory");
}

void check_rewritten(const reading& what) {
  const written binary = write_all(what, {.compression = 1, .chunk_bytes = 256});
  require(binary.is_lossless, "the binary form lost something");
  const reading from_binary = read_all(binary.bytes);
  require(!from_binary.failure, "what was written cannot be read");
  check_same(what, from_binary, "the binary form says something else");
  const written text = write_all(what, {.form = form::text});
  const reading from_text = read_all(text.bytes);
  require(!from_text.failure, "what was written as text cannot be read");
  if (text.is_lossless) check_same(what, from_text, "the text form says something else:\n" + text.bytes);
  const std::string again = write_all(from_text, {.form = form::text}).bytes;
  if (again != text.bytes) fail("text becomes other text:\n" + text.bytes + "and then\n" + again);
}

}  // namespace

reading read_all(std::string_view bytes) { return read_to_end(trace::reader::open(std::as_bytes(std::span(bytes)))); }

void check_trace(std::string_view bytes) {
  const reading got = read_all(bytes);
  if (got.failure) check_message(*got.failure);
  check_streamed(bytes, got);
  check_rewritten(got);
}

}  // namespace weir::fuzz
