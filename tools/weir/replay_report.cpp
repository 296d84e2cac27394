// SPDX-License-Identifier: Apache-2.0
#include "replay_report.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <set>
#include <utility>

#include "json.hpp"
#include "text_table.hpp"
#include "units.hpp"
#include "weir/options_text.hpp"
#include "weir/version.hpp"

namespace weir::cli {
namespace {

using side = text_table::side;
constexpr const char* none = "–";

__attribute__((format(printf, 1, 2))) std::string print(const char* format, ...) {
  std::array<char, 512> text{};
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text.data(), text.size(), format, arguments);
  va_end(arguments);
  return text.data();
}

// Rounded down, so that 100 % means all of them.
std::string share(double value) { return human_share(std::floor(value * 1e4) / 1e4); }

// As far as it is known.
std::string ratio(const replay_figures& run) {
  const auto value = run.reserved_over_live();
  return value ? print("%.3f", *value) : none;
}

bool has_caches(const replay_figures& run) { return run.allocator == "weir"; }

// A heading a trace; its rows name an allocator once.
template <class Cells>
void add_rows(text_table& table, const std::vector<replay_figures>& runs, Cells cells) {
  std::string trace, allocator;
  for (const replay_figures& run : runs) {
    if (const bool is_first = trace.empty(); trace != run.trace) {
      if (!is_first) table.add_heading("");
      table.add_heading(trace = run.trace);
      allocator.clear();
    }
    const bool is_named = std::exchange(allocator, run.allocator) == run.allocator;
    std::vector<std::string> row{is_named ? "" : "  " + allocator, std::to_string(run.pass)};
    for (std::string& cell : cells(run)) row.push_back(std::move(cell));
    table.add(std::move(row));
  }
}

std::string footprint_table(const std::vector<replay_figures>& runs) {
  text_table table({{"  allocator", side::left},
                    {"pass"},
                    {"operations"},
                    {"failed"},
                    {"peak live"},
                    {"reserved"},
                    {"ratio"},
                    {"host time"},
                    {"cached"},
                    {"hit"},
                    {"native calls"}});
  add_rows(table, runs, [](const replay_figures& run) {
    return std::vector<std::string>{human_count(run.operations),
                                    human_count(run.failed),
                                    human_bytes(run.peak_live_bytes),
                                    run.peak_reserved_bytes ? human_bytes(*run.peak_reserved_bytes) : none,
                                    ratio(run),
                                    human_ns(run.host_ms * 1e6),
                                    has_caches(run) ? share(run.cached_rate) : none,
                                    has_caches(run) ? share(run.hit_rate) : none,
                                    human_count(run.native_calls.total())};
  });
  return table.format();
}

std::string device_table(const std::vector<replay_figures>& runs) {
  text_table table({{"  allocator", side::left},
                    {"pass"},
                    {"makespan"},
                    {"background"},
                    {"streams made to wait"},
                    {"for fresh memory"}});
  add_rows(table, runs, [](const replay_figures& run) {
    return std::vector<std::string>{human_ns(run.makespan_ms * 1e6), human_ns(run.background_cpu_ms * 1e6),
                                    has_caches(run) ? human_count(run.waits_inserted) : none,
                                    has_caches(run) ? human_count(run.waits_fresh) : none};
  });
  return table.format();
}

std::string latency_table(const std::vector<replay_figures>& runs) {
  std::vector<text_table::column> columns{{"  allocator", side::left}, {"pass"}};
  for (const char* call : {"allocate", "deallocate"})
    for (const char* title : {"p50", "p90", "p99", "p99.9", "max"}) columns.push_back({title, side::right, call});
  text_table table(std::move(columns));
  add_rows(table, runs, [](const replay_figures& run) {
    std::vector<std::string> cells;
    for (const latency_figures* call : {&run.allocate_ns, &run.deallocate_ns})
      for (double ns : {call->p50, call->p90, call->p99, call->p999, call->max}) cells.push_back(human_ns(ns));
    return cells;
  });
  return table.format();
}

// Empty where nothing was verified.
std::string verify_table(const std::vector<replay_figures>& runs) {
  if (runs.empty() || !runs.front().verified) return {};
  text_table table(
      {{"  allocator", side::left}, {"pass"}, {"verified"}, {"differences"}, {"waits added between streams"}});
  add_rows(table, runs, [](const replay_figures& run) {
    return std::vector<std::string>{human_bytes(run.verified->bytes), human_count(run.verified->differences),
                                    human_count(run.verified->orders_added)};
  });
  return '\n' + table.format();
}

const replay_figures* last_pass(const std::vector<replay_figures>& runs, const std::string& trace,
                                const std::string& allocator) {
  const auto at = std::find_if(runs.rbegin(), runs.rend(), [&](const replay_figures& run) {
    return run.trace == trace && run.allocator == allocator;
  });
  return at == runs.rend() ? nullptr : &*at;
}

std::string comparison(const replay_figures& ours, const replay_figures& native) {
  return print("%s, pass %u: host time %s with weir, %s native (%.1f times that); reserved %s and %s of peak live\n",
               ours.trace.c_str(), ours.pass, human_ns(ours.host_ms * 1e6).c_str(),
               human_ns(native.host_ms * 1e6).c_str(), native.host_ms / ours.host_ms, ratio(ours).c_str(),
               ratio(native).c_str());
}

std::string comparisons(const std::vector<replay_figures>& runs) {
  std::string text;
  std::string trace;
  for (const replay_figures& run : runs) {
    if (std::exchange(trace, run.trace) == run.trace) continue;
    const auto* ours = last_pass(runs, run.trace, "weir");
    const auto* native = last_pass(runs, run.trace, "native");
    if (ours && native && ours->host_ms > 0) text += comparison(*ours, *native);
  }
  return text;
}

std::string silences(const std::vector<replay_figures>& runs) {
  std::set<std::string> silent;
  for (const replay_figures& run : runs)
    if (!run.peak_reserved_bytes) silent.insert(run.allocator);
  std::string text;
  for (const std::string& name : silent) text += name + " does not tell what it has reserved\n";
  return text;
}

void write(json& out, const char* name, const latency_figures& call) {
  out.key(name).begin_object();
  out.member("p50", call.p50).member("p90", call.p90).member("p99", call.p99).member("p999", call.p999);
  out.member("max", call.max).end_object();
}

void write(json& out, const native_call_figures& calls) {
  out.key("native_calls").begin_object();
  out.member("allocate", calls.allocate).member("deallocate", calls.deallocate);
  out.member("grow", calls.grow).member("trim", calls.trim).end_object();
}

constexpr std::array driver_work_names{"allocate", "deallocate", "trim", "order", "other"};

void write(json& out, const replay_figures& run) {
  out.begin_object();
  out.member("trace", run.trace).member("allocator", run.allocator).member("pass", run.pass);
  out.member("operations", run.operations).member("failed", run.failed);
  out.member("peak_live_bytes", run.peak_live_bytes).member("peak_reserved_bytes", run.peak_reserved_bytes);
  out.member("reserved_over_live", run.reserved_over_live()).member("host_ms", run.host_ms);
  out.member("makespan_ms", run.makespan_ms).member("background_cpu_ms", run.background_cpu_ms);
  out.key("driver_ms").begin_object();
  for (std::size_t i = 0; i < run.driver_ms.size(); ++i) out.member(driver_work_names[i], run.driver_ms[i]);
  out.end_object();
  write(out, "allocate_ns", run.allocate_ns);
  write(out, "deallocate_ns", run.deallocate_ns);
  out.member("cached_rate", run.cached_rate).member("hit_rate", run.hit_rate);
  out.member("clock", run.is_modelled ? "modelled" : "measured");
  write(out, run.native_calls);
  out.key("counts").begin_object();
  for (const auto& [name, count] : run.counts) out.member(name, count);
  out.end_object();
  out.member("waits_inserted", run.waits_inserted).member("waits_fresh", run.waits_fresh);
  std::optional<std::uint64_t> bytes, differences;
  if (run.verified) bytes = run.verified->bytes, differences = run.verified->differences;
  out.member("verified_bytes", bytes).member("differences", differences).end_object();
}

}  // namespace

std::string device_words(const replay_device& device) {
  const std::string bytes = human_bytes(device.bytes_total());
  if (!device.is_simulated()) return device.name() + " (" + bytes + ")";
  return "the simulated device (" + bytes + (device.choice().empty() ? "" : "; " + device.choice()) + ")";
}

std::string format_replay_heading(const replay_report& report) {
  std::string text = std::string("weir ") + version() + " on " + device_words(report.device);
  if (report.bytes_max) text += ", limited to " + human_bytes(report.bytes_max);
  text += report.load;
  text += report.device.is_simulated() ? "\nhost times: measured host work plus modelled native calls"
                                       : "\nhost times: measured";
  return text + "; timer floor " + human_ns(static_cast<double>(report.clock.floor_picoseconds()) / 1000) +
         " a call (" + report.clock.name() + "), included\n";
}

std::string format_replay_tables(const replay_report& report) {
  std::string text = footprint_table(report.runs) + '\n' + latency_table(report.runs) + '\n' +
                     device_table(report.runs) + verify_table(report.runs);
  if (const std::string compared = comparisons(report.runs); !compared.empty()) text += '\n' + compared;
  if (const std::string silent = silences(report.runs); !silent.empty()) text += '\n' + silent;
  return text;
}

std::string format_replay_json(const replay_report& report) {
  json out;
  out.begin_object().member("weir", version());
  out.key("device").begin_object().member("kind", report.device.kind()).member("name", report.device.name());
  out.member("bytes_total", report.device.bytes_total()).end_object();
  out.member("pool_options", to_text(report.pool));
  out.member("timer_floor_ns", static_cast<double>(report.clock.floor_picoseconds()) / 1000);
  out.key("runs").begin_array();
  for (const replay_figures& run : report.runs) write(out, run);
  return out.end_array().end_object().text() + '\n';
}

}  // namespace weir::cli
