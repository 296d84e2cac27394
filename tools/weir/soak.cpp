// SPDX-License-Identifier: Apache-2.0
#include "soak.hpp"

#include <CLI/App.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <iostream>
#include <memory>
#include <spdlog/spdlog.h>
#include <thread>
#include <utility>
#include <vector>

#include "byte_count.hpp"
#include "exit_code.hpp"
#include "json.hpp"
#include "output_file.hpp"
#include "progress.hpp"
#include "replay_clock.hpp"
#include "replay_report.hpp"
#include "soak_stage.hpp"
#include "soak_upkeep.hpp"
#include "soak_worker.hpp"
#include "units.hpp"
#include "weir/options_text.hpp"
#include "weir/version.hpp"

namespace weir::cli {
namespace {

using steady = std::chrono::steady_clock;

// Policies and a background thread, so that they too run beside everything else.
constexpr const char* pool_default = "background=20ms,trim=decay(500ms)+on_pressure(256MiB)";

// What is left when everything was freed, and what was done until then.
struct soak_report {
  double seconds = 0;
  weir::statistics statistics;
  std::size_t held_at_end = 0;
  std::size_t reserved_at_end = 0;
};

// Threads that run for some operations each; who is done is replaced until the soak is over.
class soak_crew {
 public:
  soak_crew(soak_stage& stage, random_source& random)
      : stage_(stage), random_(random), members_(stage.options.threads) {
    for (member& each : members_) start(each);
  }
  ~soak_crew() {
    for (member& each : members_) each.thread.join();
  }
  soak_crew(const soak_crew&) = delete;
  soak_crew& operator=(const soak_crew&) = delete;

  void replace_finished() {
    for (member& each : members_) {
      if (!each.is_done) continue;
      each.thread.join();
      start(each);
    }
  }

 private:
  struct member {
    std::thread thread;
    std::atomic<bool> is_done{false};
  };
  void start(member& each) {
    each.is_done = false;
    ++stage_.counts.threads_started;
    const std::uint64_t seed = random_.next();
    const std::uint64_t operations = random_.log_between(500, 50'000);
    each.thread = std::thread([this, &each, seed, operations] {
      soak_worker(stage_, seed).run(operations);
      each.is_done = true;
    });
  }

  soak_stage& stage_;
  random_source& random_;
  std::vector<member> members_;
};

void work(soak_stage& stage, random_source& random, steady::duration time) {
  progress line("soak", 0);
  const auto begin = steady::now();
  auto next_word = begin;
  soak_upkeep upkeep(stage, random.next());
  std::thread upkeeping([&] { upkeep.run(); });
  {
    soak_crew crew(stage, random);
    while (!stage.is_over && steady::now() - begin < time) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      crew.replace_finished();
      if (steady::now() < next_word) continue;
      next_word += std::chrono::seconds(1);
      line.say("soak: " + human_count(stage.counts.allocations + stage.counts.frees) + " operations, " +
               human_bytes(stage.live_bytes) + " live, " + human_count(stage.finding_count()) + " findings");
    }
    stage.is_over = true;
  }
  upkeeping.join();
}

void check_nothing_left(soak_stage& stage, soak_report& report) {
  const weir::statistics& s = report.statistics;
  const auto expect_none = [&](std::uint64_t number, const std::string& what) {
    if (number > 0) stage.find(what + " at the end: " + human_count(number));
  };
  expect_none(s.live_count, "live blocks");
  expect_none(s.allocated, "live bytes");
  expect_none(s.direct, "direct bytes");
  expect_none(report.held_at_end, "bytes held");
  expect_none(report.reserved_at_end, "bytes reserved");
  if (s.allocations != s.deallocations)
    stage.find(human_count(s.allocations) + " allocations and " + human_count(s.deallocations) + " frees");
  for (const std::string& broken : stage.pool->validate()) stage.find("at the end: " + broken);
}

// Everything freed, every stream retired, everything trimmed.
void wind_up(soak_stage& stage, random_source& random, soak_report& report) {
  stage.neighbour->hold(0, 0);
  soak_worker(stage, random.next()).free_all_left();
  if (auto done = stage.streams->close(); !done) stage.fail("retiring the streams", done.error());
  stage.collect();
  // The second has seen complete what the first gave back.
  for (int i = 0; i < 2; ++i) {
    if (auto done = stage.pool->trim(0); !done) stage.fail("the last trim", done.error());
    static_cast<void>(stage.pool->backend().synchronize_device());
  }
  report.statistics = stage.pool->statistics();
  report.held_at_end = report.statistics.held;
  report.reserved_at_end = report.statistics.reserved;
  check_nothing_left(stage, report);
}

double used_share(const soak_stage& stage) {
  return static_cast<double>(stage.bytes_used_peak) / static_cast<double>(stage.device.bytes_total());
}

using figures = std::vector<std::pair<const char*, std::uint64_t>>;

figures figures_of(const soak_stage& stage, const soak_report& report) {
  const soak_counts& c = stage.counts;
  return {{"operations", c.allocations + c.frees},
          {"allocations", c.allocations},
          {"frees", c.frees},
          {"checks", c.checks},
          {"uses_on_second_streams", c.uses},
          {"hand_overs", c.hand_overs},
          {"verified_bytes", stage.bytes_verified()},
          {"differences", stage.differences()},
          {"pressure_events", report.statistics.pressure_events},
          {"handler_calls", c.handler_calls},
          {"out_of_memory", c.out_of_memory},
          {"out_of_memory_looked_into", c.out_of_memory_looked_into},
          {"trims", c.trims},
          {"defragments", c.defragments},
          {"limits_set", c.limits},
          {"streams_retired", c.streams_retired},
          {"threads_started", c.threads_started},
          {"neighbour_moves", c.neighbour_moves},
          {"validations", c.validations},
          {"allocated_peak", report.statistics.allocated_peak},
          {"reserved_peak", report.statistics.reserved_peak},
          {"device_used_peak", stage.bytes_used_peak},
          {"held_at_end", report.held_at_end},
          {"reserved_at_end", report.reserved_at_end},
          {"findings", stage.finding_count()}};
}

std::string to_text(const soak_stage& stage, const soak_report& report) {
  std::string text = "seed " + std::to_string(stage.options.seed) + ", " + human_ns(report.seconds * 1e9) + ", " +
                     std::to_string(stage.options.threads) + " threads, " + std::to_string(stage.options.streams) +
                     " streams, " + human_share(used_share(stage)) + " of the device at the peak\n";
  for (const auto& [name, value] : figures_of(stage, report)) {
    const std::string key = name;
    const bool is_bytes = key.ends_with("_peak") || key.ends_with("_at_end") || key.ends_with("_bytes");
    text +=
        "  " + key + std::string(28 - key.size(), ' ') + (is_bytes ? human_bytes(value) : human_count(value)) + '\n';
  }
  return text;
}

std::string to_json(const soak_stage& stage, const soak_report& report) {
  json out;
  out.begin_object().member("weir", version());
  out.key("device").begin_object().member("kind", stage.device.kind()).member("name", stage.device.name());
  out.member("bytes_total", stage.device.bytes_total()).end_object();
  out.member("seed", stage.options.seed).member("seconds", report.seconds);
  out.member("threads", stage.options.threads).member("streams", stage.options.streams);
  out.member("pool_options", to_text(stage.pool->options()));
  for (const auto& [name, value] : figures_of(stage, report)) out.member(name, value);
  out.member("device_used_share", used_share(stage));
  out.key("found").begin_array();
  for (const std::string& what : stage.findings()) out.value(what);
  return out.end_array().end_object().text() + '\n';
}

pool_options pool_options_of(const soak_options& options) {
  auto parsed = parse_pool_options(options.pool.empty() ? pool_default : options.pool);
  if (!parsed) throw bad_input("--pool: " + parsed.error().message());
  return std::move(*parsed);
}

steady::duration time_of(const soak_options& options) {
  const double seconds = options.minutes * 60 + options.seconds;
  if (seconds <= 0) throw bad_input("say how long the soak takes: --minutes or --seconds");
  return std::chrono::duration_cast<steady::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

void setup_soak(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<soak_options>();
  CLI::App* sub = app.add_subcommand("soak", "Random verified work near the device's capacity, for minutes");
  sub->add_option("--device", options->device, "sim, cuda or cuda:N; else the first GPU, or sim where there is none");
  sub->add_option("--sim-bytes", options->sim_bytes, "Memory of the simulated device; else 140GiB")
      ->transform(byte_count());
  sub->add_option("--minutes", options->minutes, "How long")->check(CLI::Range(0.0, 1e5));
  sub->add_option("--seconds", options->seconds, "And so many seconds")->check(CLI::Range(0.0, 1e7));
  sub->add_option("--threads", options->threads, "Threads at once; each lives for a while")
      ->check(CLI::Range(1, 512))
      ->capture_default_str();
  sub->add_option("--streams", options->streams, "Streams at once; each lives for a while")
      ->check(CLI::Range(1, 512))
      ->capture_default_str();
  sub->add_option("--seed", options->seed, "Else from the clock; threads race, so the same seed is no same run");
  sub->add_option("--share", options->share, "How much of the device is taken at high tide, the neighbour counted in")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str();
  sub->add_option("--bytes-max", options->bytes_max, "A limit that stays, such as 20GiB; else limits come and go")
      ->transform(byte_count());
  sub->add_option("--pool", options->pool, "Options of the pool; else " + std::string(pool_default))
      ->type_name("KEY=VALUE,...");
  sub->add_option("--verify-spoil", options->spoil_every, "Spoil one of so many blocks, to see that it is found")
      ->check(CLI::Range(1, 1'000'000'000));
  sub->add_option("--json", options->json, "Figures as JSON, to FILE; - for stdout, in place of the text")
      ->type_name("FILE");
  sub->footer("Exits with 1 on any finding.\nExample: weir soak --minutes 8 --threads 8 --streams 16 --seed 7");
  sub->callback([options, &exit_code] { exit_code = run_soak(*options); });

  auto neighbour = std::make_shared<neighbour_options>();
  CLI::App* hidden = app.add_subcommand("soak-neighbour", "Holds as many bytes as each line of stdin says")->group("");
  hidden->add_option("--device", neighbour->device);
  hidden->add_option("--sim-bytes", neighbour->sim_bytes)->transform(byte_count());
  hidden->callback([neighbour, &exit_code] { exit_code = run_neighbour(*neighbour); });
}

int run_soak(soak_options options) {
  const auto time = time_of(options);
  auto of_pool = pool_options_of(options);
  auto device = replay_device::open(options.device, options.sim_bytes);
  if (!device) throw bad_input(device.error().message());
  if (options.seed == 0) options.seed = static_cast<std::uint64_t>(steady::now().time_since_epoch().count());
  const bool is_for_people = options.json != "-";
  if (is_for_people)
    std::cout << "weir " << version() << " soaks " << device_words(*device) << ", seed " << options.seed << std::endl;
  random_source random(options.seed);
  soak_report report;
  soak_stage stage(options, *device, std::move(of_pool));
  const auto begin = steady::now();
  work(stage, random, time);
  wind_up(stage, random, report);
  report.seconds = std::chrono::duration<double>(steady::now() - begin).count();
  if (is_for_people) std::cout << to_text(stage, report) << std::flush;
  if (!options.json.empty()) write_output(options.json, to_json(stage, report));
  for (const std::string& what : stage.findings()) spdlog::error("{}", what);
  return stage.finding_count() > 0 ? finding : fine;
}

}  // namespace weir::cli
