// SPDX-License-Identifier: Apache-2.0
//
// `weir bench` as a user sees it, on the simulated device and quickly: what it measures, not how fast that is.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "cli/parse_json.hpp"
#include "cli/run_weir.hpp"

using Catch::Matchers::ContainsSubstring;
using weir::test::json;
using weir::test::parse_json;
using weir::test::run_weir;
using weir::test::scratch_folder;

namespace {

std::string plugin(const std::string& name) { return "plugin:" WEIR_PLUGIN_DIR "/" + name + ".so"; }

json bench(const std::string& arguments) {
  const auto done = run_weir("bench --quick --device sim --json - " + arguments);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  CHECK(done.err.empty());
  return parse_json(done.out);
}

std::set<std::string> keys_of(const json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.members()) keys.insert(key);
  return keys;
}

bool is_null(const json& value) { return std::holds_alternative<std::nullptr_t>(value.value); }

// The names of a section's allocators, in order, each once.
std::vector<std::string> allocators_of(const json& rows) {
  std::vector<std::string> names;
  for (const json& row : rows.items())
    if (std::find(names.begin(), names.end(), row["allocator"].text()) == names.end())
      names.push_back(row["allocator"].text());
  return names;
}

const json& row_of(const json& rows, const std::string& allocator, double bytes) {
  for (const json& row : rows.items())
    if (row["allocator"].text() == allocator && row["bytes"].number() == bytes) return row;
  throw std::runtime_error("no row of " + allocator);
}

void check_refused(const std::string& arguments, const std::string& reason) {
  const auto done = run_weir("bench --quick " + arguments);
  INFO(arguments);
  CHECK(done.exit_code == 2);
  CHECK(done.out.empty());
  CHECK_THAT(done.err, ContainsSubstring(reason));
}

const std::vector<std::string> everybody{"weir", "weir-raw", "native", "direct", "malloc", "floor", "counter"};
const std::vector<std::string> of_device{"weir", "weir-raw", "native", "direct", "counter"};

}  // namespace

TEST_CASE("bench: JSON has every field of every section") {
  const json whole =
      bench("--threads 1,2 --allocator 'weir,weir-raw,native,direct,malloc,floor," + plugin("counter") + "'");
  CHECK(keys_of(whole) == std::set<std::string>{"weir", "device", "clock", "quick", "timer_floor_ns", "floor_ns",
                                                "pool_options", "pair", "batch", "threads", "shared_stream",
                                                "hand_over", "makespan", "growth", "refused"});
  CHECK(whole["clock"].text() == "modelled");
  CHECK(whole["floor_ns"].number() > 0);
  CHECK(whole["refused"].items().empty());

  CHECK(allocators_of(whole["pair"]) == everybody);
  CHECK(whole["pair"].items().size() == 7 * 11);
  for (const json& row : whole["pair"].items()) {
    CHECK(keys_of(row) ==
          std::set<std::string>{"allocator", "bytes", "ns_median", "ns_p50_timed", "ns_p99", "ns_p999"});
    CHECK(row["ns_median"].number() > 0);
    CHECK(row["ns_p50_timed"].number() <= row["ns_p99"].number());
    CHECK(row["ns_p99"].number() <= row["ns_p999"].number());
  }
  CHECK(allocators_of(whole["batch"]) == everybody);
  for (const json& row : whole["batch"].items())
    CHECK(keys_of(row) == std::set<std::string>{"allocator", "bytes", "order", "ns_median"});
  CHECK(allocators_of(whole["threads"]) ==
        std::vector<std::string>{"weir", "weir-raw", "native", "malloc", "floor", "counter"});
  CHECK(allocators_of(whole["shared_stream"]) == std::vector<std::string>{"weir", "weir-raw", "native", "counter"});
  for (const char* section : {"threads", "shared_stream"}) {
    for (std::size_t i = 0; i < whole[section].items().size(); ++i) {
      const json& row = whole[section].items()[i];
      CHECK(keys_of(row) == std::set<std::string>{"allocator", "threads", "mops"});
      CHECK(row["threads"].number() == static_cast<double>(1 + i % 2));
      CHECK(row["mops"].number() > 0);
    }
  }
  CHECK(allocators_of(whole["hand_over"]) == of_device);
  for (const json& row : whole["hand_over"].items())
    CHECK(keys_of(row) == std::set<std::string>{"allocator", "bytes", "depth", "pattern", "ns_mean", "ns_mean_timed",
                                                "reserved_bytes", "reserved_bytes_peak"});
  CHECK(allocators_of(whole["makespan"]) == of_device);
  for (const json& row : whole["makespan"].items())
    CHECK(keys_of(row) ==
          std::set<std::string>{"allocator", "ms", "preallocated_ms", "ratio", "cold_ms", "reserved_bytes_peak"});
  CHECK(allocators_of(whole["growth"]) == of_device);
  for (const json& row : whole["growth"].items())
    CHECK(keys_of(row) == std::set<std::string>{"allocator", "bytes", "blocks", "ns_mean", "ns_max", "reserved_bytes",
                                                "trim_ms", "reserved_bytes_trimmed"});
}

TEST_CASE("bench: a modelled pair costs what the model says, and a pair of nothing less than any") {
  const json rows = bench("--section pair --allocator native,direct,floor")["pair"];
  for (const double bytes : {256.0, 65536.0, 16777216.0}) {
    CHECK(row_of(rows, "native", bytes)["ns_median"].number() >= 1030);
    CHECK(row_of(rows, "direct", bytes)["ns_median"].number() >= 70'000);
    CHECK(row_of(rows, "floor", bytes)["ns_median"].number() < 1030);
    CHECK(row_of(rows, "native", bytes)["ns_p50_timed"].number() >= 1030);
  }
}

TEST_CASE("bench: batches are freed in three orders") {
  const json whole = bench("--section batch --allocator weir");
  std::set<std::string> orders;
  for (const json& row : whole["batch"].items()) orders.insert(row["order"].text());
  CHECK(orders == std::set<std::string>{"fifo", "lifo", "random"});
  CHECK(whole["pair"].items().empty());
}

TEST_CASE("bench: hand-overs are of three patterns, two depths, five sizes, and hold what is live") {
  const json whole =
      bench("--section hand_over --allocator 'native," + plugin("counter") + "," + plugin("secretive") + "'");
  std::set<std::string> kinds;
  for (const json& row : whole["hand_over"].items()) {
    const double live = row["bytes"].number() * row["depth"].number();
    INFO(row["allocator"].text() << " " << row["pattern"].text() << " " << live);
    kinds.insert(row["pattern"].text() + " " + std::to_string(row["depth"].number()) + " " +
                 std::to_string(row["bytes"].number()));
    CHECK(row["ns_mean"].number() <= row["ns_mean_timed"].number());
    if (row["allocator"].text() == "secretive") {
      CHECK(is_null(row["reserved_bytes"]));
      CHECK(is_null(row["reserved_bytes_peak"]));
      continue;
    }
    CHECK(row["reserved_bytes_peak"].number() >= live);
    // Nothing waits for the counter's addresses: what it holds is what is live at the end.
    if (row["allocator"].text() == "counter")
      CHECK(row["reserved_bytes"].number() == (row["pattern"].text() == "ping_pong" ? live : 0));
  }
  CHECK(kinds.size() == 3 * 2 * 5);
  CHECK(kinds.contains("one_way " + std::to_string(1.0) + " " + std::to_string(4096.0)));
  CHECK(kinds.contains("one_way_kernel " + std::to_string(64.0) + " " + std::to_string(67108864.0)));
}

TEST_CASE("bench: who waits for the device at each free is found by its makespan") {
  const json rows = bench("--section makespan --allocator 'direct," + plugin("counter") + "'")["makespan"];
  REQUIRE(rows.items().size() == 2);
  CHECK(rows.items()[0]["ratio"].number() > 2);
  CHECK(rows.items()[1]["ratio"].number() < 1.01);
  CHECK(rows.items()[1]["ms"].number() > 1);
}

TEST_CASE("bench: what grew is given back by a trim, where there is one") {
  const json rows = bench("--section growth --allocator 'weir,native," + plugin("counter") + "'")["growth"];
  for (const json& row : rows.items()) {
    INFO(row["allocator"].text() << " " << row["bytes"].number());
    CHECK(row["reserved_bytes"].number() >= row["blocks"].number() * row["bytes"].number());
    if (row["allocator"].text() == "counter") {
      CHECK(is_null(row["trim_ms"]));
      continue;
    }
    CHECK(row["trim_ms"].number() > 0);
    CHECK(row["reserved_bytes_trimmed"].number() == 0);
  }
}

TEST_CASE("bench: what fails is named, is a finding, and the rest goes on") {
  const auto done = run_weir("bench --quick --device sim --json - --section growth,pair --allocator 'native," +
                             plugin("tight") + "'");
  CHECK(done.exit_code == 1);
  CHECK_THAT(done.err, ContainsSubstring("no room"));
  const json whole = parse_json(done.out);
  CHECK(whole["refused"].items().size() == 2);
  CHECK(whole["refused"].items()[0]["section"].text() == "pair");
  CHECK(whole["growth"].items().size() == 3);
  // The sizes before the one that found no room stay.
  CHECK(whole["pair"].items().size() == 11 + 7);
}

TEST_CASE("bench: a thread that fails ends the measurement, not the others' wait") {
  const auto done = run_weir("bench --quick --device sim --json - --section threads --threads 4 --allocator '" +
                             plugin("tight") + "'");
  CHECK(done.exit_code == 1);
  CHECK(parse_json(done.out)["threads"].items().empty());
}

TEST_CASE("bench: options of the pool are taken and shown") {
  const json whole = bench("--section makespan --allocator weir --pool bytes_max=3GiB");
  CHECK_THAT(whole["pool_options"].text(), ContainsSubstring("bytes_max=3GiB"));
  check_refused("--device sim --pool nonsense=1", "nonsense");
}

TEST_CASE("bench: tables say what was measured and fit a terminal") {
  const scratch_folder scratch;
  const std::string path = scratch.path("figures.json");
  const auto done = run_weir("bench --quick --device sim --allocator weir,native,floor --json '" + path + "'");
  REQUIRE(done.exit_code == 0);
  for (const char* words : {"on the simulated device", "modelled native calls", "quick", "floor: ", "pair", "p99.9",
                            "random", "own streams", "one stream", "ping-pong", "makespan", "trimmed"})
    CHECK_THAT(done.out, ContainsSubstring(words));
  CHECK(parse_json(weir::test::read_file(path))["pair"].items().size() == 33);
  std::size_t width = 0;
  for (const char c : done.out) {
    if (c == '\n') width = 0;
    if ((c & 0xc0) != 0x80) ++width;
    REQUIRE(width <= 121);
  }
}

TEST_CASE("bench: mimalloc is used where it is installed, and refused by name where it is not") {
  const auto done = run_weir("bench --quick --device sim --json - --section pair --allocator mimalloc");
  if (done.exit_code == 0) {
    CHECK(allocators_of(parse_json(done.out)["pair"]) == std::vector<std::string>{"mimalloc"});
  } else {
    CHECK(done.exit_code == 2);
    CHECK_THAT(done.err, ContainsSubstring("no libmimalloc.so"));
  }
}

TEST_CASE("bench: what is unknown is refused before anything is measured") {
  check_refused("--device sim --allocator weir,tlsf", "'tlsf' is none of weir, weir-raw");
  check_refused("--device sim --section pairs", "'pairs' is none of pair, batch");
  check_refused("--device sim --threads 0", "--threads");
  check_refused("--device vulkan", "--device");
  check_refused("--device sim --allocator plugin:/nonexistent/a.so", "cannot be loaded");
  check_refused("--device sim --allocator '" + plugin("answers_7") + "'", "answered 7");
  check_refused("--device sim --nonsense", "--nonsense");
  check_refused("--device sim --pool bytes_max=1", "bytes_max");
  const auto done = run_weir("bench --quick --device sim --section makespan --allocator weir --json /nonexistent/a");
  CHECK(done.exit_code == 2);
}
