// SPDX-License-Identifier: Apache-2.0
//
// When there is no room: what is free somewhere is found, the user is asked, and the error says who has the rest.
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t limit = 128 * MiB;

TEST_CASE("out of memory: the error says what was asked, the report who has it") {
  scene s({.bytes_max = limit}, {.bytes_total = 8 * GiB});
  const weir::stream stream = s.make_stream();
  void* p = s.get(80 * MiB, stream);
  void* direct = s.pool.allocate_direct(10 * MiB);
  const auto refusal = s.pool.try_allocate(70 * MiB, stream);
  REQUIRE(why(refusal) == errc::out_of_memory);
  const error& e = refusal.error();
  CHECK(e.bytes == 70 * MiB);
  REQUIRE(e.report);
  const memory_report& r = *e.report;
  CHECK(r.requested == 70 * MiB);
  CHECK(r.live == 90 * MiB);
  CHECK(r.direct == 10 * MiB);
  CHECK(r.held == 80 * MiB);
  CHECK(r.reserved == 96 * MiB);
  CHECK(r.bytes_max == limit);
  CHECK(r.device_total == 8 * GiB);
  CHECK(r.device_free == 8 * GiB - 96 * MiB - 10 * MiB);
  CHECK(r.attempts == 0);
  const std::string text = e.message();
  for (const std::size_t number : {70 * MiB, 90 * MiB, 10 * MiB, 80 * MiB, 96 * MiB, limit, 8 * GiB}) {
    INFO(text);
    CHECK(text.find(std::to_string(number)) != std::string::npos);
  }
  try {
    s.pool.allocate(70 * MiB, stream);
    FAIL("nothing thrown");
  } catch (const std::bad_alloc& thrown) {
    CHECK(std::string(thrown.what()) == text);
  }
  s.put(p, 80 * MiB, stream);
  s.pool.deallocate_direct(direct);
}

TEST_CASE("out of memory: a failure is counted once, and changes nothing") {
  scene s({.bytes_max = limit});
  const weir::stream stream = s.make_stream();
  void* p = s.get(100 * MiB, stream);
  const holdings before = holdings_of(s.pool);
  for (const std::size_t bytes : {64 * MiB, 100 * MiB, 1 * GiB})
    CHECK(why(s.pool.try_allocate(bytes, stream)) == errc::out_of_memory);
  CHECK(holdings_of(s.pool) == before);
  CHECK(s.pool.statistics().failures == 3);
  CHECK(why(s.pool.try_allocate_direct(64 * MiB)) == errc::out_of_memory);
  CHECK(s.pool.statistics().failures == 4);
  s.put(p, 100 * MiB, stream);
}

TEST_CASE("out of memory: the report's causes cover what is held and not live") {
  scene s({.bytes_max = limit});
  const weir::stream stream = s.make_stream();
  void* p = s.get(40 * MiB, stream);
  void* q = s.get(3000, stream);
  void* r = s.get(5 * MiB, stream);
  const auto refusal = s.pool.try_allocate(100 * MiB, stream);
  REQUIRE(refusal.error().report);
  const memory_report& report = *refusal.error().report;
  CHECK(report.cached + report.pending + report.too_small + report.other_stream == report.held - report.live);
  CHECK(report.too_small > 0);
  CHECK(report.largest_free < 100 * MiB);
  s.put(p, 40 * MiB, stream);
  s.put(q, 3000, stream);
  s.put(r, 5 * MiB, stream);
}

TEST_CASE("handler: what it frees serves the allocation that asked") {
  scene* scene_of_handler = nullptr;
  std::vector<std::pair<void*, std::size_t>> spare;
  weir::stream stream;
  unsigned asked = 0;
  memory_report seen;
  scene s({.bytes_max = limit, .on_out_of_memory = [&](std::size_t bytes, unsigned attempt, const memory_report& r) {
             ++asked;
             seen = r;
             if (attempt != asked || bytes != 60 * MiB || spare.empty()) return false;
             scene_of_handler->put(spare.back().first, spare.back().second, stream);
             spare.pop_back();
             return true;
           }});
  scene_of_handler = &s;
  stream = s.make_stream();
  for (int i = 0; i < 4; ++i) spare.emplace_back(s.get(32 * MiB, stream), 32 * MiB);
  void* p = s.get(60 * MiB, stream);
  CHECK(asked == 2);
  CHECK(seen.requested == 60 * MiB);
  CHECK(seen.attempts == 2);
  CHECK(spare.size() == 2);
  s.put(p, 60 * MiB, stream);
}

TEST_CASE("handler: false gives up, and the report says how often it was asked") {
  unsigned asked = 0;
  scene s({.bytes_max = limit, .on_out_of_memory = [&](std::size_t, unsigned attempt, const memory_report&) {
             return ++asked, attempt < 3;
           }});
  const weir::stream stream = s.make_stream();
  const auto refusal = s.pool.try_allocate(200 * MiB, stream);
  CHECK(why(refusal) == errc::out_of_memory);
  CHECK(asked == 3);
  CHECK(refusal.error().report->attempts == 3);
  asked = 0;
  const auto direct = s.pool.try_allocate_direct(200 * MiB);
  CHECK(why(direct) == errc::out_of_memory);
  CHECK(asked == 3);
  CHECK(direct.error().report->attempts == 3);
}

TEST_CASE("handler: an exception from it is taken as false") {
  scene s({.bytes_max = limit, .on_out_of_memory = [](std::size_t, unsigned, const memory_report&) -> bool {
             throw std::runtime_error("no");
           }});
  const weir::stream stream = s.make_stream();
  CHECK(why(s.pool.try_allocate(200 * MiB, stream)) == errc::out_of_memory);
  CHECK(why(s.pool.try_allocate_direct(200 * MiB)) == errc::out_of_memory);
  s.put(s.get(512, stream), 512, stream);
}

TEST_CASE("handler: it may allocate and trim, and is not asked about what it cannot get itself") {
  scene* scene_of_handler = nullptr;
  weir::stream stream;
  unsigned asked = 0;
  scene s({.bytes_max = limit, .on_out_of_memory = [&](std::size_t, unsigned attempt, const memory_report&) {
             ++asked;
             scene& on = *scene_of_handler;
             on.put(on.get(3000, stream), 3000, stream);
             const auto nested = on.pool.try_allocate(2 * limit, stream);
             CHECK(why(nested) == errc::out_of_memory);
             CHECK(nested.error().report->attempts == 0);
             must(on.pool.trim(0));
             return attempt < 2;
           }});
  scene_of_handler = &s;
  stream = s.make_stream();
  CHECK(why(s.pool.try_allocate(2 * limit, stream)) == errc::out_of_memory);
  CHECK(asked == 2);
  CHECK(why(s.pool.try_allocate_direct(2 * limit)) == errc::out_of_memory);
  CHECK(asked == 4);
}

TEST_CASE("handler: retried after a neighbour has gone, the allocation succeeds") {
  scene* scene_of_handler = nullptr;
  scene s({.on_out_of_memory =
               [&](std::size_t, unsigned attempt, const memory_report& r) {
                 CHECK(r.device_free < 200 * MiB);
                 if (attempt == 3) scene_of_handler->device->set_neighbour_bytes(0);
                 return true;
               }},
          {.bytes_total = 1 * GiB});
  scene_of_handler = &s;
  const weir::stream stream = s.make_stream();
  s.device->set_neighbour_bytes(900 * MiB);
  s.put(s.get(200 * MiB, stream), 200 * MiB, stream);
  CHECK(s.pool.statistics().failures == 0);
  CHECK(s.pool.statistics().pressure_events == 1);
}

TEST_CASE("pressure: a stream that is captured is left alone, and what it freed before serves") {
  scene s({.bytes_max = limit, .big_cache_share = 1});
  const weir::stream a = s.make_stream(), captured = s.make_stream();
  void* p = s.get(96 * MiB, captured);
  s.busy(captured, 1000);
  s.put(p, 96 * MiB, captured);
  s.device->synchronize();
  s.device->set_capturing(captured.handle(), true);
  void* q = s.get(64 * MiB, a);  // once the whole device was waited for: the stream itself cannot be asked
  CHECK(s.pool.statistics().native.synchronize > 0);
  s.put(q, 64 * MiB, a);
  s.device->set_capturing(captured.handle(), false);
  s.put(s.get(100 * MiB, a), 100 * MiB, a);
}

TEST_CASE("pressure: what lies in other threads' caches is reclaimed while they live, before there is any") {
  scene s({.bytes_max = 64 * MiB, .cache_bytes_max = 64 * MiB});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  std::mutex mutex;
  std::condition_variable changed;
  bool filled = false, done = false;
  std::thread other([&] {
    std::vector<void*> blocks;
    for (int i = 0; i < 44; ++i) blocks.push_back(s.pool.allocate(MiB, a));
    for (void* p : blocks) s.pool.deallocate(p, a);
    std::unique_lock lock(mutex);
    filled = true;
    changed.notify_all();
    changed.wait(lock, [&] { return done; });
  });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return filled; });
  }
  const std::size_t cached = s.pool.statistics().cached;
  void* p = s.get(60 * MiB, b);
  CHECK(cached > 0);
  CHECK(s.pool.statistics().cached == 0);
  CHECK(s.pool.statistics().pressure_events == 0);
  {
    const std::lock_guard lock(mutex);
    done = true;
  }
  changed.notify_all();
  other.join();
  s.put(p, 60 * MiB, b);
}

TEST_CASE("pressure: small, medium and big free memory of every stream can become one block") {
  scene s({.bytes_max = limit});
  std::vector<weir::stream> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(s.make_stream());
  for (const std::size_t bytes : {std::size_t{3000}, 6 * MiB, 20 * MiB})
    for (const weir::stream& stream : streams) {
      void* p = s.get(bytes, stream);
      s.busy(stream);
      s.put(p, bytes, stream);
    }
  s.put(s.get(limit, streams[0]), limit, streams[0]);
}

TEST_CASE("neighbour: memory it takes makes a pool answer out of memory; memory it gives back serves") {
  scene s({}, {.bytes_total = 1 * GiB});
  const weir::stream stream = s.make_stream();
  void* p = s.get(256 * MiB, stream);
  s.device->set_neighbour_bytes(700 * MiB);
  const auto refusal = s.pool.try_allocate(128 * MiB, stream);
  REQUIRE(why(refusal) == errc::out_of_memory);
  CHECK(refusal.error().report->device_free == 68 * MiB);
  CHECK(refusal.error().report->bytes_max == SIZE_MAX);
  CHECK(refusal.error().message().find("limit none") != std::string::npos);
  CHECK(why(s.pool.try_allocate_direct(128 * MiB)) == errc::out_of_memory);
  void* q = s.get(64 * MiB, stream);
  s.device->set_neighbour_bytes(0);
  void* r = s.get(128 * MiB, stream);
  s.put(p, 256 * MiB, stream);
  s.put(q, 64 * MiB, stream);
  s.put(r, 128 * MiB, stream);
}

TEST_CASE("neighbour: what the pool keeps free is given up for a direct block") {
  scene s({}, {.bytes_total = 512 * MiB});
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : {std::size_t{3000}, 6 * MiB, 300 * MiB}) s.put(s.get(bytes, stream), bytes, stream);
  void* direct = must(s.pool.try_allocate_direct(500 * MiB));
  CHECK(s.pool.statistics().reserved == 0);
  s.put(direct, 500 * MiB, stream);
}

TEST_CASE("threads under pressure at once: nobody is refused what all together leave free") {
  scene s({.bytes_max = 256 * MiB});
  std::atomic<unsigned> refused{0}, other{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, stream = s.make_stream()] {
      for (int i = 0; i < 60; ++i) {
        const auto p = s.pool.try_allocate(i % 2 ? 24 * MiB : 30 * MiB, stream);
        if (!p) {
          (p.error().code == errc::out_of_memory ? refused : other)++;
          continue;
        }
        s.write(*p, 24 * MiB, stream);
        if (!s.pool.try_deallocate(*p, stream)) ++other;
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(other == 0);
  CHECK(refused == 0);
  CHECK(s.pool.statistics().reserved_peak <= 256 * MiB);
}

}  // namespace
}  // namespace weir::test
