// SPDX-License-Identifier: Apache-2.0
#include "cache/thread_table.hpp"

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <thread>
#include <vector>

using weir::cache::block_cache;
using weir::cache::cache_home;
using weir::cache::thread_table;

namespace {

// Serial numbers never return in a process: far above those that pools give.
std::uint64_t fresh_serial() {
  static std::atomic<std::uint64_t> last{std::uint64_t{1} << 60};
  return ++last;
}

struct counting_home final : cache_home {
  std::vector<block_cache*> came;
  void thread_exits(block_cache& c) noexcept override { came.push_back(&c); }
};

std::shared_ptr<block_cache> a_cache() { return std::make_shared<block_cache>(1 << 20); }

}  // namespace

TEST_CASE("thread table: what was added is found, by its own serial alone") {
  std::thread([] {
    const auto home = std::make_shared<counting_home>();
    const auto a = a_cache(), b = a_cache();
    const std::uint64_t one = fresh_serial(), two = fresh_serial();
    CHECK(thread_table::find(one) == nullptr);
    CHECK(thread_table::add(one, a, home));
    CHECK(thread_table::add(two, b, home));
    for (unsigned i = 0; i < 3; ++i) {
      CHECK(thread_table::find(one) == a.get());
      CHECK(thread_table::find(two) == b.get());
    }
    CHECK(thread_table::find(fresh_serial()) == nullptr);
  }).join();
}

TEST_CASE("thread table: a thread does not see another's") {
  const std::uint64_t serial = fresh_serial();
  std::thread([&] {
    CHECK(thread_table::add(serial, a_cache(), {}));
    std::thread([&] { CHECK(thread_table::find(serial) == nullptr); }).join();
    CHECK(thread_table::find(serial) != nullptr);
  }).join();
}

TEST_CASE("thread table: at its end a thread brings each cache home, once") {
  const auto home = std::make_shared<counting_home>();
  const auto a = a_cache(), b = a_cache();
  std::thread([&] {
    thread_table::add(fresh_serial(), a, home);
    thread_table::add(fresh_serial(), b, home);
  }).join();
  CHECK(home->came == std::vector<block_cache*>{a.get(), b.get()});
}

TEST_CASE("thread table: a dead cache is not brought home, and goes when the next is added") {
  const auto home = std::make_shared<counting_home>();
  std::weak_ptr<block_cache> gone;
  std::thread([&] {
    auto dead = a_cache();
    gone = dead;
    thread_table::add(fresh_serial(), dead, home);
    dead->is_dead = true;
    dead.reset();
    CHECK(!gone.expired());
    thread_table::add(fresh_serial(), a_cache(), {});
    CHECK(gone.expired());
  }).join();
  CHECK(home->came.empty());
}

TEST_CASE("thread table: a cache found last and then dropped is not found again") {
  std::thread([] {
    const std::uint64_t serial = fresh_serial();
    auto dead = a_cache();
    thread_table::add(serial, dead, {});
    CHECK(thread_table::find(serial) == dead.get());
    dead->is_dead = true;
    thread_table::add(fresh_serial(), a_cache(), {});
    CHECK(thread_table::find(serial) == nullptr);
  }).join();
}

TEST_CASE("thread table: a home that is gone is not asked for") {
  auto home = std::make_shared<counting_home>();
  const auto cache = a_cache();
  std::thread([&] {
    thread_table::add(fresh_serial(), cache, home);
    home.reset();
  }).join();
  CHECK(cache.use_count() == 1);
}

TEST_CASE("thread table: forgotten caches are not brought home") {
  const auto home = std::make_shared<counting_home>();
  std::thread([&] {
    const std::uint64_t serial = fresh_serial();
    thread_table::add(serial, a_cache(), home);
    CHECK(thread_table::find(serial) != nullptr);
    thread_table::forget();
    CHECK(thread_table::find(serial) == nullptr);
  }).join();
  CHECK(home->came.empty());
}

namespace {

// Destroyed after the table's own guard where it was made before it.
struct late {
  bool* was_refused = nullptr;
  ~late() {
    if (was_refused) *was_refused = !thread_table::add(fresh_serial(), a_cache(), {});
  }
};

}  // namespace

TEST_CASE("thread table: a thread that ends gets no more caches") {
  bool was_refused = false;
  std::thread([&] {
    thread_local late last;
    last.was_refused = &was_refused;
    thread_table::add(fresh_serial(), a_cache(), {});
  }).join();
  CHECK(was_refused);
}
