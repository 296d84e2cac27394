// SPDX-License-Identifier: Apache-2.0
#include "replay.hpp"

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <iostream>
#include <memory>
#include <spdlog/spdlog.h>
#include <utility>

#include "allocator_plugin.hpp"
#include "exit_code.hpp"
#include "output_file.hpp"
#include "progress.hpp"
#include "replay_report.hpp"
#include "replay_run.hpp"
#include "trace_input.hpp"
#include "units.hpp"

namespace weir::cli {

namespace {

// The answer, or bad_input; an error of our own making is our bug.
template <class Value>
Value must(result<Value> answer) {
  if (answer) return std::move(*answer);
  if (answer.error().code == errc::internal) throw std::runtime_error(answer.error().message());
  throw bad_input(answer.error().message());
}

// All of them before the first is replayed, so that a bad one is known at once.
std::vector<replay_script> load(const replay_options& options) {
  std::vector<replay_script> scripts;
  for (const std::string& path : options.traces) {
    scripts.push_back(load_replay_script({.path = path, .allow_truncated = options.allow_truncated}));
    if (const auto skipped = scripts.back().skipped_blocks)
      spdlog::warn("{}: {} blocks of managed or host memory are left out", scripts.back().name, human_count(skipped));
  }
  return scripts;
}

std::vector<replay_figures> replay_all(const replay_options& options, const std::vector<replay_script>& scripts,
                                       const replay_report& report) {
  progress line("replay", 0);
  std::vector<replay_figures> runs;
  for (const replay_script& script : scripts) {
    for (const std::string& name : options.allocators) {
      replay_request request{script, report.device, report.clock, options.passes, options.bytes_max};
      request.before_pass = [&](unsigned pass) {
        line.say(script.name + ": replaying with " + name + ", pass " + std::to_string(pass) + " of " +
                 std::to_string(options.passes));
      };
      for (auto& figures : must(replay(name, request))) runs.push_back(std::move(figures));
    }
  }
  return runs;
}

void warn_of_plugins(const replay_options& options) {
  for (const std::string& name : options.allocators)
    if (plugin_path(name) && options.bytes_max) spdlog::warn("--limit does not bind {}", name);
}

CLI::Validator byte_count() {
  return CLI::Validator(
      [](std::string& text) {
        const auto bytes = parse_bytes(text);
        if (!bytes || *bytes == 0) return "'" + text + "' is no number of bytes such as 20GiB";
        text = std::to_string(*bytes);
        return std::string();
      },
      "BYTES");
}

CLI::Validator allocator_name() {
  return CLI::Validator(
      [](const std::string& text) {
        return is_replay_allocator(text) ? std::string()
                                         : "'" + text + "' is none of weir, native, direct, plugin:FILE.so";
      },
      "NAME,...");
}

}  // namespace

void setup_replay(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<replay_options>();
  CLI::App* sub = app.add_subcommand("replay", "Replay traces through allocators: what each holds and costs");
  sub->add_option("TRACE", options->traces, "The traces, in either form, in gzip or not; - for stdin")->required();
  sub->add_option("--device", options->device, "sim, cuda or cuda:N; else the first GPU, or sim where there is none");
  sub->add_option(
         "--allocator", options->allocators,
         "weir; native: every call to the native pool; direct: to cudaMalloc; plugin:FILE.so: to an allocator of "
         "yours (weir/plugin.h); else weir,native")
      ->delimiter(',')
      ->allow_extra_args(false)  // what stands after it is a trace
      ->check(allocator_name());
  sub->add_option("--passes", options->passes, "How often: the first pass grows, the others reuse")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  sub->add_option("--limit", options->bytes_max, "The most an allocator may reserve, such as 20GiB")
      ->transform(byte_count());
  sub->add_option("--sim-bytes", options->sim_bytes, "Memory of the simulated device; else 140GiB")
      ->transform(byte_count());
  sub->add_option("--json", options->json, "Figures as JSON, to FILE; - for stdout, in place of the tables")
      ->type_name("FILE");
  add_allow_truncated(*sub, options->allow_truncated);
  sub->footer("Example: weir replay llm_serving.weir --allocator weir,native --json figures.json");
  sub->callback([options, &exit_code] { exit_code = run_replay(*options); });
}

int run_replay(const replay_options& options) {
  const auto scripts = load(options);
  const auto device = must(replay_device::open(options.device, options.sim_bytes));
  const replay_clock clock;
  warn_of_plugins(options);
  replay_report report{device, clock, options.bytes_max, {}};
  const bool is_for_people = options.json != "-";
  if (is_for_people) std::cout << format_replay_heading(report) << '\n' << std::flush;
  report.runs = replay_all(options, scripts, report);
  if (is_for_people) std::cout << format_replay_tables(report) << std::flush;
  if (!options.json.empty()) write_output(options.json, format_replay_json(report));
  return fine;
}

}  // namespace weir::cli
