// SPDX-License-Identifier: Apache-2.0
#include "adapters/python/block_table.hpp"

#include <catch2/catch_test_macros.hpp>
#include <map>
#include <random>
#include <thread>

namespace weir::test {
namespace {

const void* address(std::uint64_t n) { return reinterpret_cast<const void*>(0x7f0000000000U + n * 256); }

TEST_CASE("block table: what was added is found once, whatever was removed before it") {
  python::block_table table;
  std::map<std::uint64_t, int> live;
  std::mt19937 random(1);
  for (int step = 0; step < 100'000; ++step) {
    const std::uint64_t n = random() % 3000;  // so that shards fill, and runs form and break
    if (const auto at = live.find(n); at != live.end()) {
      CHECK(table.device_of(address(n)) == at->second);
      const auto removed = table.remove(address(n));
      REQUIRE(removed);
      CHECK(removed->device == at->second);
      live.erase(at);
    } else {
      CHECK_FALSE(table.remove(address(n)));
      table.add(address(n), {.device = step % 7});
      live[n] = step % 7;
    }
  }
  CHECK(table.count() == live.size());
  for (const auto& [n, device] : live) CHECK(table.device_of(address(n)) == device);
}

TEST_CASE("block table: an address that is added again has what was said last") {
  python::block_table table;
  table.add(address(1), {.device = 1});
  table.add(address(1), {.device = 2});
  CHECK(table.count() == 1);
  CHECK(table.device_of(address(1)) == 2);
}

TEST_CASE("block table: threads may work on it at once") {
  python::block_table table;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&table, &wrong, t] {
      for (int round = 0; round < 50; ++round) {
        for (std::uint64_t i = 0; i < 100; ++i) table.add(address(i * 4 + static_cast<unsigned>(t)), {.device = t});
        for (std::uint64_t i = 0; i < 100; ++i) {
          const auto removed = table.remove(address(i * 4 + static_cast<unsigned>(t)));
          if (!removed || removed->device != t) ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(table.count() == 0);
}

}  // namespace
}  // namespace weir::test
