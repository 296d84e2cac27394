// SPDX-License-Identifier: Apache-2.0
//
// Why a trace could not be read or written: file, position, reason.
//
//     llm.weir: byte 40960: the checksum of this chunk does not match
#pragma once

#include <cstdint>
#include <string>

#include "weir/export.hpp"

namespace weir::trace {

enum class file_error_kind {
  io,           // the operating system said no
  not_a_trace,  // neither form; an empty file too
  unsupported,  // a trace of a later version
  malformed,    // breaks the format: see docs/trace-format.md
  truncated,    // ends before its end; everything before the position was read and is good
  limit,        // within the format, but more than a reader or a validator will hold
  invalid,      // well-formed, but cannot have happened: see validator.hpp
};

enum class position_unit { byte, line };

struct [[nodiscard]] file_error {
  file_error_kind kind = file_error_kind::malformed;
  std::string file;
  position_unit unit = position_unit::byte;
  std::uint64_t position = 0;  // bytes count from 0, in the file as it lies on disk; lines from 1, after unpacking
  std::string reason;

  // "FILE: line 12: REASON". One line, printable whatever the file holds.
  WEIR_EXPORT std::string message() const;
};

}  // namespace weir::trace
