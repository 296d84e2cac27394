// SPDX-License-Identifier: Apache-2.0
//
// Random programs on a pool over a simulated device. WEIR_SEED=n runs one seed, WEIR_SEEDS=n that many from WEIR_SEED
// on (0 if that is not set); without either, as many as ten seconds hold.
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>

#include "property/pool_driver.hpp"

namespace {

using weir::test::failure;
using weir::test::run_counts;
using weir::test::run_seed;

std::uint64_t number_of(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::string told(std::uint64_t seed, const failure& f) {
  std::string text = "seed " + std::to_string(seed) + ": " + f.what + "\n";
  const std::size_t first = f.log.size() > 200 ? f.log.size() - 200 : 0;
  for (std::size_t i = first; i < f.log.size(); ++i) text += "  " + f.log[i] + "\n";
  return text + "rerun with WEIR_SEED=" + std::to_string(seed);
}

}  // namespace

TEST_CASE("pool: random programs find every promise kept") {
  using clock = std::chrono::steady_clock;
  const std::uint64_t first = number_of("WEIR_SEED", 0);
  const bool is_counted = std::getenv("WEIR_SEED") || std::getenv("WEIR_SEEDS");
  const std::uint64_t count = is_counted ? number_of("WEIR_SEEDS", 1) : UINT64_MAX;
  const auto end = clock::now() + std::chrono::seconds(9);
  run_counts counts;
  std::uint64_t seed = first;
  unsigned found = 0;
  for (; seed - first < count && (is_counted || clock::now() < end) && found < 3; ++seed) {
    const auto f = run_seed(seed, counts);
    if (!f) continue;
    ++found;
    FAIL_CHECK(told(seed, *f));
  }
  CHECK(counts.allocations > 0);
  if (is_counted)
    std::cout << (seed - first) << " seeds, " << counts.steps << " steps, " << counts.allocations << " allocations, "
              << counts.deallocations << " frees, " << counts.refused << " refused, " << counts.launches
              << " launches\n";
}
