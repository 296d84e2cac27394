// SPDX-License-Identifier: Apache-2.0
#include "simulate_plan.hpp"

#include <algorithm>
#include <charconv>

namespace weir::simulation {

namespace {

struct named_operation {
  const char* name;
  unsigned weight;
};

constexpr named_operation operations[]{
    {"allocate", 16},   {"burst", 5},        {"pairs", 18},     {"queue", 8},         {"deallocate", 12},
    {"free_many", 4},   {"write", 10},       {"share", 6},      {"create_stream", 3}, {"retire_stream", 2},
    {"lose_stream", 1}, {"start_thread", 3}, {"end_thread", 2}, {"pass_on", 3},       {"advance", 8},
    {"synchronize", 3}, {"stall", 1},        {"trim", 3},       {"defragment", 2},    {"set_limit", 1},
    {"neighbour", 1},   {"direct", 1},       {"capture", 2},    {"relay", 6},         {"squeeze", 2},
    {"replace", 2},     {"guest", 2},        {"rest", 2},       {"bad_call", 2},
};
static_assert(std::size(operations) == operation_count);

// Those of sim::fault, in its order.
constexpr const char* fault_names[]{"allocate", "deallocate",  "trim",   "event",      "record", "wait",
                                    "query",    "synchronize", "direct", "unfinished", "sticky"};
static_assert(std::size(fault_names) == fault_count);

constexpr const char* plant_names[]{"none", "wait", "query", "leak"};

trim_policy random_policy(random_source& r, std::size_t device_bytes) {
  const auto bytes = [&] { return r.below(device_bytes / chunk_bytes) * chunk_bytes; };
  const auto time = [&] { return std::chrono::nanoseconds(static_cast<std::int64_t>(r.log_uniform(50'000'000))); };
  switch (r.below(6)) {
    case 0: return release_above(bytes());
    case 1: {
      const std::size_t low = bytes();
      return watermark(low, low + bytes());
    }
    case 2: return decay(time());
    case 3: return idle(time());
    case 4: return on_pressure(std::max(chunk_bytes, bytes()));
    default: return defragment_above(static_cast<double>(r.below(101)) / 100);
  }
}

pool_options random_options(random_source& r, std::size_t device_bytes) {
  pool_options o;
  o.checked = r.chance(15);
  o.trust_handles = r.chance(10);
  o.guard_capture = r.chance(10);
  o.bypass = r.chance(3);
  o.order = {r.chance(90), r.chance(90), r.chance(85), r.chance(90)};
  if (r.chance(30)) o.bytes_max = std::max(chunk_bytes, device_bytes / (1 + r.below(4)));
  if (r.chance(20)) o.soft_bytes_max = std::max(chunk_bytes, std::min(o.bytes_max, device_bytes) / (1 + r.below(4)));
  while (o.trim.size() < 3 && r.chance(40)) o.trim.push_back(random_policy(r, device_bytes));
  o.region_bytes = chunk_bytes << (r.chance(70) ? 0 : r.below(4));
  o.region_bytes_min = (4 * mib) << r.below(4);
  o.big_cache_share = r.chance(50) ? o.big_cache_share : static_cast<double>(r.below(101)) / 100;
  o.big_cache_fit = r.chance(50) ? o.big_cache_fit : static_cast<double>(r.below(101)) / 100;
  o.cache_bytes_max = r.chance(60) ? o.cache_bytes_max : r.chance(20) ? 0 : r.log_uniform(16 * mib);
  o.slack = r.chance(70) ? 0 : static_cast<double>(r.below(101)) / 100;
  return o;
}

pool_plan random_pool(random_source& r, std::size_t device_bytes) {
  pool_plan p;
  p.has_observer = r.chance(20);
  p.has_handler = r.chance(25);
  p.has_soft_handler = r.chance(50);
  p.is_backed = r.chance(50);
  p.options = random_options(r, device_bytes);
  return p;
}

fault_rates random_faults(random_source& r) {
  fault_rates rates{};
  if (!r.chance(30)) return rates;
  for (std::size_t i = 0; i < fault_count; ++i)
    if (r.chance(35)) rates[i] = static_cast<unsigned>(1 + r.below(100));
  rates[static_cast<std::size_t>(sim::fault::sticky)] = r.chance(15) ? 5 : 0;
  return rates;
}

}  // namespace

const char* to_string(operation o) noexcept { return operations[static_cast<std::size_t>(o)].name; }

std::optional<fault_rates> parse_faults(std::string_view text) {
  fault_rates rates{};
  if (text == "none") return rates;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view one = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    const std::size_t equals = std::min(one.find('='), one.size());
    const auto kind = std::ranges::find(fault_names, one.substr(0, equals));
    if (kind == std::end(fault_names) || equals + 1 >= one.size()) return std::nullopt;
    unsigned& rate = rates[static_cast<std::size_t>(kind - std::begin(fault_names))];
    const char* const end = one.data() + one.size();
    const auto read = std::from_chars(one.data() + equals + 1, end, rate);
    if (read.ec != std::errc{} || read.ptr != end || rate > 1000) return std::nullopt;
  }
  return rates;
}

std::string to_text(const fault_rates& rates) {
  std::string text;
  for (std::size_t i = 0; i < fault_count; ++i)
    if (rates[i]) text += (text.empty() ? "" : ",") + std::string(fault_names[i]) + "=" + std::to_string(rates[i]);
  return text.empty() ? "none" : text;
}

std::optional<plant> parse_plant(std::string_view text) {
  const auto found = std::ranges::find(plant_names, text);
  if (found == std::end(plant_names)) return std::nullopt;
  return static_cast<plant>(found - std::begin(plant_names));
}

plan::plan(const request& asked) {
  random_source r(asked.seed * 2 + 1);
  device_bytes = (std::size_t{4} + r.below(r.chance(20) ? 120 : 30)) * chunk_bytes;
  size_max = r.chance(40) ? 512 * mib : r.chance(50) ? 20 * mib : 64 * kib;
  check_every = r.chance(10) ? 1 : 40;
  launch_percent = r.chance(50) ? 70 : r.chance(50) ? 10 : 0;
  aligned_percent = r.chance(85) ? 15 : 80;
  interrupt_percent = r.chance(50) ? 0 : 20;
  threads_max = static_cast<unsigned>(1 + r.below(threads_most));
  streams_max = static_cast<unsigned>(2 + r.below(streams_most - 1));
  faults = random_faults(r);
  const std::size_t pool_count = r.chance(80) ? 1 : pools_most;
  for (std::size_t i = 0; i < operation_count; ++i)
    weights[i] = r.chance(20) ? 0 : r.chance(15) ? operations[i].weight * 5 : operations[i].weight;
  for (const operation o : {operation::allocate, operation::pairs}) {
    unsigned& weight = weights[static_cast<std::size_t>(o)];
    weight = std::max(weight, operations[static_cast<std::size_t>(o)].weight);
  }
  while (pools.size() < pool_count) pools.push_back(random_pool(r, device_bytes));
  pools.resize(std::max<std::size_t>(1, std::min<std::size_t>(pools.size(), asked.pools_max)));
  // A destroyed stream's handle may only be trusted by who never destroys one.
  if (std::ranges::any_of(pools, [](const pool_plan& p) { return p.options.trust_handles; }))
    weights[static_cast<std::size_t>(operation::lose_stream)] = weights[static_cast<std::size_t>(operation::replace)] =
        0;
  threads_max = std::max(1u, std::min(threads_max, asked.threads_max));
  streams_max = std::max(1u, std::min(streams_max, asked.streams_max));
  if (asked.faults) faults = *asked.faults;
}

}  // namespace weir::simulation
