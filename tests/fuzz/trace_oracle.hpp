// SPDX-License-Identifier: Apache-2.0
//
// What must be true of a trace whatever its bytes: read in one piece or in many it says the same, a validator takes or
// refuses each record, a message is one printable line, and what was read can be written and read again.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/trace/reader.hpp"
#include "weir/trace/writer.hpp"

namespace weir::fuzz {

struct reading {
  std::vector<trace::fact> facts;  // at the head
  std::vector<trace::record> records;
  std::deque<std::string> texts;  // what the records point into
  std::optional<trace::file_error> failure;
  std::uint64_t skipped = 0;
};

reading read_all(std::string_view bytes);

// Fails where the trace breaks one of the promises.
void check_trace(std::string_view bytes);

}  // namespace weir::fuzz
