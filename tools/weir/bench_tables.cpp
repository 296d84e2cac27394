// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "bench_report.hpp"
#include "replay_report.hpp"
#include "text_table.hpp"
#include "units.hpp"
#include "weir/version.hpp"

namespace weir::cli {
namespace {

using side = text_table::side;
constexpr const char* none = "–";

std::string fixed(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

// A decimal where it says something.
std::string number(double value) { return fixed(value, value < 100 ? 1 : 0); }

std::string bytes_or_none(const std::optional<std::size_t>& bytes) { return bytes ? human_bytes(*bytes) : none; }

// "256 B", "64 KiB": sizes of a bench are powers of two.
std::string size_title(std::size_t bytes) {
  constexpr std::array units{" B", " KiB", " MiB", " GiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && bytes % 1024 == 0 && unit + 1 < units.size(); bytes /= 1024) ++unit;
  return std::to_string(bytes) + units[unit];
}

std::size_t position(std::vector<std::string>& known, const std::string& name) {
  const auto at = std::find(known.begin(), known.end(), name);
  if (at != known.end()) return static_cast<std::size_t>(at - known.begin());
  known.push_back(name);
  return known.size() - 1;
}

// A line an allocator, a column a measurement: both in the order in which rows name them.
class pivot {
 public:
  void add(const std::string& allocator, const std::string& group, const std::string& title, std::string cell) {
    const std::size_t line = position(allocators_, allocator);
    const std::size_t column = position(keys_, group + '\n' + title);
    if (column == columns_.size()) columns_.push_back({title, side::right, group});
    if (line == cells_.size()) cells_.emplace_back();
    cells_[line].resize(std::max(cells_[line].size(), column + 1), none);
    cells_[line][column] = std::move(cell);
  }

  std::string format(const std::string& heading) const {
    if (columns_.empty()) return {};
    std::vector<text_table::column> columns{{"  allocator", side::left}};
    columns.insert(columns.end(), columns_.begin(), columns_.end());
    text_table table(std::move(columns));
    for (std::size_t line = 0; line < cells_.size(); ++line) {
      std::vector<std::string> row{"  " + allocators_[line]};
      row.insert(row.end(), cells_[line].begin(), cells_[line].end());
      row.resize(columns_.size() + 1, none);
      table.add(std::move(row));
    }
    return heading + '\n' + table.format() + '\n';
  }

 private:
  std::vector<std::string> allocators_;
  std::vector<std::string> keys_;
  std::vector<text_table::column> columns_;
  std::vector<std::vector<std::string>> cells_;
};

std::string pair_tables(const std::vector<pair_figures>& rows) {
  pivot median, p99, p999;
  for (const pair_figures& row : rows) {
    median.add(row.allocator, "", size_title(row.bytes), number(row.ns_median));
    p99.add(row.allocator, "", size_title(row.bytes), number(row.ns_p99));
    p999.add(row.allocator, "", size_title(row.bytes), number(row.ns_p999));
  }
  return median.format("pair: allocate and deallocate, ns, median of loops") +
         p99.format("pair, timed one by one, timer included: p99 ns") +
         p999.format("pair, timed one by one, timer included: p99.9 ns");
}

std::string batch_table(const std::vector<batch_figures>& rows) {
  pivot table;
  for (const batch_figures& row : rows)
    table.add(row.allocator, size_title(row.bytes), row.order, number(row.ns_median));
  return table.format("batch: 100 live blocks, freed in three orders, ns a pair");
}

std::string threads_tables(const bench_figures& figures) {
  pivot table;
  for (const threads_figures& row : figures.threads)
    table.add(row.allocator, "own streams", std::to_string(row.threads), fixed(row.mops, 2));
  for (const threads_figures& row : figures.shared_stream)
    table.add(row.allocator, "one stream", std::to_string(row.threads), fixed(row.mops, 2));
  return table.format("threads: 64 live blocks each, 256 B to 64 KiB, million operations a second in all");
}

const char* words_for(const std::string& pattern) {
  if (pattern == "one_way") return "hand-over, one way";
  if (pattern == "one_way_kernel") return "hand-over, one way, 20 µs kernels on the second stream";
  return "hand-over, ping-pong";
}

// A table for each pattern and depth.
std::string hand_over_tables(const std::vector<hand_over_figures>& rows) {
  std::vector<std::string> headings;
  std::vector<pivot> tables;
  for (const hand_over_figures& row : rows) {
    const std::string heading =
        std::string(words_for(row.pattern)) + ", " + std::to_string(row.depth) + " live: ns a pair, timer subtracted";
    const std::size_t at = position(headings, heading);
    if (at == tables.size()) tables.emplace_back();
    tables[at].add(row.allocator, "ns", size_title(row.bytes), number(row.ns_mean));
  }
  for (const hand_over_figures& row : rows)
    for (std::size_t at = 0; at < tables.size(); ++at)
      if (headings[at].starts_with(std::string(words_for(row.pattern)) + ", " + std::to_string(row.depth) + " live"))
        tables[at].add(row.allocator, "reserved at most", size_title(row.bytes),
                       bytes_or_none(row.reserved_bytes_peak));
  std::string text;
  for (std::size_t at = 0; at < tables.size(); ++at) text += tables[at].format(headings[at]);
  return text;
}

std::string makespan_table(const std::vector<makespan_figures>& rows) {
  pivot table;
  for (const makespan_figures& row : rows) {
    table.add(row.allocator, "", "ms", fixed(row.ms, 3));
    table.add(row.allocator, "", "preallocated", fixed(row.preallocated_ms, 3));
    table.add(row.allocator, "", "ratio", fixed(row.ratio(), 3));
    table.add(row.allocator, "", "first run", fixed(row.cold_ms, 3));
    table.add(row.allocator, "", "reserved at most", bytes_or_none(row.reserved_bytes_peak));
  }
  return table.format("makespan: four streams of kernels of 100 to 300 µs that allocate as they go");
}

std::string growth_table(const std::vector<growth_figures>& rows) {
  pivot table;
  for (const growth_figures& row : rows) {
    const std::string name = row.allocator + ", " + std::to_string(row.blocks) + " of " + size_title(row.bytes);
    table.add(name, "allocate", "mean", human_ns(row.ns_mean));
    table.add(name, "allocate", "max", human_ns(row.ns_max));
    table.add(name, "reserved", "grown", bytes_or_none(row.reserved_bytes));
    table.add(name, "reserved", "trimmed", bytes_or_none(row.reserved_bytes_trimmed));
    table.add(name, "", "trim", row.trim_ms ? human_ns(*row.trim_ms * 1e6) : none);
  }
  return table.format("growth: blocks from nothing, and back");
}

}  // namespace

std::string format_bench_heading(const bench_report& report) {
  return std::string("weir ") + version() + " on " + device_words(report.device) +
         (report.device.is_simulated() ? "\nhost times: measured host work plus modelled native calls"
                                       : "\nhost times: measured") +
         "; timer floor " + number(static_cast<double>(report.clock.floor_picoseconds()) / 1000) + " ns (" +
         report.clock.name() + ")" + (report.is_quick ? "\nquick: too short to be relied on" : "") + '\n';
}

std::string format_bench_tables(const bench_figures& figures) {
  std::string text = "floor: " + number(figures.floor_ns) + " ns for a pair of calls that do nothing\n\n";
  text += pair_tables(figures.pair) + batch_table(figures.batch) + threads_tables(figures) +
          hand_over_tables(figures.hand_over) + makespan_table(figures.makespan) + growth_table(figures.growth);
  for (const bench_refusal& one : figures.refused)
    text += one.section + " with " + one.allocator + " could not be measured: " + one.why + '\n';
  return text;
}

}  // namespace weir::cli
