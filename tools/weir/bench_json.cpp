// SPDX-License-Identifier: Apache-2.0
#include "bench_report.hpp"
#include "json.hpp"
#include "weir/options_text.hpp"
#include "weir/version.hpp"

namespace weir::cli {
namespace {

void members(json& out, const pair_figures& row) {
  out.member("bytes", row.bytes).member("ns_median", row.ns_median).member("ns_p50_timed", row.ns_p50);
  out.member("ns_p99", row.ns_p99).member("ns_p999", row.ns_p999);
}

void members(json& out, const batch_figures& row) {
  out.member("bytes", row.bytes).member("order", row.order).member("ns_median", row.ns_median);
}

void members(json& out, const threads_figures& row) { out.member("threads", row.threads).member("mops", row.mops); }

void members(json& out, const hand_over_figures& row) {
  out.member("bytes", row.bytes).member("depth", row.depth).member("pattern", row.pattern);
  out.member("ns_mean", row.ns_mean).member("ns_mean_timed", row.ns_mean_timed);
  out.member("reserved_bytes", row.reserved_bytes).member("reserved_bytes_peak", row.reserved_bytes_peak);
}

void members(json& out, const makespan_figures& row) {
  out.member("ms", row.ms).member("preallocated_ms", row.preallocated_ms).member("ratio", row.ratio());
  out.member("cold_ms", row.cold_ms).member("reserved_bytes_peak", row.reserved_bytes_peak);
}

void members(json& out, const growth_figures& row) {
  out.member("bytes", row.bytes).member("blocks", row.blocks).member("ns_mean", row.ns_mean);
  out.member("ns_max", row.ns_max).member("reserved_bytes", row.reserved_bytes).member("trim_ms", row.trim_ms);
  out.member("reserved_bytes_trimmed", row.reserved_bytes_trimmed);
}

void members(json& out, const bench_refusal& row) { out.member("section", row.section).member("why", row.why); }

template <class Row>
void write(json& out, const char* name, const std::vector<Row>& rows) {
  out.key(name).begin_array();
  for (const Row& row : rows) {
    out.begin_object().member("allocator", row.allocator);
    members(out, row);
    out.end_object();
  }
  out.end_array();
}

}  // namespace

std::string format_bench_json(const bench_report& report) {
  const bench_figures& figures = report.figures;
  json out;
  out.begin_object().member("weir", version());
  out.key("device").begin_object().member("kind", report.device.kind()).member("name", report.device.name());
  out.member("bytes_total", report.device.bytes_total()).end_object();
  out.member("clock", report.device.is_simulated() ? "modelled" : "measured").member("quick", report.is_quick);
  out.member("timer_floor_ns", static_cast<double>(report.clock.floor_picoseconds()) / 1000);
  out.member("floor_ns", figures.floor_ns);
  out.member("pool_options", to_text(report.pool));
  write(out, "pair", figures.pair);
  write(out, "batch", figures.batch);
  write(out, "threads", figures.threads);
  write(out, "shared_stream", figures.shared_stream);
  write(out, "hand_over", figures.hand_over);
  write(out, "makespan", figures.makespan);
  write(out, "growth", figures.growth);
  write(out, "refused", figures.refused);
  return out.end_object().text() + '\n';
}

}  // namespace weir::cli
