// SPDX-License-Identifier: Apache-2.0
#include "bench.hpp"

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <spdlog/spdlog.h>
#include <thread>

#include "bench_allocators.hpp"
#include "bench_report.hpp"
#include "bench_sections.hpp"
#include "exit_code.hpp"
#include "output_file.hpp"
#include "progress.hpp"
#include "weir/options_text.hpp"

namespace weir::cli {
namespace {

constexpr unsigned threads_max = 256;
constexpr std::size_t sim_bytes = std::size_t{140} << 30;
// Nothing here has more than 8 GiB live or waiting to be freed; what holds much more is stopped, and its figure shows
// it.
constexpr std::size_t pool_bytes_max = std::size_t{16} << 30;

std::vector<std::string> allocators_of(const bench_options& options) {
  if (!options.allocators.empty()) return options.allocators;
  std::vector<std::string> all{"weir", "weir-raw", "native", "direct", "malloc"};
  if (bench_mimalloc::is_installed()) all.emplace_back("mimalloc");
  all.emplace_back("floor");
  return all;
}

std::vector<unsigned> threads_of(const bench_options& options) {
  if (!options.threads.empty()) return options.threads;
  std::vector<unsigned> all{1, 2, 4, 8, 16};
  std::erase_if(all, [](unsigned n) { return n > std::max(std::thread::hardware_concurrency(), 1U); });
  return all;
}

pool_options pool_options_of(const bench_options& options) {
  pool_options base;
  base.bytes_max = pool_bytes_max;
  auto parsed = parse_pool_options(options.pool, base);
  if (!parsed) throw bad_input("--pool: " + parsed.error().message());
  return std::move(*parsed);
}

bool is_chosen(const bench_options& options, const char* section) {
  const auto& chosen = options.sections;
  return chosen.empty() || std::find(chosen.begin(), chosen.end(), section) != chosen.end();
}

// So that a plugin that is none, or options that no pool takes, are known before anything is measured.
void try_allocators(const bench_stage& stage, const std::vector<std::string>& names) try {
  for (const std::string& name : names)
    with_bench_allocator(stage, name, [](const auto& make) { static_cast<void>(make(0)); });
} catch (const bench_failure& e) {
  throw bad_input(e.what());
}

void run_section(const bench_section& section, const bench_request& request, const std::string& allocator) {
  try {
    section.run(request, allocator);
  } catch (const std::exception& e) {
    spdlog::warn("{} with {}: {}", section.name, allocator, e.what());
    request.figures.refused.push_back({.allocator = allocator, .section = section.name, .why = e.what()});
  }
}

void run_sections(const bench_options& options, bench_stage& stage, const std::vector<std::string>& allocators,
                  bench_figures& figures) {
  figures.floor_ns = measure_bench_floor(stage);
  const bench_request request{stage, threads_of(options), figures};
  progress line("bench", 0);
  for (const bench_section& section : bench_sections) {
    if (!is_chosen(options, section.name)) continue;
    for (const std::string& allocator : allocators) {
      line.say(std::string("bench: ") + section.name + " with " + allocator);
      run_section(section, request, allocator);
    }
  }
}

replay_device open_device(const std::string& name) {
  auto device = replay_device::open(name, sim_bytes);
  if (!device) throw bad_input(device.error().message());
  return std::move(*device);
}

CLI::Validator allocator_name() {
  return CLI::Validator(
      [](const std::string& text) {
        return is_bench_allocator(text) ? std::string()
                                        : "'" + text +
                                              "' is none of weir, weir-raw, native, direct, malloc, mimalloc, floor, "
                                              "plugin:FILE.so";
      },
      "NAME,...");
}

CLI::Validator section_name() {
  return CLI::Validator(
      [](const std::string& text) {
        std::string names;
        for (const bench_section& section : bench_sections) {
          if (text == section.name) return std::string();
          names += (names.empty() ? "" : ", ") + std::string(section.name);
        }
        return "'" + text + "' is none of " + names;
      },
      "NAME,...");
}

}  // namespace

void setup_bench(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<bench_options>();
  CLI::App* sub = app.add_subcommand("bench", "Measure what allocators cost: pairs, threads, hand-overs, makespan");
  sub->add_option("--device", options->device, "sim, cuda or cuda:N; else the first GPU, or sim where there is none");
  sub->add_option("--allocator", options->allocators,
                  "weir: with tokens; weir-raw: handles, verified; native: every call to the native pool; direct: to "
                  "cudaMalloc; plugin:FILE.so: to an allocator of yours (weir/plugin.h); malloc, mimalloc and floor, "
                  "which does nothing, as yardsticks; else all but plugins")
      ->delimiter(',')
      ->check(allocator_name());
  sub->add_option("--section", options->sections, "pair, batch, threads, hand_over, makespan, growth; else all")
      ->delimiter(',')
      ->check(section_name());
  sub->add_option("--threads", options->threads, "How many at once; else 1,2,4,8,16 as far as there are processors")
      ->delimiter(',')
      ->check(CLI::Range(1U, threads_max));
  sub->add_option("--pool", options->pool,
                  "Options of weir's pools, such as slack=0.02; bytes_max is 16GiB unless said")
      ->type_name("KEY=VALUE,...");
  sub->add_flag("--quick", options->is_quick, "A few seconds in all: whether it works, not how fast");
  sub->add_option("--json", options->json, "Figures as JSON, to FILE; - for stdout, in place of the tables")
      ->type_name("FILE");
  sub->footer(
      "Example: weir bench --device cuda --allocator weir,native,plugin:./rmm_pool.so --json figures.json\n"
      "Example: weir bench --section pair,threads --threads 1,4");
  sub->callback([options, &exit_code] { exit_code = run_bench(*options); });
}

int run_bench(const bench_options& options) {
  const pool_options pool = pool_options_of(options);
  const replay_device device = open_device(options.device);
  const replay_clock clock;
  bench_report report{device, clock, pool, options.is_quick};
  bench_stage stage(device, clock, pool, options.is_quick);
  const auto allocators = allocators_of(options);
  try_allocators(stage, allocators);
  const bool is_for_people = options.json != "-";
  if (is_for_people) std::cout << format_bench_heading(report) << '\n' << std::flush;
  run_sections(options, stage, allocators, report.figures);
  if (is_for_people) std::cout << format_bench_tables(report.figures) << std::flush;
  if (!options.json.empty()) write_output(options.json, format_bench_json(report));
  return report.figures.refused.empty() ? fine : finding;
}

}  // namespace weir::cli
