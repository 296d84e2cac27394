// SPDX-License-Identifier: Apache-2.0
//
// Writes a trace. The binary form reaches the file in whole chunks, so a program that is killed leaves a trace that is
// readable up to the last of them; flush() ends a chunk early.
//
//     auto out = weir::trace::writer::create("run.weir", {.facts = {{"workload", "demo"}}});
//     if (!out) return fail(out.error().message());
//     if (auto done = out->write({.kind = record_kind::allocate, .id = 0, .bytes = 4096}); !done) …
//     if (auto done = out->finish(); !done) …
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "weir/result.hpp"
#include "weir/trace/file_error.hpp"
#include "weir/trace/reader.hpp"
#include "weir/trace/record.hpp"

namespace weir::trace {

class record_sink;  // lib/trace

struct writer_options {
  trace::form form = trace::form::binary;
  // Of zlib, 0 (stored) to 9: each chunk of the binary form, or the whole text where gzip is asked for.
  int compression = 6;
  bool gzip = false;  // text only
  // Unpacked bytes after which a chunk of the binary form is written; at most 512 KiB. Smaller loses less in a crash
  // and compresses worse.
  std::size_t chunk_bytes = std::size_t{256} << 10;
  std::vector<fact> facts{};
};

// Something that the text form has no words for, and how often it was met.
struct loss {
  const char* what = "";
  std::uint64_t count = 0;
};

// Not thread-safe. Movable. Destroyed without finish(), it leaves a trace that ends where the last flush was.
class WEIR_EXPORT writer {
 public:
  // Makes or empties the file.
  static result<writer, file_error> create(const std::string& path, const writer_options& = {});
  // `stream` must outlive the writer; `name` stands for the file in messages.
  static result<writer, file_error> create(std::ostream& stream, std::string name, const writer_options& = {});

  writer(writer&&) noexcept;
  writer& operator=(writer&&) noexcept;
  ~writer();

  // Refuses a record that the format has no room for (a text over text_bytes_max, an alignment that is no power of
  // two); what was written before stays good. Does not ask whether the record makes sense: see validator.hpp.
  result<void, file_error> write(const record&);
  // Everything written so far is in the file, readable. Costs compression: not for every record.
  result<void, file_error> flush();
  // Writes the end marker and closes. Nothing may be written afterwards.
  result<void, file_error> finish();

  std::uint64_t records_written() const noexcept;  // facts of the options not counted
  // What the text form could not say of the records written; always empty for the binary form.
  std::vector<loss> losses() const;

 private:
  struct state;
  explicit writer(std::unique_ptr<state>) noexcept;
  static result<writer, file_error> begin(std::string name, std::unique_ptr<record_sink>, const writer_options&);
  std::unique_ptr<state> state_;
};

}  // namespace weir::trace
