// SPDX-License-Identifier: Apache-2.0
//
// Where the bytes of a trace come from: a file, memory, a stream, or one of them unpacked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>

#include "weir/result.hpp"
#include "weir/trace/file_error.hpp"

namespace weir::trace {

class byte_source {
 public:
  virtual ~byte_source() = default;
  // Fills `to` as far as it can; 0 only at the end.
  virtual result<std::size_t, file_error> read(std::span<char> to) = 0;
  // Bytes taken from the file so far, and the file's length or 0 where it is not known.
  virtual std::uint64_t offset() const = 0;
  virtual std::uint64_t total() const = 0;
};

result<std::unique_ptr<byte_source>, file_error> open_file(const std::string& path);
std::unique_ptr<byte_source> make_memory_source(std::span<const std::byte> bytes);
std::unique_ptr<byte_source> make_stream_source(std::istream& stream, std::string name);

}  // namespace weir::trace
