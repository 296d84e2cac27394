// SPDX-License-Identifier: Apache-2.0
#include "weir/trace/reader.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "trace/binary_form.hpp"
#include "trace/excerpt.hpp"
#include "trace/gzip.hpp"
#include "trace/record_source.hpp"
#include "trace/text_form.hpp"

namespace weir::trace {

namespace {

// Facts at the head are held, so they are bounded; a text header line is shorter than this anyway.
constexpr std::size_t facts_max = 4096;
constexpr std::size_t fact_bytes_max = std::size_t{1} << 20;

file_error no_trace(const input& bytes, std::string reason) {
  return {file_error_kind::not_a_trace, bytes.name(), position_unit::byte, 0, std::move(reason)};
}

bool looks_like_text(std::string_view head) noexcept {
  return head.front() == '#' || (head.size() > 1 && head[1] == ' ' && std::string_view("afc").find(head[0]) < 3);
}

// What the first bytes say, after unpacking.
result<form, file_error> tell_form(input& bytes) {
  const auto head = bytes.peek(binary_magic.size());
  if (!head) return head.error();
  if (head->empty()) return no_trace(bytes, "no trace: the file is empty");
  if (*head == binary_magic) return form::binary;
  if (binary_magic.starts_with(*head)) {
    return file_error{file_error_kind::truncated, bytes.name(), position_unit::byte, head->size(),
                      "the file is cut: its header is not whole"};
  }
  if (looks_like_text(*head)) return form::text;
  return no_trace(bytes, "no trace: it begins with " + excerpt(*head) + ", neither a binary trace nor a text one");
}

}  // namespace

struct reader::state {
  std::unique_ptr<record_source> source;
  trace::form form = trace::form::binary;
  bool gzip = false;
  std::vector<fact> facts;
  std::size_t fact_bytes = 0;
  bool pending = false;  // `first` is the record after the facts, not yet given
  record first;
  std::uint64_t count = 0;
  std::optional<result<bool, file_error>> end;  // what every further call answers

  static result<reader, file_error> open(std::unique_ptr<byte_source> bytes, const std::string& name);
  result<void, file_error> read_facts();
  bool keep_fact(const record&);
};

bool reader::state::keep_fact(const record& r) {
  fact_bytes += r.name.size() + r.text.size();
  if (facts.size() == facts_max || fact_bytes > fact_bytes_max) return false;
  facts.push_back({std::string(r.name), std::string(r.text), r.quoted});
  return true;
}

// An error here is one of the first record: given by next(), so that a trace cut within its head still opens.
result<void, file_error> reader::state::read_facts() {
  for (;;) {
    auto more = source->next(first);
    if (!more && more.error().kind != file_error_kind::truncated) return std::move(more).error();
    if (!more || !*more) {
      end = std::move(more);
      return {};
    }
    pending = first.kind != record_kind::fact;
    if (pending) return {};
    if (!keep_fact(first)) return source->refuse(file_error_kind::limit, "more than 4096 facts, or 1 MiB of them");
  }
}

result<reader, file_error> reader::state::open(std::unique_ptr<byte_source> source, const std::string& name) {
  input bytes(std::move(source), name);
  auto s = std::make_unique<state>();
  const auto head = bytes.peek(gzip_magic.size());
  if (!head) return head.error();
  s->gzip = *head == gzip_magic;
  if (s->gzip) bytes = input(make_gzip_source(std::move(bytes)), name);
  const auto told = tell_form(bytes);
  if (!told) return told.error();
  s->form = *told;
  s->source = *told == trace::form::binary ? make_binary_source(std::move(bytes)) : make_text_source(std::move(bytes));
  if (auto done = s->read_facts(); !done) return std::move(done).error();
  return reader(std::move(s));
}

reader::reader(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}
reader::reader(reader&&) noexcept = default;
reader& reader::operator=(reader&&) noexcept = default;
reader::~reader() = default;

result<reader, file_error> reader::open(const std::string& path) {
  auto bytes = open_file(path);
  if (!bytes) return std::move(bytes).error();
  return state::open(std::move(*bytes), path);
}

result<reader, file_error> reader::open(std::span<const std::byte> bytes, const std::string& name) {
  return state::open(make_memory_source(bytes), name);
}

result<reader, file_error> reader::open(std::istream& stream, const std::string& name) {
  return state::open(make_stream_source(stream, name), name);
}

result<bool, file_error> reader::next(record& r) {
  if (state_->end) return *state_->end;
  if (std::exchange(state_->pending, false)) {
    r = state_->first;
    ++state_->count;
    return true;
  }
  auto more = state_->source->next(r);
  if (more && *more)
    ++state_->count;
  else
    state_->end = more;
  return more;
}

form reader::form() const noexcept { return state_->form; }
bool reader::is_gzip() const noexcept { return state_->gzip; }
std::span<const fact> reader::facts() const noexcept { return state_->facts; }

std::optional<std::string_view> reader::find_fact(std::string_view key) const noexcept {
  const auto& facts = state_->facts;
  const auto found = std::find_if(facts.begin(), facts.end(), [key](const fact& f) { return f.key == key; });
  if (found == facts.end()) return std::nullopt;
  return found->value;
}

file_error reader::refuse(file_error_kind kind, std::string reason) const {
  return state_->source->refuse(kind, std::move(reason));
}

std::uint64_t reader::records_read() const noexcept { return state_->count; }
std::uint64_t reader::records_skipped() const noexcept { return state_->source->skipped(); }
std::uint64_t reader::bytes_read() const noexcept { return state_->source->bytes().source().offset(); }
std::uint64_t reader::bytes_total() const noexcept { return state_->source->bytes().source().total(); }

}  // namespace weir::trace
