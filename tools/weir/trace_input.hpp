// SPDX-License-Identifier: Apache-2.0
//
// A trace as a subcommand reads it: either form, from a file or stdin ("-"), validated, with progress on a terminal.
// Whatever is wrong with it is thrown as bad_input.
//
//     trace_input in({.path = "run.weir"});
//     while (in.next()) use(in.record(), in.seen());
#pragma once

#include <cstdint>
#include <string>

#include "cli11_fwd.hpp"
#include "progress.hpp"
#include "weir/trace/reader.hpp"
#include "weir/trace/validator.hpp"

namespace weir::cli {

struct trace_input_options {
  std::string path;
  // Take what is whole of a trace that was cut, and say so, instead of refusing it.
  bool allow_truncated = false;
};

// --allow-truncated, with the same words in every subcommand.
void add_allow_truncated(CLI::App&, bool& value);

// The file's name up to its first dot: what tables and JSON call the trace.
std::string trace_name(const std::string& path);

class trace_input {
 public:
  explicit trace_input(const trace_input_options&);

  // False at the end.
  bool next();
  const trace::record& record() const noexcept { return record_; }
  const trace::observation& seen() const noexcept { return seen_; }

  const trace::reader& reader() const noexcept { return reader_; }
  const trace::validator& validator() const noexcept { return validator_; }
  bool is_truncated() const noexcept { return truncated_; }

 private:
  bool end_at(const trace::file_error&);

  trace_input_options options_;
  trace::reader reader_;
  trace::validator validator_;
  progress progress_;
  trace::record record_;
  trace::observation seen_;
  bool truncated_ = false;
};

}  // namespace weir::cli
