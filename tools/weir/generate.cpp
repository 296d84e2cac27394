// SPDX-License-Identifier: Apache-2.0
#include "generate.hpp"

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <spdlog/spdlog.h>
#include <utility>

#include "byte_count.hpp"
#include "exit_code.hpp"
#include "output_file.hpp"
#include "trace_maker.hpp"
#include "units.hpp"
#include "weir/version.hpp"

namespace weir::cli {

void setup_generate(CLI::App& app, int& exit_code) {
  CLI::App* sub = app.add_subcommand("generate", "Make a seeded trace of a workload");
  sub->require_subcommand(1);
  setup_generate_handover(*sub, exit_code);
  sub->footer("Example: weir generate handover --threads 8 --streams 16 --seed 7 --events 20000 -o handover.weir");
}

void add_generate_options(CLI::App& sub, generate_options& options) {
  sub.add_option("-o,--out", options.out, "The trace, in the binary form")->required()->type_name("FILE");
  sub.add_option("--seed", options.seed, "The same seed makes the same bytes")->capture_default_str();
  sub.add_option("--events", options.events, "How many allocations, frees and uses")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{100'000'000}))
      ->capture_default_str();
  sub.add_option("--bytes-max", options.bytes_max, "The most that is live at once, such as 20GiB; else 4GiB")
      ->transform(byte_count());
}

int run_generate(const generate_options& options, const std::string& workload_name,
                 const std::function<void(trace_maker&)>& workload) {
  output_file file(options.out);
  auto out = trace::writer::create(file.path(), {.facts = {{"workload", workload_name},
                                                           {"made_by", "weir generate " + workload_name},
                                                           {"seed", std::to_string(options.seed)}}});
  if (!out) throw bad_input(out.error().message());
  trace_maker make(*out);
  workload(make);
  if (auto done = out->finish(); !done) throw bad_input(done.error().message());
  file.commit();
  spdlog::info("{}: {} events, {} at the peak", options.out, human_count(make.events()),
               human_bytes(make.peak_live_bytes()));
  return fine;
}

}  // namespace weir::cli
