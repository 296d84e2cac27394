// SPDX-License-Identifier: Apache-2.0
//
// The command line. One file a subcommand: a struct of options, setup_NAME(), which adds them to the parser, and
// run_NAME(), which does the work and answers the exit code (exit_code.hpp). stdout carries data only; everything said
// to the person goes through spdlog to stderr.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <memory>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/spdlog.h>

#include "bench.hpp"
#include "convert.hpp"
#include "exit_code.hpp"
#include "generate.hpp"
#include "inspect.hpp"
#include "progress.hpp"
#include "replay.hpp"
#include "simulate.hpp"
#include "soak.hpp"
#include "weir/version.hpp"

namespace cli = weir::cli;

namespace {

// Takes the progress line away before it writes.
class stderr_sink final : public spdlog::sinks::ansicolor_stderr_sink_st {
 public:
  void log(const spdlog::details::log_msg& message) override {
    cli::clear_progress();
    spdlog::sinks::ansicolor_stderr_sink_st::log(message);
  }
};

void setup_log() {
  auto log = std::make_shared<spdlog::logger>("weir", std::make_shared<stderr_sink>());
  log->set_pattern("weir: %^%l%$: %v");
  spdlog::set_default_logger(std::move(log));
}

void be_quiet() {
  spdlog::set_level(spdlog::level::warn);
  cli::switch_progress_off();
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("Record, replay and compare the allocations of CUDA programs.", "weir");
  app.set_version_flag("--version", "weir " WEIR_VERSION);
  app.add_flag_callback("-q,--quiet", be_quiet, "Warnings and errors only, and no progress");
  app.require_subcommand(1);
  app.fallthrough();  // --quiet may stand behind the subcommand too
  app.footer(
      "Exit codes: 0 fine, 1 a finding, 2 bad usage or input, 70 a bug of ours.\n"
      "Example: weir inspect examples/traces/llm_serving.weir");
  int exit_code = cli::fine;
  cli::setup_bench(app, exit_code);
  cli::setup_convert(app, exit_code);
  cli::setup_generate(app, exit_code);
  cli::setup_inspect(app, exit_code);
  cli::setup_replay(app, exit_code);
  cli::setup_simulate(app, exit_code);
  cli::setup_soak(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? cli::fine : cli::bad_usage;
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    setup_log();
    return parse_and_run(argc, argv);
  } catch (const cli::bad_input& e) {
    spdlog::error("{}", e.what());
    return cli::bad_usage;
  } catch (const std::exception& e) {
    spdlog::critical("this is a bug of weir: {}", e.what());
    return cli::our_bug;
  }
}
