// SPDX-License-Identifier: Apache-2.0
#include "inspect.hpp"

#include <CLI/App.hpp>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <set>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <string_view>

#include "exit_code.hpp"
#include "json.hpp"
#include "output_file.hpp"
#include "trace_input.hpp"
#include "trace_statistics.hpp"
#include "units.hpp"
#include "weir/version.hpp"

namespace weir::cli {

namespace {

using trace::record_kind;

std::string form_name(const trace::reader& in) {
  const std::string form = in.form() == trace::form::binary ? "binary" : "text";
  return in.is_gzip() ? form + " in gzip" : form;
}

std::uint64_t bucket_begin(std::size_t bucket) { return bucket == 0 ? 0 : std::uint64_t{1} << (bucket - 1); }

// A string of an untrusted file on the terminal: control characters as dots, cut.
std::string printable(std::string_view text) {
  constexpr std::size_t shown = 60;
  std::string out;
  for (const char c : text.substr(0, shown)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '.' : c;
  return text.size() > shown ? out + "…" : out;
}

template <class Function>
void for_each_kind(const trace_statistics& s, Function use) {
  for (int kind = 1; kind <= trace::record_kind_count; ++kind) {
    const auto k = static_cast<record_kind>(kind);
    if (const std::uint64_t count = s.count_of(k); count != 0) use(trace::to_string(k), count);
  }
}

class table {
 public:
  template <class... Args>
  void row(std::string_view label, fmt::format_string<Args...> format, Args&&... args) {
    out_ += fmt::format("{:<22}{}\n", label, fmt::format(format, std::forward<Args>(args)...));
  }
  void heading(std::string_view text) { out_.append("\n").append(text) += '\n'; }
  const std::string& text() const noexcept { return out_; }

 private:
  std::string out_;
};

void tabulate_head(table& t, const inspect_options& options, const trace_input& in, const trace_statistics& s) {
  t.row("trace", "{} ({}{})", trace_name(options.trace), form_name(in.reader()), in.is_truncated() ? ", cut" : "");
  t.row("records", "{}", human_count(in.reader().records_read()));
  for_each_kind(s, [&](const char* name, std::uint64_t n) { t.row(fmt::format("  {}", name), "{}", human_count(n)); });
  if (const auto skipped = in.reader().records_skipped(); skipped != 0)
    t.row("  of unknown kinds", "{}", human_count(skipped));
  if (s.lost() != 0) t.row("events lost", "{}", human_count(s.lost()));
  t.row("streams", "{}", s.streams().size());
  t.row("threads", "{}", s.threads());
  t.row("devices", "{}", s.devices());
  if (s.duration_ns() != 0) t.row("duration", "{}", human_ns(static_cast<double>(s.duration_ns())));
}

void tabulate_memory(table& t, const trace_input& in, const trace_statistics& s) {
  const trace::validator& v = in.validator();
  t.heading("memory (requested bytes)");
  t.row("  peak live", "{} ({}) at record {}", human_count(v.peak_live_bytes()), human_bytes(v.peak_live_bytes()),
        human_count(v.peak_record()));
  t.row("  most blocks live", "{}", human_count(v.peak_live_count()));
  t.row("  live at the end", "{} in {} blocks", human_bytes(v.live_bytes()), human_count(v.live_count()));
  t.row("  requested in all", "{}", human_bytes(s.bytes_total()));
  if (v.peak_native_bytes() != 0) t.row("  peak native", "{}", human_bytes(v.peak_native_bytes()));
  if (s.frees_elsewhere() != 0) t.row("  freed elsewhere", "{} on another stream", human_count(s.frees_elsewhere()));
}

void tabulate_lifetimes(table& t, const trace_statistics& s) {
  const log_histogram& l = s.lifetimes();
  t.heading("lifetimes (in allocations and frees)");
  t.row("  p50 / p90 / p99 / max", "  {} / {} / {} / {}", human_count(l.percentile(0.5)),
        human_count(l.percentile(0.9)), human_count(l.percentile(0.99)), human_count(l.max()));
}

void tabulate_sizes(table& t, const trace_statistics& s) {
  constexpr double bar_columns = 40;
  t.heading("sizes");
  t.row("  smallest, largest", "{}, {}", human_bytes(s.bytes_min()), human_bytes(s.bytes_max()));
  t.row("  distinct", "{}{}", s.distinct_sizes_cut() ? "over " : "", human_count(s.distinct_sizes()));
  t.row("  seen before", "{} of allocations", human_share(s.seen_before_share()));
  std::uint64_t most = 1;
  for (const size_statistics& bucket : s.sizes()) most = std::max(most, bucket.count);
  for (std::size_t i = 0; i < s.sizes().size(); ++i) {
    const size_statistics& bucket = s.sizes()[i];
    if (bucket.count == 0) continue;
    const auto bar =
        static_cast<std::size_t>(bar_columns * static_cast<double>(bucket.count) / static_cast<double>(most));
    t.row(i == 0 ? std::string("  0 B") : "  from " + human_bytes(bucket_begin(i)), "{:>12} {:>12} {}",
          human_count(bucket.count), human_bytes(bucket.bytes), std::string(bar, '#'));
  }
}

void tabulate_streams(table& t, const trace_statistics& s) {
  constexpr std::size_t shown = 32;
  t.heading("streams");
  std::size_t rows = 0;
  for (const auto& [number, stream] : s.streams()) {
    if (rows++ == shown) return t.row("  …", "{} more; --json has all", s.streams().size() - shown);
    t.row(fmt::format("  {} {}", number, printable(stream.name)), "{:>12} allocations {:>12} frees {:>12}",
          human_count(stream.allocations), human_count(stream.frees), human_bytes(stream.bytes));
  }
}

void tabulate_facts(table& t, const trace::reader& in) {
  if (in.facts().empty()) return;
  t.heading("facts");
  for (const trace::fact& f : in.facts()) t.row("  " + printable(f.key), " {}", printable(f.value));
}

std::string make_table(const inspect_options& options, const trace_input& in, const trace_statistics& s) {
  table t;
  tabulate_head(t, options, in, s);
  tabulate_memory(t, in, s);
  tabulate_lifetimes(t, s);
  tabulate_sizes(t, s);
  tabulate_streams(t, s);
  tabulate_facts(t, in.reader());
  return t.text();
}

void add_facts(json& out, const trace::reader& in) {
  std::set<std::string_view> keys;
  out.key("facts").begin_object();
  for (const trace::fact& f : in.facts()) {
    if (keys.insert(f.key).second) out.member(f.key, f.value);
  }
  out.end_object();
}

void add_streams(json& out, const trace_statistics& s) {
  out.key("streams").begin_array();
  for (const auto& [number, stream] : s.streams()) {
    out.begin_object().member("stream", number).member("name", stream.name).member("allocations", stream.allocations);
    out.member("deallocations", stream.frees).member("bytes", stream.bytes).end_object();
  }
  out.end_array();
}

void add_sizes(json& out, const trace_statistics& s) {
  out.key("sizes").begin_object().member("min", s.bytes_min()).member("max", s.bytes_max());
  out.member("total", s.bytes_total()).member("distinct", s.distinct_sizes());
  out.member("seen_before_rate", s.seen_before_share()).key("histogram").begin_array();
  for (std::size_t i = 0; i < s.sizes().size(); ++i) {
    const size_statistics& bucket = s.sizes()[i];
    if (bucket.count == 0) continue;
    out.begin_object().member("from", bucket_begin(i)).member("count", bucket.count);
    out.member("bytes", bucket.bytes).end_object();
  }
  out.end_array().end_object();
}

void add_lifetimes(json& out, const log_histogram& l) {
  out.key("lifetimes_in_operations").begin_object().member("count", l.count()).member("p50", l.percentile(0.5));
  out.member("p90", l.percentile(0.9)).member("p99", l.percentile(0.99)).member("max", l.max()).end_object();
}

std::string make_json(const inspect_options& options, const trace_input& in, const trace_statistics& s) {
  const trace::validator& v = in.validator();
  json out;
  out.begin_object().member("weir", WEIR_VERSION).member("trace", trace_name(options.trace));
  out.member("form", in.reader().form() == trace::form::binary ? "binary" : "text")
      .member("gzip", in.reader().is_gzip());
  out.member("truncated", in.is_truncated()).member("records", in.reader().records_read());
  out.member("records_skipped", in.reader().records_skipped()).key("kinds").begin_object();
  for_each_kind(s, [&](const char* name, std::uint64_t n) { out.member(name, n); });
  out.end_object().member("operations", v.operations()).member("threads", s.threads()).member("devices", s.devices());
  out.member("duration_ns", s.duration_ns()).member("events_lost", s.lost());
  out.member("peak_live_bytes", v.peak_live_bytes()).member("peak_live_record", v.peak_record());
  out.member("peak_live_count", v.peak_live_count()).member("peak_native_bytes", v.peak_native_bytes());
  out.key("live_at_end").begin_object().member("count", v.live_count()).member("bytes", v.live_bytes()).end_object();
  out.member("freed_on_another_stream", s.frees_elsewhere());
  add_lifetimes(out, s.lifetimes());
  add_sizes(out, s);
  add_streams(out, s);
  add_facts(out, in.reader());
  return out.end_object().text() + "\n";
}

}  // namespace

void setup_inspect(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<inspect_options>();
  CLI::App* sub = app.add_subcommand("inspect", "Tell what a trace holds");
  sub->add_option("TRACE", options->trace, "The trace, in either form, in gzip or not; - for stdin")->required();
  sub->add_option("--json", options->json, "Write JSON to this file, or to stdout for -, instead of a table");
  add_allow_truncated(*sub, options->allow_truncated);
  sub->footer("Example: weir inspect examples/traces/llm_serving.weir --json - | jq .peak_live_bytes");
  sub->callback([options, &exit_code] { exit_code = run_inspect(*options); });
}

int run_inspect(const inspect_options& options) {
  trace_input in({.path = options.trace, .allow_truncated = options.allow_truncated});
  trace_statistics statistics;
  while (in.next()) statistics.add(in.record(), in.seen());
  if (options.json.empty())
    write_output("-", make_table(options, in, statistics));
  else
    write_output(options.json, make_json(options, in, statistics));
  return in.is_truncated() ? finding : fine;
}

}  // namespace weir::cli
