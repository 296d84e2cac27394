// SPDX-License-Identifier: Apache-2.0
#include "trace_input.hpp"

#include <CLI/App.hpp>
#include <iostream>
#include <spdlog/spdlog.h>
#include <utility>

#include "exit_code.hpp"
#include "units.hpp"

namespace weir::cli {

namespace {

trace::reader open_trace(const std::string& path) {
  auto opened = path == "-" ? trace::reader::open(std::cin, "stdin") : trace::reader::open(path);
  if (!opened) throw bad_input(opened.error().message());
  return std::move(*opened);
}

}  // namespace

void add_allow_truncated(CLI::App& app, bool& value) {
  app.add_flag("--allow-truncated", value, "Read a cut trace up to where it is whole, instead of refusing it");
}

std::string trace_name(const std::string& path) {
  if (path == "-") return "stdin";
  const std::string file = path.substr(path.find_last_of('/') + 1);
  return file.substr(0, file.find('.', 1));
}

trace_input::trace_input(const trace_input_options& options)
    : options_(options),
      reader_(open_trace(options.path)),
      progress_(trace_name(options.path), reader_.bytes_total()) {}

bool trace_input::next() {
  constexpr std::uint64_t records_between_updates = 4096;
  const auto more = reader_.next(record_);
  if (!more) return end_at(more.error());
  if (!*more) return false;
  auto seen = validator_.observe(record_);
  if (!seen) throw bad_input(reader_.refuse(trace::file_error_kind::invalid, std::move(seen).error()).message());
  seen_ = *seen;
  if (reader_.records_read() % records_between_updates == 0) progress_.update(reader_.bytes_read());
  return true;
}

bool trace_input::end_at(const trace::file_error& e) {
  if (e.kind != trace::file_error_kind::truncated) throw bad_input(e.message());
  const std::string before = human_count(reader_.records_read()) + " records before it are whole";
  if (!options_.allow_truncated) throw bad_input(e.message() + "; " + before + ": --allow-truncated reads them");
  if (!std::exchange(truncated_, true)) spdlog::warn("{}; {}", e.message(), before);
  return false;
}

}  // namespace weir::cli
