// SPDX-License-Identifier: Apache-2.0
//
// The simulation as a test: the same seeds each time, a few new ones, and what it has to be able to find. A failure
// says the line that runs it again, smaller.
#include <algorithm>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <thread>
#include <vector>

#include "simulate_shrink.hpp"

namespace weir::simulation {
namespace {

using clock = std::chrono::steady_clock;

std::uint64_t hash_of(const request& asked) {
  figures done;
  const auto found = run_once(asked, done);
  INFO("seed " << asked.seed << ": " << (found ? found->what : ""));
  CHECK(!found);
  return done.hash;
}

// Runs seeds until the time is up; what fails is made small and said.
void run_seeds(std::uint64_t first, std::chrono::milliseconds time, std::uint64_t least) {
  const auto end = clock::now() + time;
  figures all;
  for (std::uint64_t i = 0; i < least || clock::now() < end; ++i) {
    figures done;
    const request asked{.seed = first + i};
    const auto found = run_once(asked, done);
    all.add(done);
    if (!found) continue;
    const finding small = shrink({asked, *found});
    FAIL("seed " << asked.seed << ": " << found->what << "\nsmaller: " << small.what.what << "\nrerun with "
                 << command_of(small.asked));
  }
  CHECK(all.operations() > 100'000);
  CHECK(all.threads > least);
}

// The first of some seeds that finds a planted fault, made small.
// The smallest of three: what leaving steps out comes to depends on the run it begins with.
finding find_planted(plant what) {
  std::vector<finding> all;
  for (std::uint64_t seed = 0; seed < 200 && all.size() < 3; ++seed) {
    const request asked{.seed = seed, .faults = fault_rates{}, .plant = what};
    figures ignored;
    if (const auto found = run_once(asked, ignored)) all.push_back(shrink({asked, *found}));
  }
  REQUIRE_FALSE(all.empty());
  return *std::ranges::min_element(all, {}, [](const finding& f) { return f.asked.only.size(); });
}

}  // namespace

TEST_CASE("pool: random programs find every promise kept") { run_seeds(0, std::chrono::seconds(5), 100); }

TEST_CASE("pool: so do programs that nobody has seen before") {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  run_seeds(static_cast<std::uint64_t>(now.count()), std::chrono::seconds(2), 20);
}

TEST_CASE("pool: the same seed is the same run, bit for bit") {
  std::vector<std::uint64_t> first;
  for (std::uint64_t seed = 0; seed < 30; ++seed) first.push_back(hash_of({.seed = seed}));
  for (std::uint64_t seed = 30; seed-- > 0;) CHECK(hash_of({.seed = seed}) == first[seed]);
  CHECK(hash_of({.seed = 1, .steps = 80}) != first[1]);
}

TEST_CASE("pool: a run does not depend on what else the process does") {
  const std::uint64_t alone = hash_of({.seed = 3});
  std::vector<std::uint64_t> beside(4);
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < beside.size(); ++i)
    threads.emplace_back([&, i] {
      figures done;
      for (const std::uint64_t seed : {i + 20, std::uint64_t{3}}) run_once({.seed = seed}, done);
      beside[i] = done.hash;
    });
  for (std::thread& t : threads) t.join();
  for (const std::uint64_t hash : beside) CHECK(hash == alone);
}

TEST_CASE("pool: a wait that is forgotten breaks an order, and a few steps show it") {
  const finding f = find_planted(plant::wait);
  CHECK(f.what.what.starts_with("violation: "));
  CHECK(f.asked.only.size() <= 12);
  CHECK(f.asked.threads_max <= 2);
}

TEST_CASE("pool: an event that completes too early breaks an order, and a few steps show it") {
  const finding f = find_planted(plant::query);
  CHECK(f.what.what.starts_with("violation: "));
  CHECK(f.asked.only.size() <= 12);
}

TEST_CASE("pool: native memory that is not given back is found, and a few steps show it") {
  const finding f = find_planted(plant::leak);
  CHECK(f.asked.only.size() <= 12);
}

TEST_CASE("pool: what a finding says runs it again") {
  const request asked{.seed = 7, .steps = 90, .threads_max = 2, .is_partial = true, .only = {3, 17, 40, 41, 42}};
  CHECK(command_of(asked) == "weir simulate --seed 7 --steps 90 --only 3,17,40-42 --threads 2");
  CHECK(parse_steps("3,17,40-42") == asked.only);
  CHECK(parse_steps("none") == std::set<unsigned>{});
  for (const char* bad : {"", "x", "3,", "4-2", "3-", "1 2", "99999999999"}) {
    INFO(bad);
    CHECK(!parse_steps(bad));
  }
  CHECK(to_text(*parse_faults("wait=5,allocate=20")) == "allocate=20,wait=5");
  CHECK(to_text(*parse_faults("none")) == "none");
  for (const char* bad : {"wait", "wait=", "wait=x", "wait=1001", "nothing=1", "wait=1;query=2"}) {
    INFO(bad);
    CHECK(!parse_faults(bad));
  }
}

}  // namespace weir::simulation
