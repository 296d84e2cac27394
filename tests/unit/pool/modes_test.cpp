// SPDX-License-Identifier: Apache-2.0
//
// bypass: every allocation a direct one. checked: exact sizes, and double frees found where threads race.
#include <atomic>
#include <thread>

#include "scene.hpp"

namespace weir::test {
namespace {

TEST_CASE("bypass: every allocation is direct, and freed on its stream") {
  scene s({.bypass = true});
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : {std::size_t{1}, 3 * MiB, 64 * MiB}) {
    void* p = s.get(bytes, stream);
    CHECK(s.pool.statistics().direct == bytes);
    CHECK(s.pool.statistics().held == 0);
    s.put(p, bytes, stream);
    CHECK(s.pool.statistics().direct == 0);
  }
  CHECK(s.device->calls().allocate == 0);
  CHECK(s.device->calls().direct_allocate == 3);
  CHECK(s.device->calls().direct_deallocate == 3);
  CHECK(s.pool.statistics().served.direct == 3);
}

TEST_CASE("bypass: alignments are kept, sizes checked, failures counted once") {
  scene s({.bytes_max = 4 * GiB, .bypass = true});
  const weir::stream stream = s.make_stream();
  for (std::size_t alignment = 1; alignment <= pool::alignment_max; alignment *= 4) {
    void* p = s.get(5000, stream, alignment);
    CHECK(reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
    CHECK(why(s.pool.try_deallocate(p, 4999, stream)) == errc::size_mismatch);
    s.put(p, 5000, stream);
  }
  CHECK(s.pool.statistics().direct == 0);
  CHECK(s.device->calls().direct_allocate == s.device->calls().direct_deallocate);
  CHECK(why(s.pool.try_allocate(5 * GiB, stream)) == errc::out_of_memory);
  CHECK(s.pool.statistics().failures == 1);
}

TEST_CASE("checked: of threads that free one block at once, exactly one succeeds") {
  for (const std::size_t bytes : {std::size_t{512}, 3 * MiB, 64 * MiB}) {
    INFO(bytes);
    scene s({.checked = true});
    const weir::stream stream = s.make_stream();
    for (int round = 0; round < 40; ++round) {
      void* p = s.pool.allocate(bytes, stream);
      std::atomic<int> freed{0}, refused{0}, ready{0};
      std::vector<std::thread> threads;
      for (int t = 0; t < 3; ++t)
        threads.emplace_back([&] {
          ++ready;
          while (ready < 3) std::this_thread::yield();
          const auto done = s.pool.try_deallocate(p, stream);
          if (done) ++freed;
          if (!done && done.error().code == errc::double_free) ++refused;
        });
      for (std::thread& t : threads) t.join();
      REQUIRE(freed == 1);
      REQUIRE(refused == 2);
    }
    CHECK(s.pool.statistics().allocated == 0);
  }
}

TEST_CASE("checked: a double free is one, also of what has gone back to the driver; a new life of the address is not") {
  scene s({.checked = true});
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : {std::size_t{512}, 3 * MiB, 64 * MiB}) {
    void* p = s.get(bytes, stream);
    s.put(p, bytes, stream);
    CHECK(why(s.pool.try_deallocate(p, stream)) == errc::double_free);
    s.device->synchronize();
    must(s.pool.trim(0));
    CHECK(why(s.pool.try_deallocate(p, stream)) == errc::double_free);
    s.put(s.get(bytes, stream), bytes, stream);
  }
  void* direct = s.pool.allocate_direct(512);
  must(s.pool.try_deallocate_direct(direct));
  CHECK(why(s.pool.try_deallocate_direct(direct)) == errc::double_free);
  CHECK(why(s.pool.try_deallocate(direct, stream)) == errc::double_free);
}

TEST_CASE("checked: a direct block whose free fails can be freed later") {
  const auto device = sim::device::make();
  weir::pool pool = pool::make(device->make_backend(), {.checked = true});
  void* p = pool.allocate_direct(512);
  device->inject(sim::fault::sticky, 1);
  CHECK(why(pool.try_deallocate_direct(p)) == errc::device_lost);
  CHECK(why(pool.try_deallocate_direct(p)) == errc::device_lost);  // not a double free
}

TEST_CASE("checked: everything else is as without") {
  scene s({.checked = true});
  const weir::stream a = s.make_stream(), b = s.make_stream();
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{3000}, 3 * MiB, 64 * MiB}) {
    void* p = s.get(bytes, a);
    must(s.pool.record_use(p, b));
    s.put(p, bytes, a);
    s.put(s.get(bytes, a, 4096), 0, a);
  }
  void* direct = s.pool.allocate_direct(100);
  CHECK(why(s.pool.try_deallocate(direct, 99, a)) == errc::size_mismatch);
  s.put(direct, 100, a);
  CHECK(s.pool.statistics().allocated == 0);
}

}  // namespace
}  // namespace weir::test
