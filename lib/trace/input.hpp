// SPDX-License-Identifier: Apache-2.0
//
// A buffer before a byte_source that can look ahead, with the name of the file for messages. It holds 128 KiB, so that
// a line of text_bytes_max always fits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trace/byte_source.hpp"

namespace weir::trace {

class input {
 public:
  input(std::unique_ptr<byte_source> source, std::string name);

  // Reads ahead until `count` bytes (at most half the buffer) can be seen or the file ends; what there is.
  result<std::string_view, file_error> peek(std::size_t count);
  void consume(std::size_t count) noexcept { begin_ += count, position_ += count; }
  // Copies `count` bytes out, or as many as there are.
  result<std::size_t, file_error> read(char* to, std::size_t count);

  // The bytes up to the next newline, which is consumed too; nothing at the end. Valid until the next call.
  // A last line without newline is `whole == false`.
  struct line {
    std::string_view text;
    bool whole = true;
  };
  result<std::optional<line>, file_error> read_line(std::size_t bytes_max);

  const std::string& name() const noexcept { return name_; }
  // Of the next byte, in the bytes as this buffer sees them.
  std::uint64_t position() const noexcept { return position_; }
  const byte_source& source() const noexcept { return *source_; }

 private:
  std::string_view seen() const noexcept { return {buffer_.data() + begin_, end_ - begin_}; }
  // One more read; false at the end of the file.
  result<bool, file_error> fill();

  std::unique_ptr<byte_source> source_;
  std::string name_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace weir::trace
