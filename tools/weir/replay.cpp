// SPDX-License-Identifier: Apache-2.0
//
// `weir replay`: what a trace costs and holds with each allocator.
#include "replay.hpp"

#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "byte_size.hpp"
#include "replay_clock.hpp"
#include "replay_device.hpp"
#include "replay_progress.hpp"
#include "replay_report.hpp"
#include "replay_run.hpp"
#include "replay_script.hpp"

namespace weir::cli {
namespace {

constexpr int exit_bad_input = 2;
constexpr int exit_our_bug = 70;

struct replay_options {
  std::vector<std::string> traces;
  std::string device;
  std::vector<std::string> allocators{"weir", "native"};
  unsigned passes = 2;
  std::string limit;
  std::string json;
  std::string sim_bytes = "140GiB";
};

// Where the JSON goes: opened before the replay, so that a place that cannot be written is known at once.
class json_sink {
 public:
  bool open(const std::string& path) {
    path_ = path;
    if (path_.empty() || is_stdout()) return true;
    file_.open(path_, std::ios::binary | std::ios::trunc);
    return file_.good();
  }
  bool is_stdout() const { return path_ == "-"; }
  bool write(const std::string& text) {
    if (path_.empty()) return true;
    if (is_stdout()) return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    file_ << text;
    return file_.flush().good();
  }

 private:
  std::string path_;
  std::ofstream file_;
};

int refuse(const std::string& message) {
  spdlog::error("{}", message);
  return exit_bad_input;
}

int refuse(const error& why) {
  spdlog::error("{}", why.message());
  return why.code == errc::internal ? exit_our_bug : exit_bad_input;
}

result<std::vector<replay_script>, trace::file_error> load(const std::vector<std::string>& paths,
                                                           replay_progress& progress) {
  std::vector<replay_script> scripts;
  for (const std::string& path : paths) {
    progress.show("reading " + path);
    auto script = load_replay_script(path);
    if (!script) return std::move(script).error();
    scripts.push_back(std::move(*script));
  }
  return scripts;
}

void warn_of_skipped(const replay_script& script) {
  if (script.skipped_blocks)
    spdlog::warn("{}: {} blocks of managed or host memory are left out", script.name, script.skipped_blocks);
}

// Fills report.runs.
result<void> replay_all(const std::vector<replay_script>& scripts, const replay_options& options,
                        replay_progress& progress, replay_report& report) {
  for (const replay_script& script : scripts) {
    for (const std::string& name : options.allocators) {
      replay_request request{script, report.device, report.clock, options.passes, report.bytes_max};
      request.progress = [&](unsigned pass) {
        progress.show("replaying " + script.name + " with " + name + ", pass " + std::to_string(pass) + " of " +
                      std::to_string(options.passes));
      };
      auto passes = replay(*find_replay_allocator(name), request);
      if (!passes) return std::move(passes).error();
      for (replay_figures& figures : *passes) report.runs.push_back(std::move(figures));
    }
  }
  return {};
}

int run_replay(const replay_options& options) {
  replay_progress progress;
  const auto scripts = load(options.traces, progress);
  progress.clear();
  if (!scripts) return refuse(scripts.error().message());
  for (const replay_script& script : *scripts) warn_of_skipped(script);

  const auto device = replay_device::open(options.device, *parse_bytes(options.sim_bytes));
  if (!device) return refuse(device.error());
  json_sink json;
  if (!json.open(options.json)) return refuse("cannot write " + options.json);

  const replay_clock clock;
  replay_report report{*device, clock, options.limit.empty() ? 0 : *parse_bytes(options.limit), {}};
  if (!json.is_stdout()) std::fputs((format_replay_heading(report) + '\n').c_str(), stdout), std::fflush(stdout);
  if (auto done = replay_all(*scripts, options, progress, report); !done) {
    progress.clear();
    return refuse(done.error());
  }
  progress.clear();
  if (!json.is_stdout()) std::fputs(format_replay_tables(report).c_str(), stdout);
  if (!json.write(format_replay_json(report))) return refuse("cannot write " + options.json);
  return 0;
}

CLI::Validator byte_count() {
  return CLI::Validator(
      [](const std::string& text) {
        const auto bytes = parse_bytes(text);
        return bytes && *bytes > 0 ? std::string() : "'" + text + "' is no number of bytes, such as 20GiB";
      },
      "BYTES");
}

CLI::Validator allocator_name() {
  return CLI::Validator(
      [](const std::string& text) {
        return find_replay_allocator(text) ? std::string() : "'" + text + "' is none of weir, native, direct";
      },
      "NAME");
}

}  // namespace

void setup_replay(CLI::App& app, int& status) {
  const auto options = std::make_shared<replay_options>();
  CLI::App* const command = app.add_subcommand("replay", "Replay traces through allocators: what they hold and cost");
  command->add_option("TRACE", options->traces, "Traces, binary or text")->required();
  command->add_option("--device", options->device,
                      "sim, cuda or cuda:N [the first GPU, or the simulated device where there is none]");
  command
      ->add_option("--allocator", options->allocators,
                   "Comma-separated: weir, native (the native pool alone), direct (cudaMalloc) [weir,native]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(allocator_name());
  command->add_option("--passes", options->passes, "Times each trace is replayed with one allocator [2]: "
                      "the first grows, the others reuse")
      ->check(CLI::Range(1u, 1000u));
  command->add_option("--limit", options->limit, "The most an allocator may reserve, such as 20GiB")
      ->check(byte_count());
  command->add_option("--sim-bytes", options->sim_bytes, "Memory of the simulated device [140GiB]")
      ->check(byte_count());
  command->add_option("--json", options->json, "Write the figures to FILE; - is stdout, in place of the tables")
      ->type_name("FILE");
  command->footer(
      "Example:\n"
      "  weir replay examples/traces/llm_serving.weir --allocator weir,native --json figures.json");
  command->callback([options, &status] { status = run_replay(*options); });
}

}  // namespace weir::cli
