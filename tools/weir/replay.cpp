// SPDX-License-Identifier: Apache-2.0
#include "replay.hpp"

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <spdlog/spdlog.h>
#include <utility>

#include "allocator_plugin.hpp"
#include "block_verifier.hpp"
#include "busy_kernel.hpp"
#include "byte_count.hpp"
#include "exit_code.hpp"
#include "output_file.hpp"
#include "progress.hpp"
#include "replay_report.hpp"
#include "replay_run.hpp"
#include "trace_input.hpp"
#include "units.hpp"
#include "weir/options_text.hpp"

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
    if (options.pace && options.pace_seconds == 0 && scripts.back().recorded_ns == 0)
      throw bad_input(path + ": neither times nor facts say how long the recording took; say it with --pace-seconds");
    if (const auto skipped = scripts.back().skipped_blocks)
      spdlog::warn("{}: {} blocks of managed or host memory are left out", scripts.back().name, human_count(skipped));
  }
  return scripts;
}

pool_options pool_options_of(const replay_options& options) {
  const auto& names = options.allocators;
  if (!options.pool.empty() && std::find(names.begin(), names.end(), "weir") == names.end())
    throw bad_input("--pool: these are options of weir, which is not among --allocator");
  auto parsed = parse_pool_options(options.pool);
  if (!parsed) throw bad_input("--pool: " + parsed.error().message());
  return std::move(*parsed);
}

std::uint64_t pace_of(const replay_options& options, const replay_script& script) {
  if (options.pace_seconds > 0) return static_cast<std::uint64_t>(options.pace_seconds * 1e9);
  return options.pace ? script.recorded_ns : 0;
}

std::string load_in_words(const replay_options& options) {
  std::string text;
  if (options.pace_seconds > 0)
    text = ", spread over " + human_ns(options.pace_seconds * 1e9);
  else if (options.pace)
    text = ", spread over each recording's time";
  if (!options.pool.empty()) text += ", weir with " + options.pool;
  if (options.verify) text += ", each block filled and checked";
  if (options.kernel_us > 0) text += ", a kernel of " + std::to_string(options.kernel_us) + " µs after each allocation";
  return text;
}

std::vector<replay_figures> replay_all(const replay_options& options, const std::vector<replay_script>& scripts,
                                       const replay_report& report) {
  std::optional<busy_kernel> kernel;
  if (options.kernel_us > 0) kernel = must(busy_kernel::make(report.device));
  std::unique_ptr<block_verifier> verifier;
  if (options.verify) verifier = must(block_verifier::make(report.device, options.verify_bytes));
  progress line("replay", 0);
  std::vector<replay_figures> runs;
  for (const replay_script& script : scripts) {
    for (const std::string& name : options.allocators) {
      replay_request request{script, report.device, report.clock, options.passes, options.bytes_max};
      request.pool = report.pool;
      request.pace_ns = pace_of(options, script);
      request.kernel = kernel ? &*kernel : nullptr;
      request.kernel_ns = options.kernel_us * 1000;
      request.verifier = verifier.get();
      request.spoil_every = options.spoil_every;
      request.has_threads = options.has_threads;
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

// The simulated device knows what it allocated itself.
void check_verifiable(const replay_options& options, const replay_device& device) {
  if (options.verify_bytes && !options.verify) throw bad_input("--verify-bytes means something with --verify alone");
  if (options.spoil_every && !options.verify) throw bad_input("--verify-spoil means something with --verify alone");
  if (!options.verify || !device.is_simulated()) return;
  for (const std::string& name : options.allocators)
    if (plugin_path(name)) throw bad_input("--verify: the simulated device cannot check the memory of " + name);
}

// 1 where a block did not hold what was put into it.
int verdict(const std::vector<replay_figures>& runs) {
  bool has_differences = false;
  for (const replay_figures& run : runs) {
    if (!run.verified || run.verified->differences == 0) continue;
    has_differences = true;
    for (const std::string& words : run.verified->first)
      spdlog::error("{}, {}, pass {}: {}", run.trace, run.allocator, run.pass, words);
  }
  return has_differences ? finding : fine;
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
  sub->add_option("--pool", options->pool, "Options of weir's pool, such as region_bytes=32MiB,slack=0.02")
      ->type_name("KEY=VALUE,...");
  sub->add_flag("--pace", options->pace, "Spread the events evenly over the recording's time; else at full speed");
  sub->add_option("--pace-seconds", options->pace_seconds, "Spread them evenly over so long")
      ->check(CLI::Range(1e-3, 1e6));
  sub->add_option("--kernel-us", options->kernel_us, "Run a kernel of so long after each allocation, on its stream")
      ->check(CLI::Range(1, 10'000'000));
  sub->add_flag("--verify", options->verify,
                "Fill each block by a kernel on its stream and check it on each stream that uses or frees it; exit 1 "
                "where it differs");
  sub->add_option("--verify-bytes", options->verify_bytes,
                  "Of larger blocks only so much: both ends and pages between; else all")
      ->transform(byte_count());
  sub->add_option("--verify-spoil", options->spoil_every, "Spoil one of so many blocks, to see that it is found")
      ->check(CLI::Range(1, 1'000'000'000));
  sub->add_option_function<std::string>(
         "--threads", [options](const std::string& text) { options->has_threads = text == "recorded"; },
         "recorded: each thread of the trace is one of ours, in the trace's order; one: all by one; else recorded")
      ->check(CLI::IsMember({"recorded", "one"}));
  sub->add_option("--json", options->json, "Figures as JSON, to FILE; - for stdout, in place of the tables")
      ->type_name("FILE");
  add_allow_truncated(*sub, options->allow_truncated);
  sub->footer("Example: weir replay llm_serving.weir --allocator weir,native --json figures.json");
  sub->callback([options, &exit_code] { exit_code = run_replay(*options); });
}

int run_replay(const replay_options& options) {
  const auto pool = pool_options_of(options);
  const auto scripts = load(options);
  const auto device = must(replay_device::open(options.device, options.sim_bytes));
  check_verifiable(options, device);
  const replay_clock clock;
  warn_of_plugins(options);
  replay_report report{device, clock, options.bytes_max, pool, load_in_words(options), {}};
  const bool is_for_people = options.json != "-";
  if (is_for_people) std::cout << format_replay_heading(report) << '\n' << std::flush;
  report.runs = replay_all(options, scripts, report);
  if (is_for_people) std::cout << format_replay_tables(report) << std::flush;
  if (!options.json.empty()) write_output(options.json, format_replay_json(report));
  return verdict(report.runs);
}

}  // namespace weir::cli
