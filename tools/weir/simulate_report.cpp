// SPDX-License-Identifier: Apache-2.0
#include "simulate_report.hpp"

#include <algorithm>
#include <cstdio>

#include "json.hpp"
#include "text_table.hpp"
#include "units.hpp"

namespace weir::cli {

namespace {

constexpr std::size_t lines_shown = 60;  // of a failing run, the last
constexpr std::size_t hashes_shown = 20;

std::string hex(std::uint64_t n) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(n));
  return text;
}

double per_second(const simulate_report& r) {
  return r.seconds > 0 ? static_cast<double>(r.all.operations()) / r.seconds / r.jobs : 0;
}

}  // namespace

std::string format_simulate_finding(const simulate_report::found& f) {
  const auto& asked = f.what.asked;
  std::string text = "seed " + std::to_string(asked.seed) + ", step " + std::to_string(f.what.what.step) + ": " +
                     f.what.what.what + "\n";
  const std::size_t first = f.lines.size() - std::min(f.lines.size(), lines_shown);
  if (first > 0) text += "  …\n";
  for (std::size_t i = first; i < f.lines.size(); ++i) text += "  " + f.lines[i] + "\n";
  text += "rerun: " + simulation::command_of(asked) + "\n";
  if (!f.trace.empty()) text += "trace: " + f.trace + "\n";
  return text;
}

std::string format_simulate_text(const simulate_report& r) {
  std::string text;
  if (r.hashes.size() <= hashes_shown)
    for (std::size_t i = 0; i < r.hashes.size(); ++i)
      text += "seed " + std::to_string(r.seed_first + i) + ": " + hex(r.hashes[i]) + "\n";
  text += "first seed " + std::to_string(r.seed_first) + ", " + human_count(r.hashes.size()) + " seeds, " +
          human_count(r.all.steps) + " steps, " + human_count(r.all.operations()) + " operations (" +
          human_count(r.all.allocations) + " allocations, " + human_count(r.all.deallocations) + " frees, " +
          human_count(r.all.refused) + " refused), " + human_count(r.all.launches) + " kernels, " +
          human_count(r.all.threads) + " threads, " + human_count(r.all.native_calls) + " device calls, at most " +
          human_count(r.all.calls_most) + " in one operation\n";
  text += human_ns(r.seconds * 1e9) + ", " + human_count(static_cast<std::uint64_t>(per_second(r))) +
          " operations a second and job, " + std::to_string(r.findings.size()) +
          (r.findings.size() == 1 ? " finding\n" : " findings\n");
  return text;
}

std::string format_simulate_json(const simulate_report& r) {
  json out;
  out.begin_object()
      .member("first_seed", r.seed_first)
      .member("seeds", r.hashes.size())
      .member("hash", hex(r.all.hash));
  out.member("steps", r.all.steps).member("operations", r.all.operations());
  out.member("allocations", r.all.allocations).member("deallocations", r.all.deallocations);
  out.member("refused", r.all.refused).member("launches", r.all.launches).member("threads", r.all.threads);
  out.member("hand_overs", r.all.hand_overs).member("native_calls", r.all.native_calls);
  out.member("calls_most", r.all.calls_most).member("seconds", r.seconds).member("jobs", r.jobs);
  out.member("operations_per_second_and_job", per_second(r));
  out.key("runs").begin_array();
  for (std::size_t i = 0; i < r.hashes.size(); ++i)
    out.begin_object().member("seed", r.seed_first + i).member("hash", hex(r.hashes[i])).end_object();
  out.end_array().key("findings").begin_array();
  for (const auto& f : r.findings) {
    out.begin_object().member("seed", f.what.asked.seed).member("step", f.what.what.step);
    out.member("what", f.what.what.what).member("rerun", simulation::command_of(f.what.asked));
    out.member("steps_done", f.what.asked.is_partial ? f.what.asked.only.size() : f.what.asked.steps);
    out.member("trace", f.trace).end_object();
  }
  out.end_array().end_object();
  return out.text() + "\n";
}

}  // namespace weir::cli
