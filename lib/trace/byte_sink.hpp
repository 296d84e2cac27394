// SPDX-License-Identifier: Apache-2.0
//
// Where the bytes of a trace go.
#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>

#include "weir/result.hpp"
#include "weir/trace/file_error.hpp"

namespace weir::trace {

class byte_sink {
 public:
  virtual ~byte_sink() = default;
  virtual result<void, file_error> write(std::string_view bytes) = 0;
  // What was written is with the operating system: a killed process loses none of it.
  virtual result<void, file_error> flush() = 0;
  virtual result<void, file_error> close() = 0;
};

result<std::unique_ptr<byte_sink>, file_error> create_file(const std::string& path);
std::unique_ptr<byte_sink> make_stream_sink(std::ostream& stream, std::string name);

}  // namespace weir::trace
