// SPDX-License-Identifier: Apache-2.0
//
// Traces in memory: written, read, taken apart.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/trace/reader.hpp"
#include "weir/trace/record.hpp"
#include "weir/trace/writer.hpp"

namespace weir::trace::test {

// Every field of a record, so that whole traces can be compared and a difference can be read.
std::string describe(const record&);
std::vector<std::string> describe(const std::vector<record>&);

std::string write_trace(const std::vector<record>&, const writer_options& = {});

// What a reader makes of bytes: the records until it ended, and why if not at the end. Facts at the head come first.
struct reading {
  std::vector<std::string> records;
  std::optional<file_error> failure;
  std::uint64_t skipped = 0;
};
reading read_trace(std::string_view bytes);
// The message of its failure, or "none".
std::string failure_of(std::string_view bytes);

// As `weir convert` does it.
struct conversion {
  std::string bytes;
  std::vector<loss> losses;
};
conversion convert(std::string_view bytes, writer_options);

std::string gzip(std::string_view bytes);

// A binary trace by hand: the file header, a chunk around a payload as it is, and the end marker.
std::string raw_header(unsigned major = 1);
std::string raw_chunk(std::string_view payload, unsigned type = 1);
std::string raw_end(std::uint64_t records);
// `kind`, length, payload.
std::string raw_record(std::uint64_t kind, std::string_view payload);

// One of each kind, all their fields set; then another round with other values.
const std::vector<record>& every_kind();

}  // namespace weir::trace::test
