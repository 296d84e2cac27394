// SPDX-License-Identifier: Apache-2.0
#include "simulate.hpp"

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <memory>
#include <mutex>
#include <spdlog/spdlog.h>
#include <thread>

#include "exit_code.hpp"
#include "output_file.hpp"
#include "progress.hpp"
#include "simulate_report.hpp"

namespace weir::cli {

namespace {

constexpr std::uint64_t seeds_default = 100;
constexpr std::size_t findings_max = 3;  // then it is time to look at them

std::uint64_t seed_of_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

// Seeds from the first on, each by whichever job is free; those behind one that failed may be left out.
class seed_runs {
 public:
  seed_runs(const simulation::request& asked, std::uint64_t first, std::uint64_t count)
      : asked_(asked), first_(first), done_(count), line_("simulate", count) {}

  void go(unsigned jobs) {
    std::vector<std::thread> others;
    for (unsigned i = 1; i < jobs; ++i) others.emplace_back([this] { work(); });
    work();
    for (std::thread& t : others) t.join();
  }

  // In the order of seeds, so that the hash of all is that of any number of jobs.
  void report(simulate_report& r) const {
    for (const auto& [figures, is_done] : done_) {
      if (!is_done) break;
      r.hashes.push_back(figures.hash);
      r.all.add(figures);
    }
  }
  std::vector<simulation::finding> findings() const {
    auto all = findings_;
    std::ranges::sort(all, {}, [](const simulation::finding& f) { return f.asked.seed; });
    return all;
  }

 private:
  struct slot {
    simulation::figures figures;
    bool is_done = false;
  };

  void work() {
    for (;;) {
      const std::uint64_t i = next_.fetch_add(1);
      if (i >= done_.size() || found_ >= findings_max) return;
      simulation::request one = asked_;
      one.seed = first_ + i;
      const auto failed = simulation::run_once(one, done_[i].figures);
      done_[i].is_done = true;
      const std::lock_guard lock(mutex_);
      line_.update(++finished_);
      if (!failed) continue;
      ++found_;
      findings_.push_back({one, *failed});
    }
  }

  const simulation::request asked_;
  const std::uint64_t first_;
  std::vector<slot> done_;
  std::atomic<std::uint64_t> next_{0};
  std::atomic<std::size_t> found_{0};
  std::mutex mutex_;  // of the rest
  std::uint64_t finished_ = 0;
  std::vector<simulation::finding> findings_;
  progress line_;
};

// Once more, now with words.
simulate_report::found examine(const simulate_options& options, simulation::finding f, bool is_first) {
  if (options.shrink) f = simulation::shrink(std::move(f));
  simulation::journal told;
  simulation::figures ignored;
  const auto again = simulation::run_once(f.asked, ignored, &told);
  if (!again || again->what != f.what.what)
    spdlog::warn("seed {}: the same run ended otherwise: {}", f.asked.seed, again ? again->what : "no finding");
  simulate_report::found found{std::move(f), told.lines(), is_first ? options.trace : ""};
  if (found.trace.empty()) found.trace = "simulate-" + std::to_string(found.what.asked.seed) + ".weir";
  simulation::write_trace(found.trace, found.what, told);
  return found;
}

CLI::Validator fault_text() {
  return CLI::Validator(
      [](const std::string& text) {
        return simulation::parse_faults(text)
                   ? std::string()
                   : "'" + text +
                         "' is neither none nor KIND=STEPS_OF_1000,... with kinds "
                         "allocate deallocate trim event record wait query synchronize direct "
                         "unfinished sticky";
      },
      "none|KIND=RATE,...");
}

CLI::Validator step_list() {
  return CLI::Validator(
      [](const std::string& text) {
        return simulation::parse_steps(text) ? std::string() : "'" + text + "' is no list of steps such as 3,17,40-44";
      },
      "STEPS");
}

CLI::Validator plant_name() {
  return CLI::Validator(
      [](const std::string& text) {
        return simulation::parse_plant(text) ? std::string() : "'" + text + "' is none of none, wait, query, leak";
      },
      "NAME");
}

}  // namespace

void setup_simulate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<simulate_options>();
  CLI::App* sub = app.add_subcommand("simulate", "Random programs on simulated devices: is every promise kept?");
  sub->add_option("--seeds", options->seeds, "How many runs, each from a seed; else 100, or 1 where --seed is given")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32));
  sub->add_option("--seed", options->seed, "The first seed; else from the clock");
  sub->add_option("--steps", options->asked.steps, "Of each run")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  sub->add_option_function<std::string>(
         "--faults", [options](const std::string& text) { options->asked.faults = simulation::parse_faults(text); },
         "In how many of 1000 steps the next calls of a kind fail, such as wait=5,allocate=20; else as each seed says")
      ->check(fault_text());
  sub->add_flag("--shrink", options->shrink, "Make a failing run small: fewer steps, threads, streams, faults");
  sub->add_option_function<std::string>(
         "--only",
         [options](const std::string& text) {
           options->asked.is_partial = true;
           options->asked.only = *simulation::parse_steps(text);
         },
         "Only these steps, as a smaller run says them")
      ->check(step_list());
  sub->add_option("--threads", options->asked.threads_max, "At most so many threads at once")
      ->check(CLI::Range(1u, simulation::threads_most));
  sub->add_option("--streams", options->asked.streams_max, "At most so many streams besides the default ones")
      ->check(CLI::Range(1u, simulation::streams_most));
  sub->add_option("--pools", options->asked.pools_max, "At most so many pools on the device")
      ->check(CLI::Range(1u, simulation::pools_most));
  sub->add_option("--jobs", options->jobs, "Runs at the same time")->check(CLI::Range(1, 40))->capture_default_str();
  sub->add_option("--json", options->json, "Figures as JSON, to FILE; - for stdout, in place of the text")
      ->type_name("FILE");
  sub->add_option("-o,--output", options->trace,
                  "Where the trace of the first failing run goes; of others to simulate-SEED.weir")
      ->type_name("TRACE");
  sub->add_option_function<std::string>(
         "--plant", [options](const std::string& text) { options->asked.plant = *simulation::parse_plant(text); })
      ->check(plant_name())
      ->group("");  // for tests of the checkers
  sub->footer("Example: weir simulate --seeds 1000 --shrink");
  sub->callback([options, &exit_code] { exit_code = run_simulate(*options); });
}

int run_simulate(const simulate_options& options) {
  simulate_report report;
  report.seed_first = options.seed ? *options.seed : seed_of_clock();
  report.jobs = options.jobs;
  const std::uint64_t count = options.seeds ? options.seeds : options.seed ? 1 : seeds_default;
  spdlog::info("first seed {}", report.seed_first);
  const auto begin = std::chrono::steady_clock::now();
  seed_runs runs(options.asked, report.seed_first, count);
  runs.go(options.jobs);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  runs.report(report);
  clear_progress();
  const bool is_for_people = options.json != "-";
  for (const simulation::finding& f : runs.findings()) {
    report.findings.push_back(examine(options, f, report.findings.empty()));
    if (is_for_people) std::cout << format_simulate_finding(report.findings.back()) << '\n' << std::flush;
  }
  if (is_for_people) std::cout << format_simulate_text(report) << std::flush;
  if (!options.json.empty()) write_output(options.json, format_simulate_json(report));
  return report.findings.empty() ? fine : finding;
}

}  // namespace weir::cli
