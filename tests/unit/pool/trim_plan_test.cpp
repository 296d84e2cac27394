// SPDX-License-Identifier: Apache-2.0
//
// Policies as arithmetic: what each wants given back of which numbers, and how they compose.
#include "pool/trim_plan.hpp"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <random>
#include <vector>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using detail::low_water;
using detail::needs_of;
using detail::plan_trim;
using detail::sightings;
using detail::trim_numbers;
using detail::trim_plan;
using detail::trim_state;

constexpr std::size_t chunk = std::size_t{32} << 20;
constexpr std::uint64_t ms = 1'000'000;

trim_numbers numbers(std::size_t reserved_chunks, std::size_t free_chunks, std::uint64_t now_ns = 0) {
  return {.now_ns = now_ns, .reserved = reserved_chunks * chunk, .free = free_chunks * chunk, .chunk_bytes = chunk};
}

trim_plan once(std::vector<trim_policy> policies, const trim_numbers& n) {
  trim_state fresh;
  return plan_trim(policies, n, fresh);
}

TEST_CASE("plan: no policy, and retain, keep everything") {
  for (const std::vector<trim_policy>& policies : {std::vector<trim_policy>{}, {retain()}, {retain(), retain()}}) {
    const auto plan = once(policies, numbers(100, 100));
    CHECK(plan.keep == SIZE_MAX);
    CHECK(plan.idle_ns == 0);
    CHECK_FALSE(plan.defragment);
  }
}

TEST_CASE("plan: release_above keeps its bytes") {
  CHECK(once({release_above(7)}, numbers(100, 0)).keep == 7);
  CHECK(once({release_above(7)}, numbers(0, 0)).keep == 7);  // and the pool has less: nothing to give back
}

TEST_CASE("plan: watermark keeps the low mark once the high one is passed, and nothing before") {
  const auto w = watermark(10 * chunk, 20 * chunk);
  CHECK(once({w}, numbers(20, 20)).keep == SIZE_MAX);
  CHECK(once({w}, numbers(21, 20)).keep == 10 * chunk);
}

TEST_CASE("plan: on_pressure gives everything back when the device has less, and nothing while nobody asked") {
  trim_numbers n = numbers(10, 5);
  CHECK(once({on_pressure(1000)}, n).keep == SIZE_MAX);
  n.device_free = 1000;
  CHECK(once({on_pressure(1000)}, n).keep == SIZE_MAX);
  n.device_free = 999;
  CHECK(once({on_pressure(1000)}, n).keep == 0);
}

TEST_CASE("plan: policies compose to the one that keeps least") {
  trim_numbers n = numbers(100, 50);
  n.device_free = 10;
  CHECK(once({release_above(50), release_above(30), retain(), watermark(40, 60)}, n).keep == 30);
  CHECK(once({release_above(50), watermark(40, 60)}, n).keep == 40);
  CHECK(once({release_above(50), on_pressure(11)}, n).keep == 0);
  CHECK(once({idle(3s), idle(2s), idle(4s)}, n).idle_ns == 2'000'000'000);
}

TEST_CASE("plan: defragment_above, past its ratio and with more than a chunk free, and not at once again") {
  trim_numbers n = numbers(100, 50);
  n.fragmentation = 0.5;
  n.free_outside_caches = chunk + 1;
  CHECK(once({defragment_above(0.4)}, n).defragment);
  CHECK_FALSE(once({defragment_above(0.5)}, n).defragment);
  CHECK(once({defragment_above(0.6), defragment_above(0.1)}, n).defragment);
  n.free_outside_caches = chunk;
  CHECK_FALSE(once({defragment_above(0.4)}, n).defragment);

  n.free_outside_caches = 2 * chunk;
  trim_state state;
  const std::array policies{defragment_above(0.4)};
  CHECK(plan_trim(policies, n, state).defragment);
  n.now_ns = 9 * ms;
  CHECK_FALSE(plan_trim(policies, n, state).defragment);
  n.now_ns = 10 * ms;
  CHECK(plan_trim(policies, n, state).defragment);
}

// --- decay ----------------------------------------------------------------------------------------------------------

// A pool whose free memory goes exactly as the plan says.
struct decaying_pool {
  std::vector<trim_policy> policies{decay(100ms)};
  trim_state state;
  std::size_t used = 40 * chunk;
  std::size_t free = 0;
  std::uint64_t now_ns = 1'000 * ms;

  void run() {
    const trim_plan plan =
        plan_trim(policies, {.now_ns = now_ns, .reserved = used + free, .free = free, .chunk_bytes = chunk}, state);
    if (plan.gives_back(used + free)) free = plan.keep - used;
    note_trimmed(state, free, chunk);
  }
  void run_for(std::uint64_t ns, unsigned runs) {
    for (unsigned i = 0; i < runs; ++i) {
      now_ns += ns / runs;
      run();
    }
  }
};

TEST_CASE("decay: what is free halves each half life, however often it is looked at") {
  for (const unsigned runs : {1u, 3u, 100u, 10'000u}) {
    INFO(runs);
    decaying_pool p;
    p.free = 64 * chunk;
    p.run();
    CHECK(p.free == 64 * chunk);
    for (const std::size_t left : {32, 16, 8, 4, 2, 1}) {
      p.run_for(100 * ms, runs);
      CHECK(p.free / chunk <= left + 1);
      CHECK(p.free / chunk + 1 >= left);
    }
    p.run_for(200 * ms, runs);
    CHECK(p.free == 0);  // the last chunk, too
  }
}

TEST_CASE("decay: what comes free begins anew, and what is used again does not come back as old") {
  decaying_pool p;
  p.free = 64 * chunk;
  p.run();
  p.run_for(100 * ms, 10);
  p.free += 64 * chunk;
  p.run();
  CHECK(p.free == 96 * chunk);
  p.run_for(100 * ms, 10);
  CHECK(p.free == 48 * chunk);
  p.free -= 40 * chunk;
  p.run_for(10 * ms, 1);
  p.free += 40 * chunk;
  p.run();
  CHECK(p.free >= 46 * chunk);
  p.run_for(100 * ms, 10);
  CHECK(p.free >= 23 * chunk);
  CHECK(p.free <= 24 * chunk);
}

TEST_CASE("decay: free memory in constant use does not go") {
  decaying_pool p;
  for (int i = 0; i < 1000; ++i) {
    p.free = i % 2 ? 64 * chunk : 0;
    p.run_for(1 * ms, 1);
  }
  CHECK(p.free == 64 * chunk);
}

TEST_CASE("decay: less than a chunk is not given back before it has decayed by half of one") {
  decaying_pool p;
  p.free = chunk + chunk / 4;
  p.run();
  p.run_for(50 * ms, 5);
  CHECK(p.free == chunk + chunk / 4);
  p.run_for(50 * ms, 5);
  CHECK(p.free == chunk / 4);
}

TEST_CASE("decay: of two half lives the shorter counts, and time that stands still decays nothing") {
  decaying_pool p;
  p.policies = {decay(400ms), decay(100ms)};
  p.free = 64 * chunk;
  p.run();
  p.run();
  CHECK(p.free == 64 * chunk);
  p.run_for(100 * ms, 1);
  CHECK(p.free == 32 * chunk);
}

TEST_CASE("decay: what another policy gave back does not decay once more") {
  decaying_pool p;
  p.policies = {decay(100ms), release_above(p.used + 20 * chunk)};
  p.free = 64 * chunk;
  p.run();
  CHECK(p.free == 20 * chunk);
  p.run_for(100 * ms, 1);
  CHECK(p.free == 10 * chunk);
}

TEST_CASE("decay: random frees and uses keep to the exponential of each byte's own age") {
  std::mt19937 random(7);
  decaying_pool p;
  p.run();
  double exact = 0;  // the same in real numbers
  std::size_t seen = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t step = random() % (20 * ms);
    p.now_ns += step;
    exact *= std::exp2(-static_cast<double>(step) / (100.0 * ms));
    const std::size_t freed = random() % 4 ? 0 : random() % 10;
    p.free += freed * chunk;
    exact += static_cast<double>(freed);
    p.run();
    seen = p.free / chunk;
    CHECK(std::abs(static_cast<double>(seen) - exact) <= 0.51);
  }
}

// --- ages -----------------------------------------------------------------------------------------------------------

TEST_CASE("sightings: a thing is idle since its mark was first seen") {
  sightings all;
  const std::uint64_t a = 512, b = 7;
  CHECK(all.see(a, 1, 100) == 100);
  CHECK(all.see(b, 1, 100) == 100);
  all.end_run();
  CHECK(all.see(a, 1, 200) == 100);
  CHECK(all.see(b, 2, 200) == 200);  // used in between
  all.end_run();
  CHECK(all.see(a, 1, 300) == 100);
  all.end_run();
  CHECK(all.count() == 1);
  CHECK(all.see(b, 2, 400) == 400);  // it was away
}

TEST_CASE("low water: what was there for the whole time, and no more") {
  low_water w;
  CHECK(w.unused_for(80, 50, 1000) == 0);  // of what was before nothing is known
  CHECK(w.unused_for(80, 50, 1040) == 0);
  CHECK(w.unused_for(80, 20, 1079) == 0);
  CHECK(w.unused_for(80, 90, 1080) == 20);  // which is gone now
  CHECK(w.unused_for(80, 70, 1140) == 0);   // at 1079 there was nothing beyond those 20
  CHECK(w.unused_for(80, 70, 1159) == 0);
  CHECK(w.unused_for(80, 70, 1170) == 70);
  CHECK(w.unused_for(80, 0, 1300) == 0);
}

TEST_CASE("low water: a low is forgotten once it is older than the time, and runs close to each other count as one") {
  low_water w;
  (void)w.unused_for(800, 100, 0);
  std::uint64_t now_ns = 0;
  for (; now_ns < 400; now_ns += 10) CHECK(w.unused_for(800, 100, now_ns) == 0);
  CHECK(w.unused_for(800, 0, now_ns) == 0);
  while (w.unused_for(800, 100, now_ns) == 0) now_ns += 10;
  CHECK(now_ns > 1200);
  CHECK(now_ns <= 1310);
}

TEST_CASE("needs: a run on the slow path reads no more than its policies ask for") {
  const auto of = [](std::vector<trim_policy> policies) { return needs_of(policies); };
  CHECK(of({}).interval_ns == UINT64_MAX);
  CHECK_FALSE(of({retain()}).on_change);
  CHECK(of({release_above(1)}).on_change);
  CHECK(of({watermark(1, 2)}).on_change);
  CHECK(of({release_above(1)}).interval_ns == UINT64_MAX);
  CHECK(of({defragment_above(0.5)}).fragmentation);
  CHECK_FALSE(of({release_above(1)}).fragmentation);
  CHECK(of({on_pressure(1)}).device_free);
  CHECK(of({on_pressure(1)}).interval_ns == 10 * ms);
  CHECK(of({decay(80ms), idle(8s)}).interval_ns == 10 * ms);
  CHECK_FALSE(of({decay(80ms)}).device_free);
  CHECK(of({decay(1ns)}).interval_ns == 100'000);  // not at every call
}

}  // namespace
}  // namespace weir::test
