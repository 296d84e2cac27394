// SPDX-License-Identifier: Apache-2.0
#include "replay_report.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "byte_size.hpp"
#include "text_table.hpp"
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

// 273,730
std::string count(std::uint64_t value) {
  std::string text = std::to_string(value);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

// Three digits and the unit that fits: "9.5 ns", "1.04 µs", "167 µs".
std::string duration(double ns) {
  static constexpr std::array units{"ns", "µs", "ms", "s"};
  std::size_t unit = 0;
  for (; ns >= 999.5 && unit + 1 < units.size(); ++unit) ns /= 1000;
  const int decimals = ns >= 99.95 || (unit == 0 && ns >= 9.95) ? 0 : unit > 0 && ns < 9.995 ? 2 : 1;
  return print("%.*f %s", decimals, ns, units[unit]);
}

// Rounded down, so that 100 % means all of them.
std::string percent(double share) { return print("%.2f %%", static_cast<double>(static_cast<int>(share * 1e4)) / 100); }

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
    return std::vector<std::string>{count(run.operations),
                                    count(run.failed),
                                    format_bytes(run.peak_live_bytes),
                                    format_bytes(run.peak_reserved_bytes),
                                    print("%.3f", run.reserved_over_live()),
                                    duration(run.host_ms * 1e6),
                                    has_caches(run) ? percent(run.cached_rate) : none,
                                    has_caches(run) ? percent(run.hit_rate) : none,
                                    count(run.native_calls.total())};
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
      for (double ns : {call->p50, call->p90, call->p99, call->p999, call->max}) cells.push_back(duration(ns));
    return cells;
  });
  return table.format();
}

const replay_figures* last_pass(const std::vector<replay_figures>& runs, const std::string& trace,
                                const std::string& allocator) {
  const auto at = std::find_if(runs.rbegin(), runs.rend(), [&](const replay_figures& run) {
    return run.trace == trace && run.allocator == allocator;
  });
  return at == runs.rend() ? nullptr : &*at;
}

std::string times(double factor) {
  return factor >= 1 ? print("%.*f times less", factor < 10 ? 1 : 0, factor) : print("%.1f times more", 1 / factor);
}

std::string comparison(const replay_figures& ours, const replay_figures& native) {
  return print("%s, pass %u: weir took %s where the native pool took %s (%s), and held %.3f of peak live to its %.3f\n",
               ours.trace.c_str(), ours.pass, duration(ours.host_ms * 1e6).c_str(),
               duration(native.host_ms * 1e6).c_str(), times(native.host_ms / ours.host_ms).c_str(),
               ours.reserved_over_live(), native.reserved_over_live());
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

std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      (json += '\\') += c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      json += print("\\u%04x", static_cast<unsigned>(c));
    else
      json += c;
  }
  return json + '"';
}

std::string json_of(const latency_figures& call) {
  return print(R"({"p50": %.1f, "p90": %.1f, "p99": %.1f, "p999": %.1f, "max": %.1f})", call.p50, call.p90, call.p99,
               call.p999, call.max);
}

std::string json_of(const native_call_figures& calls) {
  return print(R"({"allocate": %llu, "deallocate": %llu, "grow": %llu, "trim": %llu})",
               static_cast<unsigned long long>(calls.allocate), static_cast<unsigned long long>(calls.deallocate),
               static_cast<unsigned long long>(calls.grow), static_cast<unsigned long long>(calls.trim));
}

std::string json_of(const replay_figures& run) {
  return "{\"trace\": " + quoted(run.trace) + ", \"allocator\": " + quoted(run.allocator) +
         ", \"pass\": " + std::to_string(run.pass) + ", \"operations\": " + std::to_string(run.operations) +
         ", \"failed\": " + std::to_string(run.failed) +
         ", \"peak_live_bytes\": " + std::to_string(run.peak_live_bytes) +
         ", \"peak_reserved_bytes\": " + std::to_string(run.peak_reserved_bytes) +
         ", \"reserved_over_live\": " + print("%.6f", run.reserved_over_live()) +
         ", \"host_ms\": " + print("%.6f", run.host_ms) + ", \"allocate_ns\": " + json_of(run.allocate_ns) +
         ", \"deallocate_ns\": " + json_of(run.deallocate_ns) + ", \"cached_rate\": " + print("%.6f", run.cached_rate) +
         ", \"hit_rate\": " + print("%.6f", run.hit_rate) + ", \"clock\": " +
         (run.is_modelled ? "\"modelled\"" : "\"measured\"") + ", \"native_calls\": " + json_of(run.native_calls) +
         ", \"waits_inserted\": " + std::to_string(run.waits_inserted) + "}";
}

std::string device_words(const replay_device& device) {
  const std::string bytes = format_bytes(device.bytes_total());
  if (!device.is_simulated()) return device.name() + " (" + bytes + ")";
  return "the simulated device (" + bytes + (device.choice().empty() ? "" : "; " + device.choice()) + ")";
}

}  // namespace

std::string format_replay_heading(const replay_report& report) {
  std::string text = std::string("weir ") + version() + " on " + device_words(report.device);
  if (report.bytes_max) text += ", limited to " + format_bytes(report.bytes_max);
  text += report.device.is_simulated() ? "; host times are measured host work plus modelled native calls\n"
                                       : "; host times are measured\n";
  return text + "the timer (" + report.clock.name() + ") adds up to " +
         duration(static_cast<double>(report.clock.floor_picoseconds()) / 1000) +
         " to each call: its floor, measured and not subtracted\n";
}

std::string format_replay_tables(const replay_report& report) {
  std::string text = footprint_table(report.runs) + '\n' + latency_table(report.runs);
  if (const std::string compared = comparisons(report.runs); !compared.empty()) text += '\n' + compared;
  return text;
}

std::string format_replay_json(const replay_report& report) {
  std::string text = "{\"weir\": " + quoted(version()) + ",\n \"device\": {\"kind\": " + quoted(report.device.kind()) +
                     ", \"name\": " + quoted(report.device.name()) +
                     ", \"bytes_total\": " + std::to_string(report.device.bytes_total()) + "},\n \"timer_floor_ns\": " +
                     print("%.1f", static_cast<double>(report.clock.floor_picoseconds()) / 1000) + ",\n \"runs\": [";
  const char* separator = "\n  ";
  for (const replay_figures& run : report.runs) text += std::exchange(separator, ",\n  ") + json_of(run);
  return text + "\n ]}\n";
}

}  // namespace weir::cli
