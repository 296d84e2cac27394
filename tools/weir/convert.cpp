// SPDX-License-Identifier: Apache-2.0
#include "convert.hpp"

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <spdlog/spdlog.h>
#include <string_view>
#include <system_error>
#include <utility>

#include "exit_code.hpp"
#include "output_file.hpp"
#include "trace_input.hpp"
#include "units.hpp"
#include "weir/trace/writer.hpp"

namespace weir::cli {

namespace {

trace::form form_of(const convert_options& options) {
  const std::string_view out = options.out;
  if (options.to == "weir") return trace::form::binary;
  if (options.to == "text" || out == "-") return trace::form::text;
  if (out.ends_with(".weir")) return trace::form::binary;
  for (const char* ending : {".gz", ".trace", ".txt", ".text"}) {
    if (out.ends_with(ending)) return trace::form::text;
  }
  throw bad_input(options.out +
                  ": its ending tells no form; name it .weir, .trace or .trace.gz, or pass --to weir|text");
}

trace::writer_options writer_options_of(const convert_options& options, const trace::reader& in) {
  trace::writer_options to;
  to.form = form_of(options);
  to.gzip = options.gzip || (to.form == trace::form::text && options.out.ends_with(".gz"));
  to.compression = options.compression;
  to.facts.assign(in.facts().begin(), in.facts().end());
  return to;
}

void check_not_onto_itself(const convert_options& options) {
  std::error_code none;
  if (std::filesystem::equivalent(options.in, options.out, none)) {
    throw bad_input(options.out + ": is the input itself; give the output another name");
  }
}

// The answer of a writer's call, or bad_input.
template <class Result>
auto must(Result done) {
  if (!done) throw bad_input(done.error().message());
  if constexpr (!std::is_void_v<typename Result::value_type>) return std::move(*done);
}

void copy(trace_input& in, trace::writer& out) {
  while (in.next()) must(out.write(in.record()));
  must(out.finish());
}

void report(const trace_input& in, const trace::writer& out) {
  for (const trace::loss& loss : out.losses()) {
    spdlog::warn("the text form has no words for {}: {}", loss.what, human_count(loss.count));
  }
  if (const auto skipped = in.reader().records_skipped(); skipped != 0) {
    spdlog::warn("records of kinds this version does not know, left out: {}", human_count(skipped));
  }
  spdlog::info("{} records converted", human_count(out.records_written()));
}

}  // namespace

void setup_convert(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<convert_options>();
  CLI::App* sub = app.add_subcommand("convert", "Convert a trace between the binary form and text");
  sub->add_option("IN", options->in, "The trace, in either form, in gzip or not; - for stdin")->required();
  sub->add_option("OUT", options->out, "Ending in .weir, .trace, .txt or .gz; - for text on stdout")->required();
  sub->add_option("--to", options->to, "The form to write, where the ending does not tell")
      ->check(CLI::IsMember({"weir", "text"}));
  sub->add_flag("--gzip", options->gzip, "Pack text, whatever the ending");
  sub->add_option("--compression", options->compression, "0 (none) to 9 (smallest)")
      ->check(CLI::Range(0, 9))
      ->capture_default_str();
  add_allow_truncated(*sub, options->allow_truncated);
  sub->footer(
      "What the text form has no words for is counted on stderr.\n"
      "Example: weir convert llm_serving.trace.gz llm_serving.weir");
  sub->callback([options, &exit_code] { exit_code = run_convert(*options); });
}

int run_convert(const convert_options& options) {
  check_not_onto_itself(options);
  trace_input in({.path = options.in, .allow_truncated = options.allow_truncated});
  const trace::writer_options to = writer_options_of(options, in.reader());
  if (options.out == "-") {
    auto out = must(trace::writer::create(std::cout, "stdout", to));
    copy(in, out);
    report(in, out);
    return fine;
  }
  output_file file(options.out);
  auto out = must(trace::writer::create(file.path(), to));
  copy(in, out);
  file.commit();
  report(in, out);
  return fine;
}

}  // namespace weir::cli
