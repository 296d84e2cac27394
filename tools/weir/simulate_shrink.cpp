// SPDX-License-Identifier: Apache-2.0
#include "simulate_shrink.hpp"

#include <charconv>
#include <exception>
#include <utility>

#include "exit_code.hpp"
#include "weir/trace/writer.hpp"

namespace weir::simulation {

namespace {

// Enough to halve a few hundred steps down to one; a step that cannot be left out costs a run a halving.
constexpr unsigned runs_max = 2000;

class shrinker {
 public:
  explicit shrinker(finding f) : best_(std::move(f)) {}

  finding go() && {
    keep_steps_up_to_the_failure();
    leave_out_steps();
    for (unsigned n = 1; n < best_.asked.threads_max; ++n)
      if (with([&](request& q) { q.threads_max = n; })) break;
    for (unsigned n = 1; n < best_.asked.streams_max; ++n)
      if (with([&](request& q) { q.streams_max = n; })) break;
    with([](request& q) { q.pools_max = 1; });
    with([](request& q) { q.faults = fault_rates{}; });
    leave_out_steps();
    return std::move(best_);
  }

 private:
  void keep_steps_up_to_the_failure() {
    if (!best_.asked.is_partial)
      for (unsigned i = 0; i < best_.asked.steps; ++i) best_.asked.only.insert(i);
    best_.asked.is_partial = true;
    with([&](request& q) { std::erase_if(q.only, [&](unsigned i) { return i > best_.what.step; }); });
  }

  void leave_out_steps() {
    for (std::size_t width = best_.asked.only.size(); width >= 1; width /= 2) {
      std::size_t first = 0;
      while (first < best_.asked.only.size()) {
        const bool done = with([&](request& q) {
          const auto begin = std::next(q.only.begin(), static_cast<std::ptrdiff_t>(first));
          const std::size_t count = std::min(width, q.only.size() - first);
          q.only.erase(begin, std::next(begin, static_cast<std::ptrdiff_t>(count)));
        });
        if (!done) first += width;
      }
    }
  }

  // True, and the change stays, where the run still fails.
  template <class Change>
  bool with(Change change) {
    if (runs_ >= runs_max) return false;
    request changed = best_.asked;
    change(changed);
    ++runs_;
    figures ignored;
    auto again = run_once(changed, ignored);
    if (!again) return false;
    best_ = {std::move(changed), std::move(*again)};
    return true;
  }

  finding best_;
  unsigned runs_ = 0;
};

std::string text_of_steps(const std::set<unsigned>& steps) {
  std::string text;
  for (auto at = steps.begin(); at != steps.end();) {
    const unsigned first = *at;
    unsigned last = first;
    while (++at != steps.end() && *at == last + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(first) + (last > first ? "-" + std::to_string(last) : "");
  }
  return text.empty() ? "none" : text;
}

}  // namespace

std::optional<failure> run_once(const request& asked, figures& done, journal* told) {
  try {
    run one(asked, told != nullptr);
    auto found = one.go();
    done = one.figures();
    if (told) *told = one.journal();
    return found;
  } catch (const failure& f) {
    return f;
  } catch (const std::exception& e) {
    return failure{std::string("an exception: ") + e.what(), 0};
  }
}

finding shrink(finding f) { return shrinker(std::move(f)).go(); }

std::string command_of(const request& q) {
  std::string line = "weir simulate --seed " + std::to_string(q.seed);
  if (q.steps != steps_default) line += " --steps " + std::to_string(q.steps);
  if (q.is_partial) line += " --only " + text_of_steps(q.only);
  if (q.threads_max != threads_most) line += " --threads " + std::to_string(q.threads_max);
  if (q.streams_max != streams_most) line += " --streams " + std::to_string(q.streams_max);
  if (q.pools_max != pools_most) line += " --pools " + std::to_string(q.pools_max);
  if (q.faults) line += " --faults " + to_text(*q.faults);
  return line;
}

std::optional<std::set<unsigned>> parse_steps(std::string_view text) {
  std::set<unsigned> steps;
  if (text == "none") return steps;
  if (text.empty()) return std::nullopt;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](unsigned& n) {
    const auto read = std::from_chars(at, end, n);
    at = read.ptr;
    return read.ec == std::errc{} && n < 10'000'000;
  };
  while (at != end) {
    unsigned first = 0;
    if (!number(first)) return std::nullopt;
    unsigned last = first;
    if (at != end && *at == '-' && (++at, !number(last))) return std::nullopt;
    if (last < first || (at != end && (*at++ != ',' || at == end))) return std::nullopt;
    while (first <= last) steps.insert(first++);
  }
  return steps;
}

void write_trace(const std::string& path, const finding& f, const journal& told) {
  const auto good = [](const auto& done) {
    if (!done) throw cli::bad_input(done.error().message());
  };
  auto out = trace::writer::create(
      path, {.facts = {{"workload", "simulation"}, {"rerun", command_of(f.asked)}, {"finding", f.what.what}}});
  good(out);
  for (const journal::entry& e : told.entries()) {
    trace::record r = e.record;
    r.text = e.text;
    good(out->write(r));
  }
  good(out->write({.kind = trace::record_kind::mark, .text = f.what.what}));
  good(out->finish());
}

}  // namespace weir::simulation
