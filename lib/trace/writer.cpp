// SPDX-License-Identifier: Apache-2.0
#include "weir/trace/writer.hpp"

#include <optional>
#include <utility>

#include "trace/gzip.hpp"
#include "trace/record_codec.hpp"
#include "trace/record_sink.hpp"

namespace weir::trace {

struct writer::state {
  std::string name;
  std::unique_ptr<record_sink> sink;
  std::uint64_t count = 0;
  std::optional<file_error> failure;  // of the bytes below: nothing more can be written
  bool finished = false;

  file_error refuse(file_error_kind kind, std::string reason) const {
    return {kind, name, position_unit::byte, 0, std::move(reason)};
  }
  result<void, file_error> keep(result<void, file_error> done) {
    if (!done) failure = done.error();
    return done;
  }
  result<void, file_error> write(const record& r) {
    if (failure) return *failure;
    if (finished) return refuse(file_error_kind::io, "a record after finish()");
    if (const char* why = unfit_for_trace(r)) return refuse(file_error_kind::limit, why);
    return keep(sink->write(r));
  }
};

namespace {

std::optional<std::string> fault_of(const writer_options& options) {
  if (options.compression < 0 || options.compression > 9) return "a compression that is not 0 to 9";
  if (options.gzip && options.form == form::binary) return "gzip around the binary form, which is packed already";
  return std::nullopt;
}

std::unique_ptr<record_sink> make_sink(std::unique_ptr<byte_sink> bytes, const writer_options& options) {
  if (options.form == form::binary) return make_binary_sink(std::move(bytes), options);
  if (options.gzip) bytes = make_gzip_sink(std::move(bytes), options.compression);
  return make_text_sink(std::move(bytes));
}

}  // namespace

writer::writer(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}
writer::writer(writer&&) noexcept = default;
writer& writer::operator=(writer&&) noexcept = default;
writer::~writer() = default;

result<writer, file_error> writer::create(const std::string& path, const writer_options& options) {
  if (auto why = fault_of(options)) return file_error{file_error_kind::io, path, position_unit::byte, 0, *why};
  auto bytes = create_file(path);
  if (!bytes) return std::move(bytes).error();
  return begin(path, make_sink(std::move(*bytes), options), options);
}

result<writer, file_error> writer::create(std::ostream& stream, std::string name, const writer_options& options) {
  if (auto why = fault_of(options)) return file_error{file_error_kind::io, name, position_unit::byte, 0, *why};
  auto bytes = make_stream_sink(stream, name);
  return begin(std::move(name), make_sink(std::move(bytes), options), options);
}

result<writer, file_error> writer::begin(std::string name, std::unique_ptr<record_sink> sink,
                                         const writer_options& options) {
  auto s = std::make_unique<state>();
  s->name = std::move(name);
  s->sink = std::move(sink);
  for (const fact& f : options.facts) {
    auto done = s->write({.kind = record_kind::fact, .quoted = f.quoted, .name = f.key, .text = f.value});
    if (!done) return std::move(done).error();
  }
  return writer(std::move(s));
}

result<void, file_error> writer::write(const record& r) {
  auto done = state_->write(r);
  if (done) ++state_->count;
  return done;
}

result<void, file_error> writer::flush() {
  if (state_->failure) return *state_->failure;
  if (state_->finished) return {};
  return state_->keep(state_->sink->flush());
}

result<void, file_error> writer::finish() {
  if (state_->failure) return *state_->failure;
  if (std::exchange(state_->finished, true)) return {};
  return state_->keep(state_->sink->finish());
}

std::uint64_t writer::records_written() const noexcept { return state_->count; }
std::vector<loss> writer::losses() const { return state_->sink->losses(); }

}  // namespace weir::trace
