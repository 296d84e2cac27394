// SPDX-License-Identifier: Apache-2.0
//
// Reads a trace of either form, binary or text, each plain or in gzip, told apart by what the file holds and never by
// its name. Streaming, in bounded memory (under 4 MiB whatever the file claims), and safe with hostile files: whatever
// breaks the format is answered with file, position and reason. What a trace may say is one thing, what can have
// happened another: see validator.hpp.
//
//     auto trace = weir::trace::reader::open("llm_serving.weir");
//     if (!trace) return fail(trace.error().message());
//     weir::trace::record r;
//     for (;;) {
//       const auto more = trace->next(r);
//       if (!more) return fail(more.error().message());   // kind truncated: all records before were good
//       if (!*more) break;
//       use(r);
//     }
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "weir/result.hpp"
#include "weir/trace/file_error.hpp"
#include "weir/trace/record.hpp"

namespace weir::trace {

enum class form { binary, text };

// A key=value fact about the recording.
struct fact {
  std::string key;
  std::string value;
  bool quoted = false;  // see record::quoted
};

// Not thread-safe. Movable; a moved-from reader may only be destroyed or assigned to.
class WEIR_EXPORT reader {
 public:
  static result<reader, file_error> open(const std::string& path);
  // `bytes` and `stream` must outlive the reader; `name` stands for the file in messages.
  static result<reader, file_error> open(std::span<const std::byte> bytes, const std::string& name = "memory");
  static result<reader, file_error> open(std::istream& stream, const std::string& name);

  reader(reader&&) noexcept;
  reader& operator=(reader&&) noexcept;
  ~reader();

  // True and the next record, or false at the end. A trace that stops before its end marker (its program was killed,
  // the file was cut) gives every record before and then an error of kind truncated. After an error, or the end, the
  // answer stays the same.
  result<bool, file_error> next(record&);

  trace::form form() const noexcept;
  bool is_gzip() const noexcept;

  // Facts at the head of the trace. Those further down come as records.
  std::span<const fact> facts() const noexcept;
  std::optional<std::string_view> find_fact(std::string_view key) const noexcept;

  // The error to give when the record last read will not do.
  file_error refuse(file_error_kind, std::string reason) const;

  std::uint64_t records_read() const noexcept;     // facts at the head not counted
  std::uint64_t records_skipped() const noexcept;  // of kinds this version does not know
  // For progress: how far into the file, and its length where that is known, else 0.
  std::uint64_t bytes_read() const noexcept;
  std::uint64_t bytes_total() const noexcept;

 private:
  struct state;
  explicit reader(std::unique_ptr<state>) noexcept;
  std::unique_ptr<state> state_;
};

}  // namespace weir::trace
