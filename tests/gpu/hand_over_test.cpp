// SPDX-License-Identifier: Apache-2.0
//
// Order, with real kernels: blocks go from stream to stream and from thread to thread, behind kernels that keep their
// streams late, and every byte must be found as its writer left it. Each fill comes late on its stream, so a block
// that is handed out too early is overwritten between its new owner's fill and check.
#include <cmath>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"
#include "weir/pool.hpp"

namespace weir::test {
namespace {

constexpr unsigned late_us = 300;

std::size_t random_bytes(std::mt19937& random, double exponent_max = 26) {
  return static_cast<std::size_t>(std::exp2(std::uniform_real_distribution<double>(8, exponent_max)(random)));
}

// A pool small enough that memory has to change streams.
pool make_crowded_pool() { return value_of(pool::try_make(0, {.bytes_max = 768 * MiB})); }

TEST_CASE("hand-over: filled on one stream, checked and freed on another after an event") {
  require_device();
  pool pool = make_crowded_pool();
  gpu_stream a, b;
  const weir::stream on_a = value_of(pool.stream(raw_stream(a)));
  const weir::stream on_b = value_of(pool.stream(raw_stream(b)));
  mismatch_counter mismatches;
  std::mt19937 random(11);
  for (std::uint32_t round = 0; round < 600; ++round) {
    const std::size_t bytes = random_bytes(random);
    const bool forth = random() % 4 != 0;
    gpu_stream& from = forth ? a : b;
    gpu_stream& to = forth ? b : a;
    void* block = pool.allocate(bytes, forth ? on_a : on_b);
    if (round % 3 == 0) busy(late_us, from);
    fill(block, bytes, round, from);
    order(from, to);
    if (round % 5 == 0) busy(late_us, to);
    mismatches.check(block, bytes, round, to);
    pool.deallocate(block, bytes, forth ? on_b : on_a);
  }
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(mismatches.total() == 0);
  CHECK(pool.statistics().allocated == 0);
  CHECK(pool.validate().empty());
  value_of(pool.retire(on_a));
  value_of(pool.retire(on_b));
}

TEST_CASE("hand-over: what one stream frees behind late work is whole when another gets it") {
  require_device();
  pool pool = make_crowded_pool();
  gpu_stream streams[4];
  std::vector<weir::stream> tokens;
  for (gpu_stream& s : streams) tokens.push_back(value_of(pool.stream(raw_stream(s))));
  mismatch_counter mismatches;
  std::mt19937 random(12);
  for (std::uint32_t round = 0; round < 1200; ++round) {
    const std::size_t which = random() % 4;
    gpu_stream& s = streams[which];
    const std::size_t bytes = random_bytes(random, 27);
    void* block = pool.allocate(bytes, tokens[which]);
    if (round % 4 == 0) busy(late_us, s);
    fill(block, bytes, round, s);
    if (round % 7 == 0) busy(late_us, s);
    mismatches.check(block, bytes, round, s);
    pool.deallocate(block, tokens[which]);  // at once: its stream has not even begun
  }
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(mismatches.total() == 0);
  CHECK(pool.validate().empty());
  for (auto& token : tokens) value_of(pool.retire(token));
}

TEST_CASE("hand-over: a block announced by record_use is not reused before that stream is done with it") {
  require_device();
  pool pool = make_crowded_pool();
  gpu_stream a, b;
  const weir::stream on_a = value_of(pool.stream(raw_stream(a)));
  const weir::stream on_b = value_of(pool.stream(raw_stream(b)));
  mismatch_counter mismatches;
  std::mt19937 random(13);
  for (std::uint32_t round = 0; round < 200; ++round) {
    const std::size_t bytes = random_bytes(random);
    void* block = pool.allocate(bytes, on_a);
    fill(block, bytes, round, a);
    order(a, b);
    busy(late_us, b);
    mismatches.check(block, bytes, round, b);
    value_of(pool.record_use(block, on_b));
    pool.deallocate(block, on_a);  // no event from b to a: record_use stands for it
    void* next = pool.allocate(bytes, on_a);
    fill(next, bytes, ~round, a);
    mismatches.check(next, bytes, ~round, a);
    pool.deallocate(next, on_a);
  }
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(mismatches.total() == 0);
  value_of(pool.retire(on_a));
  value_of(pool.retire(on_b));
}

TEST_CASE("hand-over: blocks of a stream that is retired and destroyed serve others") {
  require_device();
  pool pool = make_crowded_pool();
  mismatch_counter mismatches;
  std::mt19937 random(14);
  for (std::uint32_t round = 0; round < 100; ++round) {
    gpu_stream s;
    const weir::stream on_s = value_of(pool.stream(raw_stream(s)));
    for (std::uint32_t i = 0; i < 8; ++i) {
      const std::size_t bytes = random_bytes(random);
      void* block = pool.allocate(bytes, on_s);
      busy(50, s);
      fill(block, bytes, round * 8 + i, s);
      mismatches.check(block, bytes, round * 8 + i, s);
      pool.deallocate(block, on_s);
    }
    value_of(pool.retire(on_s));  // its work may still run when the stream goes
  }
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(mismatches.total() == 0);
  CHECK(pool.statistics().allocated == 0);
}

struct filled {
  void* begin;
  std::size_t bytes;
  std::uint32_t seed;
};

// What one thread does to its own stream; answers how many allocations failed. Catch2's macros are not for threads.
int work(pool& pool, cudaStream_t handle, unsigned number, mismatch_counter& mismatches) {
  auto stream = pool.stream(raw_stream(handle));
  if (!stream) return -1;
  std::mt19937 random(100 + number);
  std::deque<filled> live;
  int failed = 0;
  const auto drop_oldest = [&] {
    mismatches.check(live.front().begin, live.front().bytes, live.front().seed, handle);
    pool.deallocate(live.front().begin, live.front().bytes, *stream);
    live.pop_front();
  };
  for (std::uint32_t i = 0; i < 1500; ++i) {
    const std::size_t bytes = random_bytes(random, i % 50 == 0 ? 25 : 18);
    const auto block = pool.try_allocate(bytes, *stream);
    if (!block) {
      ++failed;
      continue;
    }
    const std::uint32_t seed = number * 1'000'000 + i;
    if (i % 40 == 0) busy(100, handle);
    fill(*block, bytes, seed, handle);
    live.push_back({*block, bytes, seed});
    if (live.size() > 32) drop_oldest();
  }
  while (!live.empty()) drop_oldest();
  return pool.retire(*stream) ? failed : -1;
}

TEST_CASE("threads: eight of them, each with its own stream, find what they wrote") {
  require_device();
  constexpr unsigned count = 8;
  pool pool = value_of(pool::try_make(0));
  gpu_stream streams[count];
  mismatch_counter mismatches;
  int failed[count] = {};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i)
    threads.emplace_back([&, i] { failed[i] = work(pool, streams[i], i, mismatches); });
  for (std::thread& t : threads) t.join();
  for (const int f : failed) CHECK(f == 0);
  CHECK(mismatches.total() == 0);
  CHECK(pool.statistics().allocated == 0);
  CHECK(pool.validate().empty());
}

TEST_CASE("threads: one allocates and fills, another checks and frees on its own stream") {
  require_device();
  pool pool = make_crowded_pool();
  gpu_stream a, b;
  const weir::stream on_a = value_of(pool.stream(raw_stream(a)));
  const weir::stream on_b = value_of(pool.stream(raw_stream(b)));
  mismatch_counter mismatches;
  std::mt19937 random(15);
  for (std::uint32_t batch = 0; batch < 200; ++batch) {
    std::vector<filled> handed;
    std::thread([&] {
      for (std::uint32_t i = 0; i < 20; ++i) {
        const std::size_t bytes = random_bytes(random, 22);
        const auto block = pool.try_allocate(bytes, on_a);
        if (!block) continue;
        if (i % 8 == 0) busy(100, a);
        fill(*block, bytes, batch * 20 + i, a);
        handed.push_back({*block, bytes, batch * 20 + i});
      }
    }).join();
    REQUIRE(handed.size() == 20);
    order(a, b);
    std::thread([&] {
      for (const filled& f : handed) {
        mismatches.check(f.begin, f.bytes, f.seed, b);
        pool.deallocate(f.begin, f.bytes, on_b);
      }
    }).join();
    if (batch % 10 == 9) WEIR_CUDA_OK(cudaDeviceSynchronize());  // so that the device cannot fall behind for ever
  }
  CHECK(mismatches.total() == 0);
  CHECK(pool.statistics().allocated == 0);
  // One-way traffic holds a bounded surplus: of 1.7 GB that went this way, some 9 MB were live at a time.
  CHECK(pool.statistics().held_peak <= 512 * MiB);
  value_of(pool.retire(on_a));
  value_of(pool.retire(on_b));
}

}  // namespace
}  // namespace weir::test
